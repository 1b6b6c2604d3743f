#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "net/listen.h"
#include "base/banned.h"

static const struct mortise_option listen_option_table[] = {
    MORTISE_OPTION(struct listen_options, imap, LIST, "*:143", .flags = MORTISE_OPTION_RELOADABLE,
        .help = "addresses of IMAP with STARTTLS: HOST:PORT, [IPV6]:PORT, *:PORT or unix:/path"),
    MORTISE_OPTION(struct listen_options, imaps, LIST, "*:993", .flags = MORTISE_OPTION_RELOADABLE,
        .help = "addresses of IMAP over TLS; opened only where there is TLS (a certificate, or self_signed)"),
    MORTISE_OPTION(struct listen_options, backlog, UINT, "1024", .min = "1", .max = "65535",
        .help = "connections the kernel keeps waiting for each address"),
    MORTISE_OPTION(struct listen_options, unix_mode, OCTAL, "0666", .help = "mode of socket files"),
};

const struct conf_group listen_conf_group = {
    .name = "listen",
    .options = listen_option_table,
    .count = ARRAY_LEN(listen_option_table),
    .size = sizeof(struct listen_options),
    .summary = "the addresses the server is reached at",
};

static void add(struct listeners *all, const char *service, bool tls, const char *address, int fd)
{
	struct listener *l = vec_push(all);

	*l = (struct listener){.service = service, .tls = tls, .fd = fd};
	(void)snprintf(l->address, sizeof(l->address), "%s", address);
}

/* A socket file that nobody answers at is left over and removed; any other file is not ours to remove. */
static int remove_stale(const struct sockaddr_un *un, struct err *e)
{
	AUTO_CLOSE int fd = -1;
	struct stat st;

	if (lstat(un->sun_path, &st) != 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_fault(e, MORTISE_E_EXISTS, "%s exists and is not a socket", un->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)un, sizeof(*un)) != 0 && errno == ECONNREFUSED) {
		(void)unlink(un->sun_path);
		return 0;
	}
	return err_fault(e, MORTISE_E_INUSE, "%s: another process listens there", un->sun_path);
}

static int open_unix(struct listeners *all, const char *service, bool tls, const char *address,
    const struct listen_options *o, struct err *e)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct str path = str_from(str_of(address), strlen("unix:"));
	AUTO_CLOSE int fd = -1;
	mode_t old;
	int r;

	if (path.n == 0 || path.n >= sizeof(un.sun_path) || path.p[0] != '/')
		return err_fault(e, MORTISE_E_INVALID, "%s: not an absolute path of at most %zu octets",
		    address, sizeof(un.sun_path) - 1);
	memcpy(un.sun_path, path.p, path.n);
	if (remove_stale(&un, e) != 0)
		return e->code;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, "%s: socket", address);
	old = umask(0777);
	r = bind(fd, (struct sockaddr *)&un, sizeof(un));
	(void)umask(old);
	if (r != 0 || chmod(un.sun_path, o->unix_mode & 0777) != 0 || listen(fd, (int)o->backlog) != 0)
		return err_errno(e, "%s", address);
	add(all, service, tls, address, fd);
	fd = -1;
	return 0;
}

/* Splits HOST:PORT; host is "" for every address. */
static int split_address(const char *address, char host[256], char port[32], struct err *e)
{
	const char *colon = strrchr(address, ':');
	size_t n = colon != NULL ? (size_t)(colon - address) : 0;

	if (colon == NULL || n == 0 || n >= 256 || colon[1] == '\0' || strlen(colon + 1) >= 32)
		return err_fault(
		    e, MORTISE_E_INVALID, "%s: not HOST:PORT, [IPV6]:PORT, *:PORT or unix:/path", address);
	if (address[0] == '[' && address[n - 1] == ']') {
		address++;
		n -= 2;
	}
	memcpy(host, address, n);
	host[n] = '\0';
	if (strcmp(host, "*") == 0)
		host[0] = '\0';
	(void)snprintf(port, 32, "%s", colon + 1);
	return 0;
}

static int open_inet(const struct addrinfo *ai, const struct listen_options *o)
{
	AUTO_CLOSE int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, got;

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, (int)o->backlog) != 0)
		return -1;
	got = fd;
	fd = -1;
	return got;
}

int listen_open(struct listeners *all, const char *service, bool tls, const char *address,
    const struct listen_options *o, struct err *e)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *list = NULL, *ai;
	char host[256], port[32];
	size_t opened = 0;
	int r;

	if (strncmp(address, "unix:", 5) == 0)
		return open_unix(all, service, tls, address, o, e);
	if (split_address(address, host, port, e) != 0)
		return e->code;
	r = getaddrinfo(*host != '\0' ? host : NULL, port, &hints, &list);
	if (r != 0)
		return err_fault(e, MORTISE_E_NOTFOUND, "%s: %s", address, gai_strerror(r));
	for (ai = list; ai != NULL && e->code == 0; ai = ai->ai_next) {
		int fd = open_inet(ai, o);

		if (fd >= 0) {
			add(all, service, tls, address, fd);
			opened++;
		} else if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL) {
			err_errno(e, "%s", address);
		}
	}
	freeaddrinfo(list);
	if (e->code == 0 && opened == 0)
		return err_fault(e, MORTISE_E_UNAVAILABLE, "%s: no such address on this host", address);
	return e->code;
}

/* Port of an inherited socket, 0 for others; -1 when it does not listen. */
static int inherited_port(int fd)
{
	struct sockaddr_storage a = {0};
	socklen_t n = sizeof(a);
	int listening = 0;
	socklen_t size = sizeof(listening);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening)
		return -1;
	if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		return -1;
	if (a.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&a)->sin_port);
	if (a.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
	return 0;
}

int listen_inherit(struct listeners *all, unsigned count, const char *names, struct err *e)
{
	struct str rest = str_of(names != NULL ? names : "");
	unsigned i;

	for (i = 0; i < count; i++) {
		struct str name = str_cut(&rest, ':');
		int fd = 3 + (int)i, port = inherited_port(fd);
		bool tls;

		if (port < 0)
			return err_fault(e, MORTISE_E_INVALID,
			    "descriptor %d from socket activation is not a listening stream socket", fd);
		if (str_eqc(name, "imaps") || str_eqc(name, "imap"))
			tls = str_eqc(name, "imaps");
		else
			tls = port == 993;
		if (io_cloexec(fd, 1) != 0 || io_nonblock(fd, 1) != 0)
			return err_errno(e, "descriptor %d from socket activation", fd);
		add(all, "imap", tls, "(socket activation)", fd);
		vec_last(all)->inherited = true;
	}
	return 0;
}

void listen_close(struct listener *l)
{
	if (!l->inherited && strncmp(l->address, "unix:", 5) == 0)
		(void)unlink(l->address + 5);
	io_close(&l->fd);
}
