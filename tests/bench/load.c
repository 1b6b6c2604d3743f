/*
 * load: gives an IMAP server work and measures how long it takes.
 *
 *     load --port PORT --user USER --password PASSWORD [--connections N] [--tls] [--each-login | --notify |
 * --mixed]
 *          [--repeat N] [--seconds S] [--messages N] [--timeout S] [--setup COMMAND]… COMMAND…
 *
 * Every connection logs in and does the setup commands. Then "ready" is printed and a line awaited on
 * standard input, so that whoever started this can look at the server's processes; the same after the
 * results, before the connections end. An operation is all COMMANDs one after the other; its time goes from
 * the first octet sent to the last tagged reply. Each connection repeats it --repeat times, or until
 * --seconds have passed.
 *
 *   --each-login   an operation is a connection: connect, log in, the commands, log out
 *   --mixed        an operation is one of the commands, taken by a generator that is seeded with the
 * connection's number
 *   --notify       the first connection is in IDLE; an operation is a command on the second, and its time
 * goes from the command's last octet to the EXISTS that the first one sees
 *
 * In a command %i is the number of the operation, %c of the connection, %n of a message (1 + %i modulo
 * --messages), %r one taken by the generator; {FILE} is a literal with the content of the file. Literals from
 * the server are counted and dropped. A reply that is NO or BAD ends everything with an error: a refusal is
 * never a fast answer.
 *
 * Results are one line of JSON: operations, seconds for all of them, median, p99 and the least in seconds,
 * octets and untagged responses received.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define MAX_COMMANDS 64
#define LONGEST_LINE ((size_t)64 << 20)
#define READ_SIZE ((size_t)256 << 10)

enum phase {
	GREETING,
	CAPABILITIES,
	LOGIN,
	SETUP,
	READY,
	OPERATION,
	IDLING,
	LEAVING,
	FINISHED,
};

struct connection {
	int fd;
	SSL *ssl;
	enum phase phase;
	unsigned number;
	unsigned step, tag, seed;
	unsigned long done; /* operations */
	uint64_t began;
	/* what is to be sent; up to `allowed` now, the rest when the server wants the next literal */
	char *out;
	size_t out_size, out_length, sent, allowed;
	/* what is being received */
	uint64_t literal;
	bool continued; /* this line goes on after a literal */
	char *line;
	size_t line_size, line_length;
	bool wants_write;
};

static struct {
	int port;
	const char *user, *password;
	unsigned connections;
	bool tls, each_login, notify, mixed;
	unsigned long repeat, messages;
	double seconds, timeout;
	const char *setup[MAX_COMMANDS], *commands[MAX_COMMANDS];
	unsigned setups, n_commands;
} options = {.connections = 1, .repeat = 1, .messages = 1, .timeout = 600};

static struct {
	double *times;
	size_t count, room;
	uint64_t octets, untagged, failures, began, ended;
} results;

static SSL_CTX *tls_context;
static int poller;
static bool literal_plus;
static struct connection *all;
static uint64_t notify_began;

static void begin(struct connection *c);

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list a;

	va_start(a, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, a);
	fputc('\n', stderr);
	va_end(a);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *resize(void *p, size_t size)
{
	p = realloc(p, size);
	if (p == NULL)
		fail("no memory");
	return p;
}

/* -- sending -- */

static void put(struct connection *c, const char *data, size_t n)
{
	if (c->out_length + n > c->out_size) {
		c->out_size = (c->out_length + n) * 2;
		c->out = resize(c->out, c->out_size);
	}
	memcpy(c->out + c->out_length, data, n);
	c->out_length += n;
}

static void put_number(struct connection *c, unsigned long n)
{
	char text[24];

	put(c, text, (size_t)snprintf(text, sizeof(text), "%lu", n));
}

/* Literals that were read once, by name. */
struct content {
	char *name, *data;
	size_t length;
	struct content *next;
};

static const struct content *content_of(const char *name, size_t n)
{
	static struct content *known;
	struct content *k;
	FILE *f;

	for (k = known; k != NULL; k = k->next)
		if (strlen(k->name) == n && memcmp(k->name, name, n) == 0)
			return k;
	k = resize(NULL, sizeof(*k));
	*k = (struct content){.name = strndup(name, n), .next = known};
	known = k;
	f = k->name == NULL ? NULL : fopen(k->name, "r");
	if (f == NULL)
		fail("%.*s: %s", (int)n, name, strerror(errno));
	for (size_t got = 1; got > 0; k->length += got) {
		k->data = resize(k->data, k->length + 65536);
		got = fread(k->data + k->length, 1, 65536, f);
	}
	fclose(f);
	return k;
}

