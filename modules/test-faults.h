/*
 * test-faults.h: what tests of drivers under bad circumstances have in common.
 *
 * Messages with a number, which their text repeats, so that each can be told from all others and every octet
 * of it checked; disks that are full; journals that were left; many processes at one mailbox, and a ledger of
 * what was acknowledged to them.
 */
#ifndef MODULES_TEST_FAULTS_H
#define MODULES_TEST_FAULTS_H

#include <sys/resource.h>
#include <sys/types.h>

#include "unix/test-support.h"

/* Message n as an APPEND brings it; `pad` octets and a line's end follow its body. Of malloc. */
char *numbered_text(unsigned n, size_t pad);
/* The number of a message, all of its text having been checked. */
unsigned number_of(struct session *s, uint32_t uid, size_t pad);
/* Messages 1 … count, in order, and nothing else. */
void all_are_there(struct session *s, unsigned count, size_t pad);

/* Files do not become longer. RLIM_INFINITY: they do again. */
void size_limit(rlim_t limit);
/* The mailbox has messages 1 … 3 with 100 octets: APPENDs fail in the middle, and what they wrote is gone. */
void appends_fail_and_leave_nothing(struct rig *r, rlim_t most);

/* What the core does with a journal that waits. */
void replay_journal(struct rig *r, struct session *s);
/* Journals stop at this step from now on; NULL: no more. */
void stop_journal_at(const char *step);

#define WRITERS 4
#define NUMBERS 10000

/* What became of a message: shared by the processes. */
struct ledger {
	uint32_t uid[NUMBERS]; /* by number; as append said */
	bool there[NUMBERS], gone[NUMBERS], seen[NUMBERS];
};

struct ledger *ledger_new(void);
/* A process that appends, flags, expunges and reopens at random. */
pid_t start_writer(struct rig *r, struct ledger *l, unsigned i, unsigned turns);
void wait_for_writer(pid_t pid);
/* Everything is as the ledger says; and frees that. */
void ledger_check(struct rig *r, struct ledger *l);

#endif
