/*
 * imap: another IMAP server knows the users.
 *
 * For a move from one server to the next, or a front before one: the password is tried there, with LOGIN (RFC
 * 3501 §6.2.3), under TLS unless that is turned off. The name and the password go as literals, whose octets
 * mean nothing to the protocol (attack-042). What the other server says with its response codes (RFC 5530) is
 * believed: AUTHENTICATIONFAILED and a NO without a code are a wrong password, EXPIRED and
 * AUTHORIZATIONFAILED what they say; UNAVAILABLE, a BAD, a BYE, nonsense and silence are "cannot say".
 * Whether it knows a user without a password cannot be asked, so there is no lookup.
 *
 * One connection an attempt: a login cannot be undone on one that is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <mortise/password.h>

#define LINE_OCTETS 8192u /* of the server's, with what it says in its greeting */
#define LINES_MAX 64u     /* untagged ones before the one that is waited for */

enum tls { TLS_IMPLICIT, TLS_STARTTLS, TLS_NEVER };

struct options {
	const char *host, *port;
	int tls;
	const char *tls_ca, *tls_name, *account;
	uint64_t timeout;
};

static const struct mortise_enum tls_values[] = {
    {"implicit", TLS_IMPLICIT}, {"starttls", TLS_STARTTLS}, {"never", TLS_NEVER}, {NULL, 0}};

#define OPTION(field, kind, text, ...) MORTISE_OPTION(struct options, field, kind, text, __VA_ARGS__)

static const struct mortise_option options[] = {
    OPTION(host, STRING, NULL, .flags = MORTISE_OPTION_REQUIRED, .since = "0.1",
        .help = "the other server: a name or an address"),
    OPTION(port, STRING, "", .since = "0.1", .help = "its port; empty: 993 with implicit TLS, else 143"),
    OPTION(tls, ENUM, "implicit", .values = tls_values, .since = "0.1",
        .help = "TLS from the beginning, by STARTTLS, or never",
        .detail = "\"never\" sends passwords in clear: for this host's own loopback only."),
    OPTION(tls_ca, PATH, "", .since = "0.1",
        .help = "certificates (PEM) that the server's is checked against; empty: the host's own"),
    OPTION(tls_name, STRING, "", .since = "0.1", .help = "the name its certificate must have; empty: host"),
    OPTION(account, STRING, "", .since = "0.1",
        .help = "host account of its users; empty: the account of the same name"),
    OPTION(timeout, DURATION, "10s", .min = "100ms", .max = "10m", .since = "0.1",
        .help = "time for one attempt there"),
};

/* One conversation with the other server. */
struct peer {
	struct mortise_call *call;
	uint64_t deadline;
	int fd;
	SSL_CTX *context;
	SSL *ssl; /* NULL: in clear so far */
	char line[LINE_OCTETS + 1];
	size_t n, used; /* octets read; of those, the last line's */
};

static const struct options *options_of(const struct mortise_call *call)
{
	return call->instance->options;
}

static int peer_fault(struct peer *p, const char *what)
{
	p->call->host->fault(p->call, MORTISE_E_UNAVAILABLE, "%s: %s", options_of(p->call)->host, what);
	return MORTISE_AUTH_TEMP;
}

static int wait_peer(struct peer *p, short events)
{
	return p->call->host->wait_fd(p->call, p->fd, events, p->deadline) == 1
	           ? MORTISE_AUTH_OK
	           : peer_fault(p, "no answer in time");
}

/* ---- connecting ---- */

static int connect_address(struct peer *p, const struct addrinfo *a)
{
	int error = 0, r = -1;
	socklen_t size = sizeof(error);

	p->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return -1;
	if (connect(p->fd, a->ai_addr, a->ai_addrlen) == 0)
		return 0;
	if (errno == EINPROGRESS && p->call->host->wait_fd(p->call, p->fd, POLLOUT, p->deadline) == 1 &&
	    getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0)
		r = error == 0 ? 0 : -1;
	if (error != 0)
		errno = error;
	if (r != 0) {
		close(p->fd);
		p->fd = -1;
	}
	return r;
}

