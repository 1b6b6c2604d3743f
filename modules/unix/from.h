/*
 * from.h: the line that begins a message in a mailbox file.
 *
 * "From " at the line's beginning is not enough: text may say it too, and not every program quotes it. What
 * makes the line is the date at its end, so everything is measured from the right, and the sender between may
 * be anything, also empty, also with spaces:
 *
 *     From user@host Wed Dec  2 05:53:22 1992              seconds may be missing
 *     From user@host Wed Dec  2 05:53:22 PST 1992          a zone of three characters before the year
 *     From user@host Wed Dec  2 05:53:22 -0700 1992        a numeric one
 *     From user@host Wed Dec  2 05:53:22 1992 PST          or behind it
 *     From user@host Wed Dec  2 05:53:22 1992 -0700        (what c-client writes, and we)
 *     From uucp!user Wed Dec  2 05:53:22 1992 remote from somewhere
 *
 * Only the places of spaces and colons are looked at. Letters and digits may be nonsense; then the line is
 * valid and the date is not. These are c-client's verdicts, case by case, because a program that divides a
 * mailbox in another way than its neighbours destroys it.
 */
#ifndef UNIX_FROM_H
#define UNIX_FROM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A longer line is not taken for the beginning of a message. */
#define UNIX_FROM_MAX 65536u
/* Longest line from_write makes, with its LF. */
#define UNIX_FROM_WRITE_MAX 384u

struct unix_from {
	size_t date;     /* where the weekday is in the line */
	bool date_valid; /* the letters and digits make a date */
	int64_t time;    /* seconds since 1970 UTC; 0 when not valid */
	int32_t zone;    /* minutes east of UTC */
};

/* The line without its LF; a CR at its end does not count. False: it does not begin a message. */
bool unix_from_valid(const unsigned char *line, size_t size);
bool unix_from_parse(const unsigned char *line, size_t size, struct unix_from *from);
/* "From SENDER Www Mon dd hh:mm:ss yyyy +zzzz\n" into out[UNIX_FROM_WRITE_MAX]; returns its length. */
size_t unix_from_write(char *out, const char *sender, int64_t time, int32_t zone);
/* As above in ctime form without a zone, local time: the pseudo-message's. */
size_t unix_from_write_ctime(char *out, const char *sender, int64_t time);

#endif
