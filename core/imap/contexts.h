/*
 * contexts.h: searches whose results stay up to date: RETURN (UPDATE) of SEARCH and SORT (RFC 5267 §4.3).
 *
 * A context is a program and the UIDs that matched it, as the client was told. It follows the news of the
 * mailbox: what was expunged leaves it before the EXPUNGE is told, and also when none may be told yet
 * (REMOVEFROM); what is new, or has other flags, is looked at after the EXISTS and FETCH that tell it (ADDTO,
 * REMOVEFROM). Nothing else of a message changes, so nothing else is looked at again; messages that come of
 * age (OLDER, YOUNGER) are found when they change.
 *
 * Results of SEARCH are in the order of the mailbox and need no positions. Those of SORT have them: what
 * leaves is told from the last position to the first, what comes from the first to the last, so that each
 * position is right when its turn comes.
 *
 * There are at most imap.contexts; one more is answered with [NOUPDATE] and is a search without updates. They
 * end with CANCELUPDATE and with the mailbox.
 */
#ifndef MORTISE_IMAP_CONTEXTS_H
#define MORTISE_IMAP_CONTEXTS_H

#include "imap/search_result.h"

/* A context was begun by the command with this tag: it may not be used again (§4.3). */
bool context_named(const struct session *s, struct str tag);
/*
 * At a searching command's end, whatever became of it: takes request->arena, and keeps the context if the
 * command is not failing. `order` NULL: SEARCH. Says [NOUPDATE] when there are too many.
 */
void context_keep(const struct search_scope *scope, struct search_request *request,
    const struct sort_program *order, const search_numbers *found);
/* Before the view's news are told, and after. */
void contexts_forget_expunged(struct session *s);
void contexts_follow(struct session *s);
void contexts_clear(struct session *s);

#endif
