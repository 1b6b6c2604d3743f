/*
 * limits.h: how many messages one command works on: MESSAGELIMIT and SAVELIMIT (RFC 9738).
 *
 * Both are off unless they are configured: a client that does not know them takes an answer for all it asked
 * for. With imap.message_limit, FETCH, STORE, SEARCH, MOVE and UID EXPUNGE work on the messages with the
 * highest UIDs only, and their OK says [MESSAGELIMIT n uid] with the lowest one that was reached; the client
 * goes on below it. What must be done as a whole is refused: COPY, a MULTIAPPEND, SORT and THREAD. EXPUNGE,
 * CLOSE and STATUS know no limit. imap.save_limit is for COPY and APPEND alone.
 */
#ifndef MORTISE_IMAP_LIMITS_H
#define MORTISE_IMAP_LIMITS_H

#include "imap/session_int.h"
#include "search/search.h"

/* Cuts the set to its highest UIDs, as many as a command may work on. True: some were cut off. */
bool limit_messages(struct session *s, struct number_set *uids);
/* True: so many messages are too many to be worked on as a whole; NO was said. */
bool limit_exceeded(struct session *s, uint64_t messages);
/* Likewise to be saved, of COPY. */
bool limit_copy(struct session *s, const struct number_set *uids);
/* Messages that one APPEND may have, and the code for one that has more. */
uint64_t limit_append(struct session *s, const char **code);
/*
 * Messages 1 to n are not searched, as there are enough above them that the program's numbers and UIDs let
 * through. 0: all are searched.
 */
uint32_t limit_search(struct session *s, const struct search *program);
/* Before the tagged line: that only some were worked on. */
void limit_tell(struct session *s);

#endif