/* A literal's head is where a server without LITERAL+ has its say: a 0 octet in the output marks the place.
 */
static void put_literal(struct connection *c, const char *name, size_t n)
{
	const struct content *content = content_of(name, n);

	put(c, "{", 1);
	put_number(c, content->length);
	put(c, literal_plus ? "+}\r\n" : "}\r\n", literal_plus ? 4 : 3);
	if (!literal_plus)
		put(c, "", 1);
	put(c, content->data, content->length);
}

static void put_value(struct connection *c, char what)
{
	switch (what) {
	case 'i':
		put_number(c, c->done);
		return;
	case 'c':
		put_number(c, c->number);
		return;
	case 'n':
		put_number(c, 1 + c->done % options.messages);
		return;
	case 'r':
		put_number(c, 1 + (unsigned long)rand_r(&c->seed) % options.messages);
		return;
	default:
		put(c, &what, 1);
	}
}

static void allow(struct connection *c)
{
	char *stop = literal_plus ? NULL : memchr(c->out + c->allowed, '\0', c->out_length - c->allowed);

	c->allowed = stop == NULL ? c->out_length : (size_t)(stop - c->out);
}

static void watch(struct connection *c, bool write)
{
	struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = c};

	if (c->wants_write == write)
		return;
	c->wants_write = write;
	epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

static void flush(struct connection *c)
{
	while (c->sent < c->allowed) {
		ssize_t n;

		if (c->ssl != NULL) {
			n = SSL_write(c->ssl, c->out + c->sent, (int)(c->allowed - c->sent));
			if (n <= 0 && SSL_get_error(c->ssl, (int)n) == SSL_ERROR_SSL)
				fail("TLS failed while writing");
		} else {
			n = send(c->fd, c->out + c->sent, c->allowed - c->sent, MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN && errno != ENOTCONN)
				fail("write: %s", strerror(errno));
		}
		if (n <= 0)
			break;
		c->sent += (size_t)n;
	}
	watch(c, c->sent < c->allowed);
	if (options.notify && c->number == 1 && c->phase == OPERATION && c->sent == c->out_length)
		notify_began = now();
}

static void command(struct connection *c, const char *text)
{
	c->out_length = c->sent = c->allowed = 0;
	put(c, "a", 1);
	put_number(c, ++c->tag);
	put(c, " ", 1);
	while (*text != '\0') {
		size_t n = strcspn(text, "%{");
		const char *end;

		put(c, text, n);
		text += n;
		if (*text == '%' && text[1] != '\0') {
			put_value(c, text[1]);
			text += 2;
		} else if (*text == '{' && (end = strchr(text, '}')) != NULL) {
			put_literal(c, text + 1, (size_t)(end - text) - 1);
			text = end + 1;
		} else if (*text != '\0') {
			put(c, text++, 1);
		}
	}
	put(c, "\r\n", 2);
	allow(c);
	flush(c);
}

/* -- operations -- */

static bool time_is_up(void)
{
	return options.seconds > 0 && (double)(now() - results.began) / 1e9 >= options.seconds;
}

static void note(uint64_t began)
{
	if (results.count == results.room) {
		results.room = results.room == 0 ? 1024 : results.room * 2;
		results.times = resize(results.times, results.room * sizeof(*results.times));
	}
	results.ended = now();
	results.times[results.count++] = (double)(results.ended - began) / 1e9;
}

static void next_command(struct connection *c)
{
	unsigned which = options.mixed ? (unsigned)rand_r(&c->seed) % options.n_commands : c->step;

	if (c->step == 0 && !options.each_login)
		c->began = now();
	command(c, options.commands[which]);
}

static void operate(struct connection *c)
{
	if (options.n_commands == 0 || c->done >= options.repeat || time_is_up()) {
		c->phase = FINISHED;
		return;
	}
	c->phase = OPERATION;
	c->step = 0;
	next_command(c);
}

static void leave(struct connection *c)
{
	c->phase = LEAVING;
	command(c, "LOGOUT");
}

