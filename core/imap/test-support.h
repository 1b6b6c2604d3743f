/*
 * test-support.h: sessions over a store with the memory driver, each in a thread of its own, spoken to as a
 * client would. A session's thread sleeps while the test looks away, so stores in one process do not meet.
 */
#ifndef MORTISE_IMAP_TEST_SUPPORT_H
#define MORTISE_IMAP_TEST_SUPPORT_H

#include <pthread.h>

#include "imap/session_int.h"
#include "store/test-support.h"

#define CLIENTS_MAX 4

struct client {
	struct fixture *f;
	struct store *store;
	struct imap_options o;
	struct imap_session_setup setup;
	pthread_t thread;
	bool running;
	int fd;      /* the test's end */
	int stop[2]; /* a pipe: readable means stop */
	int result;
	unsigned tag;
	struct buf in; /* received, not yet looked at */
};

/* Defaults of the option table, and the clients of one test. */
struct world {
	struct fixture *f;
	struct imap_options o;
	struct client *clients[CLIENTS_MAX];
	size_t count;
	bool preauth; /* the next clients begin so */
};

int world_setup(void **state);
int world_teardown(void **state);

void end_clients(struct world *w);

/* A new session, its greeting read. */
struct client *connect_client(struct world *w);
struct client *connect_greeted(struct world *w, const char **greeting);
/* Sends octets as they are. */
void send_raw(struct client *c, struct str octets);
#define SEND(c, text) send_raw((c), STR(text))
/*
 * Sends "T<n> TEXT CRLF" and gives all that came up to and including the tagged line, in which the tag is
 * "T". Or up to the end of the connection.
 */
const char *talk(struct client *c, const char *format, ...) PRINTF_LIKE(2, 3);
/* Reads until a line begins with this text; all that came. */
const char *until(struct client *c, const char *line_start);
const char *until_end(struct client *c); /* of the connection */
/* Waits for the session's end. */
int session_result(struct client *c);
/* APPEND of a message with these flags ("(\\Seen) " or ""); its answer. */
const char *append_text(struct client *c, const char *mailbox, const char *flags, const char *text);

#define assert_has(text, part)                                            \
	do {                                                              \
		const char *text_ = (text);                               \
		if (strstr(text_, (part)) == NULL)                        \
			fail_msg("\"%s\" is not in:\n%s", (part), text_); \
	} while (0)
#define assert_has_not(text, part)                                    \
	do {                                                          \
		const char *text_ = (text);                           \
		if (strstr(text_, (part)) != NULL)                    \
			fail_msg("\"%s\" is in:\n%s", (part), text_); \
	} while (0)

#endif
