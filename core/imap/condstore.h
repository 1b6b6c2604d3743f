/*
 * condstore.h: mod-sequences on the wire: CONDSTORE and QRESYNC (RFC 7162).
 *
 * A client that has said with one of many commands that it knows mod-sequences (condstore_enable) gets the
 * UID and the MODSEQ in every FETCH response that it did not ask for; one that said ENABLE QRESYNC gets
 * VANISHED in place of EXPUNGE as well. A mailbox without lasting mod-sequences says [NOMODSEQ] when it is
 * selected; with it nothing changes, and commands that need them are BAD.
 *
 * What a client remembers. It takes the highest MODSEQ it was told as the moment up to which it knows
 * everything, and asks for what came later when it is back. That is true as long as every command ends with
 * all news told, which update_view sees to. Only expunges must wait during FETCH, STORE and SEARCH by number.
 * Their mod-sequences may be below one that is told meanwhile; therefore the session keeps the
 * mod-sequence up to which all was told (session.settled), and condstore_settle says [HIGHESTMODSEQ] with
 * that one while expunges wait (RFC 7162 §3.2, §6). After a VANISHED, which has no mod-sequence of its own,
 * it says it as well: EXPUNGE and its kin must, and the others spare the client from hearing it again.
 */
#ifndef MORTISE_IMAP_CONDSTORE_H
#define MORTISE_IMAP_CONDSTORE_H

#include "imap/session_int.h"

/* A CONDSTORE enabling command. The first with a mailbox selected says [HIGHESTMODSEQ]. */
void condstore_enable(struct session *s);
/* The selected mailbox has mod-sequences; else BAD was said. */
bool condstore_possible(struct session *s);
/* [HIGHESTMODSEQ] or [NOMODSEQ] of the mailbox that was just selected. */
void condstore_selected(struct session *s);
/* After the update that follows a command, before its tagged line. */
void condstore_settle(struct session *s);

/* VANISHED instead of EXPUNGE. */
bool session_vanishes(const struct session *s);
/* "* VANISHED …", in as many lines as the number of ranges takes; nothing for an empty set. */
void write_vanished(struct session *s, bool earlier, const struct number_set *uids);
/*
 * VANISHED (EARLIER): those of `uids` that were expunged after mod-sequence `since`, and, for what is too
 * long ago to be remembered, those that are not there. Never one that the client has in its numbering.
 */
void write_vanished_earlier(struct session *s, uint64_t since, const struct number_set *uids);

/* ---- qresync.c ---- */
/* The parameters of SELECT and EXAMINE (RFC 4466 §2.1). */
struct select_parameters {
	bool condstore, qresync;
	uint32_t uidvalidity;
	uint64_t modseq;
	bool has_known;
	struct number_set known;              /* UIDs */
	struct number_set sequences, matches; /* message numbers, and the UIDs they had: as many */
};
/* [SP "(" parameters ")"]. False: the parse has the error. */
bool select_parameters(struct session *s, struct parse *p, struct select_parameters *out);
/* What QRESYNC asks for, when the mailbox is the one the client knows. */
void resynchronise(struct session *s, struct select_parameters *w);

#endif