static void disconnect(struct connection *c)
{
	if (c->ssl != NULL)
		SSL_free(c->ssl);
	c->ssl = NULL;
	close(c->fd);
	c->fd = -1;
}

static void left(struct connection *c)
{
	disconnect(c);
	note(c->began);
	c->done++;
	if (c->done >= options.repeat || time_is_up())
		c->phase = FINISHED;
	else
		begin(c);
}

/* The commands of one operation were all answered. */
static void operated(struct connection *c)
{
	if (options.each_login) {
		leave(c);
		return;
	}
	if (options.notify) { /* goes on when the other one has heard of it */
		c->phase = READY;
		c->done++;
		return;
	}
	note(c->began);
	c->done++;
	operate(c);
}

static void set_up(struct connection *c)
{
	if (c->step < options.setups) {
		c->phase = SETUP;
		command(c, options.setup[c->step]);
		return;
	}
	c->phase = READY;
	if (options.each_login) {
		c->phase = OPERATION;
		c->step = 0;
		if (options.n_commands > 0)
			next_command(c);
		else
			operated(c);
	} else if (options.notify && c->number == 0) {
		c->phase = IDLING;
		command(c, "IDLE");
	}
}

static void log_in(struct connection *c)
{
	char text[512];

	c->phase = LOGIN;
	snprintf(text, sizeof(text), "LOGIN %s %s", options.user, options.password);
	command(c, text);
}

/* The tagged OK of the last command. */
static void answered(struct connection *c)
{
	switch (c->phase) {
	case LOGIN:
		c->step = 0;
		if (!options.each_login && c->number == 0) {
			c->phase = CAPABILITIES;
			command(c, "CAPABILITY");
			return;
		}
		set_up(c);
		return;
	case CAPABILITIES:
		set_up(c);
		return;
	case SETUP:
		c->step++;
		set_up(c);
		return;
	case OPERATION:
		if (!options.mixed && ++c->step < options.n_commands)
			next_command(c);
		else
			operated(c);
		return;
	case LEAVING:
		left(c);
		return;
	default:
		fail("a tagged reply that nobody waits for");
	}
}

/* -- receiving -- */

static void heard(struct connection *c, const char *line, size_t n)
{
	static const char exists[] = " EXISTS";

	results.untagged++;
	if (c->phase == CAPABILITIES && n > 13 && memcmp(line, "* CAPABILITY ", 13) == 0)
		literal_plus = memmem(line, n, " LITERAL+", 9) != NULL;
	if (options.notify && c->phase == IDLING && notify_began != 0 && n > sizeof(exists) &&
	    memmem(line, n, exists, sizeof(exists) - 1) != NULL) {
		note(notify_began);
		notify_began = 0;
	}
}

/* A whole line without its end, that does not end in a literal. */
static void response(struct connection *c, const char *line, size_t n)
{
	char tag[24];
	size_t tag_length = (size_t)snprintf(tag, sizeof(tag), "a%u ", c->tag);

	if (c->phase == GREETING) {
		if (n < 4 || memcmp(line, "* OK", 4) != 0)
			fail("greeting: %.*s", (int)n, line);
		log_in(c);
	} else if (n > 0 && line[0] == '+') {
		if (c->allowed < c->out_length) {
			memmove(c->out + c->allowed, c->out + c->allowed + 1, --c->out_length - c->allowed);
			allow(c);
			flush(c);
		} else if (c->phase == IDLING) {
			c->step = 1;
		}
	} else if (n > tag_length && memcmp(line, tag, tag_length) == 0) {
		if (n < tag_length + 2 || memcmp(line + tag_length, "OK", 2) != 0)
			fail("%.*s (to %.*s)", (int)n, line, (int)(c->out_length > 80 ? 80 : c->out_length),
			    c->out);
		answered(c);
	} else {
		heard(c, line, n);
	}
}

static void line_ended(struct connection *c, const char *line, size_t n)
{
	bool continued = c->continued;
	const char *brace;

	if (n > 0 && line[n - 1] == '\r')
		n--;
	c->continued = false;
	if (n > 2 && line[n - 1] == '}' && (brace = memrchr(line, '{', n)) != NULL) {
		char *end;
		unsigned long long size = strtoull(brace + 1, &end, 10);

		if (end == line + n - 1) {
			c->literal = size;
			c->continued = true;
			return;
		}
	}
	if (continued)
		results.untagged++;
	else
		response(c, line, n);
}