static int connect_peer(struct peer *p)
{
	const struct options *o = options_of(p->call);
	struct addrinfo wish = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL, *a;
	const char *port = o->port[0] != '\0' ? o->port : o->tls == TLS_IMPLICIT ? "993" : "143";
	int r = getaddrinfo(o->host, port, &wish, &list);

	if (r != 0)
		return peer_fault(p, gai_strerror(r));
	for (a = list, r = -1; a != NULL && r != 0; a = a->ai_next)
		r = connect_address(p, a);
	if (r != 0)
		p->call->host->fault_errno(p->call, "connecting to %s, port %s", o->host, port);
	freeaddrinfo(list);
	return r == 0 ? MORTISE_AUTH_OK : MORTISE_AUTH_TEMP;
}

/* What OpenSSL waits for; OK to try again. */
static int wait_tls(struct peer *p, int r)
{
	switch (SSL_get_error(p->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return wait_peer(p, POLLIN);
	case SSL_ERROR_WANT_WRITE:
		return wait_peer(p, POLLOUT);
	default:
		return peer_fault(p, "TLS failed");
	}
}

static bool set_name(SSL *ssl, const char *name)
{
	/* An address has no name to be asked for (RFC 6066 §3). */
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1)
		return true;
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static int start_tls(struct peer *p)
{
	const struct options *o = options_of(p->call);
	const char *name = o->tls_name[0] != '\0' ? o->tls_name : o->host;
	int r;

	if (p->n != p->used)
		return peer_fault(p, "octets in clear behind the answer to STARTTLS");
	ERR_clear_error();
	p->context = SSL_CTX_new(TLS_client_method());
	if (p->context == NULL || SSL_CTX_set_min_proto_version(p->context, TLS1_2_VERSION) != 1 ||
	    (o->tls_ca[0] != '\0' ? SSL_CTX_load_verify_locations(p->context, o->tls_ca, NULL)
	                          : SSL_CTX_set_default_verify_paths(p->context)) != 1)
		return peer_fault(p, "TLS cannot be set up: see tls_ca");
	SSL_CTX_set_verify(p->context, SSL_VERIFY_PEER, NULL);
	p->ssl = SSL_new(p->context);
	if (p->ssl == NULL || SSL_set_fd(p->ssl, p->fd) != 1 || !set_name(p->ssl, name))
		return peer_fault(p, "TLS cannot be set up: see tls_name");
	while ((r = SSL_connect(p->ssl)) != 1) {
		long verdict = SSL_get_verify_result(p->ssl);

		if (verdict != X509_V_OK)
			return peer_fault(p, X509_verify_cert_error_string(verdict));
		if (wait_tls(p, r) != MORTISE_AUTH_OK)
			return MORTISE_AUTH_TEMP;
	}
	return MORTISE_AUTH_OK;
}

static void close_peer(struct peer *p)
{
	SSL_free(p->ssl);
	SSL_CTX_free(p->context);
	if (p->fd >= 0)
		close(p->fd);
	explicit_bzero(p->line, sizeof(p->line));
}

/* ---- lines ---- */

static int send_octets(struct peer *p, const char *octets, size_t n)
{
	while (n > 0) {
		size_t sent = 0;
		int r;

		if (p->ssl != NULL) {
			r = SSL_write_ex(p->ssl, octets, n, &sent) == 1 ? MORTISE_AUTH_OK : wait_tls(p, 0);
		} else {
			ssize_t done = send(p->fd, octets, n, MSG_NOSIGNAL);

			sent = done > 0 ? (size_t)done : 0;
			r = done >= 0 || errno == EINTR ? MORTISE_AUTH_OK
			    : errno == EAGAIN           ? wait_peer(p, POLLOUT)
			                                : peer_fault(p, "hung up");
		}
		if (r != MORTISE_AUTH_OK)
			return r;
		octets += sent;
		n -= sent;
	}
	return MORTISE_AUTH_OK;
}

static int receive(struct peer *p)
{
	size_t room = LINE_OCTETS - p->n, got = 0;

	if (room == 0)
		return peer_fault(p, "a line that is too long");
	if (p->ssl != NULL) {
		if (SSL_read_ex(p->ssl, p->line + p->n, room, &got) != 1)
			return wait_tls(p, 0);
	} else {
		ssize_t n = recv(p->fd, p->line + p->n, room, 0);

		if (n == 0)
			return peer_fault(p, "hung up");
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? wait_peer(p, POLLIN)
			                                         : peer_fault(p, "hung up");
		got = (size_t)n;
	}
	p->n += got;
	return MORTISE_AUTH_OK;
}

/* The next line, without its end, in p->line. */
static int read_line(struct peer *p)
{
	char *end;

	memmove(p->line, p->line + p->used, p->n - p->used);
	p->n -= p->used;
	p->used = 0;
	while ((end = memchr(p->line, '\n', p->n)) == NULL) {
		int r = receive(p);

		if (r != MORTISE_AUTH_OK)
			return r;
	}
	p->used = (size_t)(end - p->line) + 1;
	*end = '\0';
	if (end > p->line && end[-1] == '\r')
		end[-1] = '\0';
	return strlen(p->line) + 2 >= p->used ? MORTISE_AUTH_OK : peer_fault(p, "a NUL in a line");
}

/* Reads until a line begins with `prefix`; what it says behind that is in *rest. BYE ends it. */
static int read_until(struct peer *p, const char *prefix, const char **rest)
{
	unsigned i;

	for (i = 0; i < LINES_MAX; i++) {
		int r = read_line(p);

		if (r != MORTISE_AUTH_OK)
			return r;
		if (strncmp(p->line, prefix, strlen(prefix)) == 0) {
			*rest = p->line + strlen(prefix);
			return MORTISE_AUTH_OK;
		}
		if (strncasecmp(p->line, "* BYE", 5) == 0)
			return peer_fault(p, "says BYE");
		if (p->line[0] != '*')
			return peer_fault(p, "says what is not IMAP");
	}
	return peer_fault(p, "talks too much");
}

/* ---- what it says ---- */

static const struct {
	const char *code;
	int result;
} codes[] = {{"AUTHENTICATIONFAILED", MORTISE_AUTH_MISMATCH}, {"EXPIRED", MORTISE_AUTH_EXPIRED},
    {"AUTHORIZATIONFAILED", MORTISE_AUTH_DISABLED}, {"CONTACTADMIN", MORTISE_AUTH_DISABLED},
    {"NOPERM", MORTISE_AUTH_DISABLED}, {"UNAVAILABLE", MORTISE_AUTH_TEMP}, {"INUSE", MORTISE_AUTH_TEMP},
    {"LIMIT", MORTISE_AUTH_TEMP}, {"PRIVACYREQUIRED", MORTISE_AUTH_TEMP}, {"SERVERBUG", MORTISE_AUTH_TEMP}};

/* The answer to LOGIN, behind the tag. */
static int verdict_of(struct peer *p, const char *answer)
{
	size_t i, n;

	if (strncasecmp(answer, "OK", 2) == 0 && (answer[2] == ' ' || answer[2] == '\0'))
		return MORTISE_AUTH_OK;
	if (strncasecmp(answer, "NO", 2) != 0 || (answer[2] != ' ' && answer[2] != '\0'))
		return peer_fault(p, "does not take LOGIN");
	answer += 2;
	if (answer[0] != ' ' || answer[1] != '[')
		return MORTISE_AUTH_MISMATCH;
	answer += 2;
	n = strcspn(answer, "] ");
	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strlen(codes[i].code) == n && strncasecmp(answer, codes[i].code, n) == 0) {
			if (codes[i].result != MORTISE_AUTH_MISMATCH)
				peer_fault(p, codes[i].code);
			return codes[i].result;
		}
	return MORTISE_AUTH_MISMATCH;
}

