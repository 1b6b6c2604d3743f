/*
 * listen.h: the sockets the server is reached at.
 *
 * The master opens them (ports below 1024 need root) and never accepts; each front gets a copy. An address is
 * HOST:PORT, [IPV6]:PORT, *:PORT (every address, IPv4 and IPv6 in two sockets) or unix:/path, of which a
 * stale socket file is replaced and a living one is not. systemd may have opened them instead (LISTEN_FDS).
 */
#ifndef MORTISE_NET_LISTEN_H
#define MORTISE_NET_LISTEN_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/vec.h"
#include "conf/conf.h"

/* conf group "listen". */
struct listen_options {
	struct mortise_list imap;  /* STARTTLS, or in clear */
	struct mortise_list imaps; /* TLS from the first octet */
	uint64_t backlog;
	uint32_t unix_mode;
};
extern const struct conf_group listen_conf_group;

struct listener {
	const char *service; /* "imap": static */
	bool tls;
	bool inherited;    /* by socket activation: kept for ever */
	char address[128]; /* as configured */
	int fd;
};
struct listeners {
	struct listener *v;
	size_t n, cap;
};

/* Opens what `address` names and appends the sockets; 0 or a code. */
int listen_open(struct listeners *all, const char *service, bool tls, const char *address,
    const struct listen_options *o, struct err *e);
/*
 * Takes the sockets of socket activation: `count` descriptors from 3 on, `names` as in LISTEN_FDNAMES or
 * NULL. "imap" and "imaps" are services; another name counts by its port, 993 being imaps.
 */
int listen_inherit(struct listeners *all, unsigned count, const char *names, struct err *e);
/* Closes one and, if it was ours, removes its socket file. */
void listen_close(struct listener *l);

#define ADDRESS_TEXT 64
/* "192.0.2.1", "2001:db8::1" or "unix". IPv4-mapped addresses are shown as IPv4. */
void address_host(const struct sockaddr_storage *a, char out[ADDRESS_TEXT]);
/* The same with ":port". */
void address_full(const struct sockaddr_storage *a, char out[ADDRESS_TEXT]);
/* What counts as one address for limits: IPv6 by its /64 network, all of unix together. */
void address_key(const struct sockaddr_storage *a, char out[ADDRESS_TEXT]);

#endif