static void keep(struct connection *c, const char *data, size_t n)
{
	if (c->line_length + n > LONGEST_LINE)
		fail("a line of more than %zu octets", LONGEST_LINE);
	if (c->line_length + n > c->line_size) {
		c->line_size = (c->line_length + n) * 2;
		c->line = resize(c->line, c->line_size);
	}
	memcpy(c->line + c->line_length, data, n);
	c->line_length += n;
}

static void received(struct connection *c, const char *data, size_t n)
{
	results.octets += n;
	while (n > 0 && c->fd >= 0) {
		const char *end;
		size_t length;

		if (c->literal > 0) {
			length = c->literal < n ? (size_t)c->literal : n;
			c->literal -= length;
			data += length;
			n -= length;
			continue;
		}
		end = memchr(data, '\n', n);
		length = end == NULL ? n : (size_t)(end - data) + 1;
		if (end == NULL || c->line_length > 0)
			keep(c, data, length);
		if (end != NULL && c->line_length > 0) {
			size_t whole = c->line_length - 1;

			c->line_length = 0;
			line_ended(c, c->line, whole);
		} else if (end != NULL) {
			line_ended(c, data, length - 1);
		}
		data += length;
		n -= length;
	}
}

static void receive(struct connection *c)
{
	static char buffer[READ_SIZE];

	for (int i = 0; i < 16 && c->fd >= 0; i++) {
		ssize_t n;

		if (c->ssl != NULL) {
			n = SSL_read(c->ssl, buffer, sizeof(buffer));
			if (n <= 0 && SSL_get_error(c->ssl, (int)n) != SSL_ERROR_WANT_READ &&
			    SSL_get_error(c->ssl, (int)n) != SSL_ERROR_WANT_WRITE)
				fail("TLS failed while reading (%d)", c->phase);
		} else {
			n = recv(c->fd, buffer, sizeof(buffer), 0);
			if (n == 0 || (n < 0 && errno != EAGAIN))
				fail("the server closed the connection (%d)", c->phase);
		}
		if (n <= 0)
			return;
		received(c, buffer, (size_t)n);
		if (c->ssl == NULL && (size_t)n < sizeof(buffer))
			return;
	}
}

/* -- connections -- */

static void begin(struct connection *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)options.port)};
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	int on = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->began = now();
	c->phase = GREETING;
	c->tag = 0;
	c->wants_write = false;
	c->literal = 0;
	c->line_length = 0;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		fail("connect: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (options.tls) {
		c->ssl = SSL_new(tls_context);
		if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1)
			fail("TLS does not begin");
	}
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e) != 0)
		fail("epoll: %s", strerror(errno));
	if (c->ssl != NULL)
		receive(c);
}

static void events(int milliseconds)
{
	struct epoll_event e[64];
	int n = epoll_wait(poller, e, 64, milliseconds);

	for (int i = 0; i < n; i++) {
		struct connection *c = e[i].data.ptr;

		if (c->fd >= 0 && (e[i].events & EPOLLOUT) != 0)
			flush(c);
		if (c->fd >= 0)
			receive(c);
	}
}

static bool every(enum phase phase)
{
	for (unsigned i = 0; i < options.connections; i++)
		if (all[i].phase != phase && !(all[i].phase == IDLING && all[i].step == 1))
			return false;
	return true;
}

static void run_until(enum phase phase, uint64_t limit)
{
	while (!every(phase)) {
		if (now() > limit)
			fail("not finished in %.0f seconds", options.timeout);
		events(100);
	}
}

/* Each time after a pause, so that what a server does at intervals is met at any moment of them. */
static void notify(uint64_t limit)
{
	struct connection *c = &all[1];

	while (c->done < options.repeat && !time_is_up()) {
		size_t before = results.count;
		uint64_t pause = now() + 20000000u + (uint64_t)(rand_r(&c->seed) % 30) * 1000000u;

		while (now() < pause)
			events(5);
		operate(c);
		while (results.count == before || c->phase != READY) {
			if (now() > limit)
				fail("no EXISTS in %.0f seconds", options.timeout);
			events(100);
		}
	}
}