static int greet(struct peer *p)
{
	const char *rest;
	int r;

	if (options_of(p->call)->tls == TLS_IMPLICIT && (r = start_tls(p)) != MORTISE_AUTH_OK)
		return r;
	r = read_until(p, "* ", &rest);
	if (r == MORTISE_AUTH_OK && strncasecmp(rest, "OK", 2) != 0)
		r = peer_fault(p, "does not greet with OK");
	if (r != MORTISE_AUTH_OK || options_of(p->call)->tls != TLS_STARTTLS)
		return r;
	r = send_octets(p, "1 STARTTLS\r\n", 12);
	if (r == MORTISE_AUTH_OK)
		r = read_until(p, "1 ", &rest);
	if (r == MORTISE_AUTH_OK && strncasecmp(rest, "OK", 2) != 0)
		r = peer_fault(p, "does not do STARTTLS");
	return r == MORTISE_AUTH_OK ? start_tls(p) : r;
}

/* One literal, announced in `line`, sent when the server asks for it. */
static int send_literal(struct peer *p, const char *line, const char *octets, size_t n)
{
	char *announced = p->call->host->print(p->call, MORTISE_LIFE_CALL, "%s{%zu}\r\n", line, n);
	int r = send_octets(p, announced, strlen(announced));

	while (r == MORTISE_AUTH_OK) {
		r = read_line(p);
		if (r != MORTISE_AUTH_OK || p->line[0] == '+')
			break;
		if (p->line[0] != '*' || strncasecmp(p->line, "* BYE", 5) == 0)
			r = peer_fault(p, "does not take a literal in LOGIN");
	}
	return r == MORTISE_AUTH_OK ? send_octets(p, octets, n) : r;
}

