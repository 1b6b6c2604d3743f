/*
 * journal.h: the rewrite journal, for mailbox formats that are rewritten in place.
 *
 * A driver that takes messages out of the middle of a file has to move everything behind them. A crash half
 * way leaves a file in which some sectors are old and some new, and neither mailbox is in it. So the new tail
 * is first written beside the state directory, synced and given its name; only then is the mailbox touched.
 * Whoever next holds the mailbox's exclusive lock finds the journal and finishes the work.
 *
 * Between the crash and that moment others may have been there: a delivery agent that appended a message to
 * the half-written file, a user who restored it from a backup. Sizes and times cannot tell these apart from
 * our own half-done work, so the journal carries a checksum of every old 512-octet sector. At replay each
 * sector of the file must be the old one or the new one. If so, whatever was appended behind is kept; if not,
 * somebody else changed the file, and the journal is set aside, not applied.
 *
 * A journal is complete or not there: it is written without a name (or under a temporary one), synced, then
 * linked, and the directory synced. Its name is journal.DEV.INO (hexadecimal) of the mailbox file; after a
 * reboot that gave the device another number, one with the same INO is taken if the sectors fit. Set aside
 * it is aside.DEV.INO.SECONDS; nothing reads that again but a human.
 *
 * The file, all numbers little-endian. O is where the change begins, L how long the new tail is, A = O + L
 * the file's new size, B its size before. The old octets [O, B) are cut into sectors at multiples of 512 of
 * the mailbox file, and at A and B: N sectors.
 *
 *      offset      size  content
 *      0           L     the new octets of the mailbox file from O on
 *      L           8 N   for each old sector its checksum
 *      L + 8 N     128   the trailer:
 *        +0        8     device of the mailbox file
 *        +8        8     inode
 *        +16       8     O
 *        +24       8     L
 *        +32       8     B
 *        +40       8     N
 *        +48       4     sector size, 512
 *        +52       4     1 when the old file was itself half-written (written by a replay), else 0
 *        +56       8     checksum of the new octets
 *        +64       8     checksum of the N checksums
 *        +72       8     wall clock when it was written, seconds
 *        +80       24    zero
 *        +104      8     checksum of trailer octets 0 … 103
 *        +112      4     version, 1
 *        +116      4     size of this trailer, 128
 *        +120      8     "MortJrnl"
 *
 * A later version keeps the last 16 octets as they are. A version that is not known is never replayed:
 * opening the mailbox is refused until the administrator has decided.
 *
 * The checksum is the one of base/checksum.h. The new octets are summed in pieces of 65,536:
 * total = checksum of (total, piece's checksum) as 16 octets, from total = 0. The table of checksums is
 * summed likewise; its pieces are the checksums of what lies between multiples of 65,536 of the mailbox file.
 */
#ifndef MORTISE_MODULE_JOURNAL_H
#define MORTISE_MODULE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct journal; /* one that is being written */

/*
 * A descriptor to write the new octets to, from its position 0 on; -1 with errno when none can be had here
 * (no directory, no room, not a regular file); or a code with e set when an older journal for this file has
 * not been replayed.
 */
int journal_open(int dir, int target, uint64_t offset, struct journal **out, struct err *e);
/*
 * Makes it so, frees. 0 or a code. UNAVAILABLE: the file may be half-written and the journal is there for
 * replay, so that nothing else may be done with the file before. Any other code: nothing was changed.
 */
int journal_commit(struct journal **jp, struct err *e);
void journal_discard(struct journal **jp); /* NULL is allowed inside */
int journal_fd(const struct journal *j);
/* Whether the file is to be replayed before it is read: its own journal is there, or another that fits. */
bool journal_pending(int dir, int target);

/* For tests of crashes: called between the steps of commit and replay; a non-zero answer stops there. */
extern int (*journal_step_hook)(const char *step);

#endif