/* -- results -- */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print_results(void)
{
	size_t n = results.count;
	double none = 0, *t = n > 0 ? results.times : &none;

	qsort(t, n, sizeof(*t), ascending);
	printf("{\"operations\": %zu, \"seconds\": %.6f, \"median\": %.9f, \"p99\": %.9f, \"least\": %.9f, "
	       "\"octets\": %llu, \"untagged\": %llu}\n",
	    n, n == 0 ? 0 : (double)(results.ended - results.began) / 1e9, t[n / 2],
	    t[n == 0 ? 0 : (n - 1) * 99 / 100], t[0], (unsigned long long)results.octets,
	    (unsigned long long)results.untagged);
	fflush(stdout);
}

static void wait_for_line(void)
{
	char line[64];

	if (fgets(line, sizeof(line), stdin) == NULL)
		return;
}

static void run(void)
{
	uint64_t limit = now() + (uint64_t)(options.timeout * 1e9);

	all = calloc(options.connections, sizeof(*all));
	if (all == NULL)
		fail("no memory");
	for (unsigned i = 0; i < options.connections; i++)
		all[i] = (struct connection){.fd = -1, .number = i, .seed = i + 1, .phase = READY};
	for (unsigned i = 0; i < options.connections && !options.each_login; i++) {
		begin(&all[i]);
		if (i == 0) /* it asks for the capabilities of all */
			while (all[0].phase < READY && now() < limit)
				events(100);
	}
	run_until(READY, limit);
	results.octets = results.untagged = 0;
	puts("ready");
	fflush(stdout);
	wait_for_line();
	results.began = now();
	if (options.notify) {
		notify(limit);
	} else {
		for (unsigned i = 0; i < options.connections; i++) {
			if (options.each_login)
				begin(&all[i]);
			else
				operate(&all[i]);
		}
		run_until(FINISHED, limit);
	}
	print_results();
	wait_for_line();
}

static bool option(int o, const char *value)
{
	switch (o) {
	case 'p':
		return (options.port = atoi(value)) > 0;
	case 'u':
		return (options.user = value) != NULL;
	case 'w':
		return (options.password = value) != NULL;
	case 'c':
		return (options.connections = (unsigned)atoi(value)) > 0;
	case 'r':
		return (options.repeat = strtoul(value, NULL, 10)) > 0;
	case 's':
		return (options.seconds = atof(value)) > 0;
	case 'l':
		return (options.timeout = atof(value)) > 0;
	case 'm':
		return (options.messages = strtoul(value, NULL, 10)) > 0;
	case 't':
		return options.tls = true;
	case 'e':
		return options.each_login = true;
	case 'n':
		return options.notify = true;
	case 'x':
		return options.mixed = true;
	case 'b':
		if (options.setups == MAX_COMMANDS)
			return false;
		options.setup[options.setups++] = value;
		return true;
	default:
		return false;
	}
}

static void parse_options(int argc, char **argv)
{
	static const struct option known[] = {
	    {"port", 1, NULL, 'p'},
	    {"user", 1, NULL, 'u'},
	    {"password", 1, NULL, 'w'},
	    {"connections", 1, NULL, 'c'},
	    {"tls", 0, NULL, 't'},
	    {"repeat", 1, NULL, 'r'},
	    {"seconds", 1, NULL, 's'},
	    {"messages", 1, NULL, 'm'},
	    {"each-login", 0, NULL, 'e'},
	    {"notify", 0, NULL, 'n'},
	    {"mixed", 0, NULL, 'x'},
	    {"setup", 1, NULL, 'b'},
	    {"timeout", 1, NULL, 'l'},
	    {NULL, 0, NULL, 0},
	};

	for (int o; (o = getopt_long(argc, argv, "", known, NULL)) != -1;)
		if (!option(o, optarg))
			fail("see the head of load.c");
	for (; optind < argc && options.n_commands < MAX_COMMANDS; optind++)
		options.commands[options.n_commands++] = argv[optind];
	if (options.notify)
		options.connections = 2;
	if (options.port == 0 || options.user == NULL || options.password == NULL || optind < argc)
		fail("see the head of load.c");
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (options.tls) {
		tls_context = SSL_CTX_new(TLS_client_method());
		if (tls_context == NULL)
			fail("no TLS");
		SSL_CTX_set_mode(
		    tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	}
	run();
	return 0;
}
