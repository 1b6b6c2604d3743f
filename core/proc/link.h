/*
 * link.h: a socket to another role, in an event loop.
 *
 * A link receives whole messages (base/pack.h) and sends without ever waiting: when the other side does not
 * read, sending fails and the one thing that needed it fails, not this process (attack-143). A message that
 * the receiver does not understand ends the link; descriptors that nobody took are closed.
 */
#ifndef MORTISE_PROC_LINK_H
#define MORTISE_PROC_LINK_H

#include <event2/event.h>

#include "base/pack.h"

struct link;

struct link_message {
	uint16_t type;
	struct unpack *fields;
	int *fds; /* taken by setting to -1 */
	size_t fd_count;
};

struct link_events {
	/* false: the peer broke the rules (the link is then ended). May free the link. */
	bool (*message)(void *arg, struct link *l, struct link_message *m);
	/* The peer is gone, or broke the rules. Must free the link. */
	void (*ended)(void *arg, struct link *l, const char *why);
};

struct link *link_new(struct event_base *base, int fd, const struct link_events *events, void *arg);
void link_free(struct link **lp);
/* false: not sent. */
bool link_send(struct link *l, const struct buf *message, const int *fds, size_t fd_count);
/*
 * Takes what has come on this link, now, from inside the event of another one: what its peer sent before it
 * told a third process must not be found missing because the loop turned to that one first. May free the
 * link.
 */
void link_pump(struct link *l);

/* A connected pair of close-on-exec sockets with room for many messages. */
int link_pair(int out[2]);

#endif