static int log_in(struct peer *p, const struct mortise_attempt *attempt)
{
	const char *answer;
	int r = send_literal(p, "2 LOGIN ", attempt->user, strlen(attempt->user));

	if (r == MORTISE_AUTH_OK)
		r = send_literal(p, " ", attempt->password, attempt->password_size);
	if (r == MORTISE_AUTH_OK)
		r = send_octets(p, "\r\n", 2);
	if (r == MORTISE_AUTH_OK)
		r = read_until(p, "2 ", &answer);
	if (r != MORTISE_AUTH_OK)
		return r;
	r = verdict_of(p, answer);
	if (r == MORTISE_AUTH_OK)
		(void)send_octets(p, "3 LOGOUT\r\n", 10);
	return r;
}

static int imap_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	const struct options *o = options_of(call);
	struct peer *p = call->host->alloc(call, MORTISE_LIFE_SECRET, sizeof(*p));
	uint64_t limit = call->host->deadline(call);
	int r;

	p->call = call;
	p->fd = -1;
	p->deadline = call->host->now(call) + o->timeout;
	if (limit != 0 && limit < p->deadline)
		p->deadline = limit;
	r = connect_peer(p);
	if (r == MORTISE_AUTH_OK)
		r = greet(p);
	if (r == MORTISE_AUTH_OK)
		r = log_in(p, attempt);
	if (r == MORTISE_AUTH_OK && o->account[0] != '\0')
		user->account = o->account;
	close_peer(p);
	return r;
}

static const struct mortise_password_ops ops = {
    .size = sizeof(ops), .credentials = MORTISE_CREDENTIAL_VERIFY, .verify = imap_verify};

MORTISE_MODULE(imap, .kind = MORTISE_KIND_PASSWORD, .api_major = MORTISE_PASSWORD_MAJOR,
    .api_minor = MORTISE_PASSWORD_MINOR, .name = "imap", .version = "0.1", .summary = "another IMAP server",
    .licence = "Apache-2.0", .url = "https://mortise.example/", .options = options,
    .option_count = sizeof(options) / sizeof(options[0]), .instance_size = sizeof(struct options),
    .ops = &ops);
