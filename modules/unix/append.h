/*
 * append.h: new messages, from the first octet until they are in the mailbox.
 *
 * append.c collects the text of a batch in the form it will have; commit.c puts it behind the file's end. The
 * text is kept in memory, up to option append_memory; what is more goes to a file without a name, so it is
 * written twice at most, and most of it once.
 */
#ifndef UNIX_APPEND_H
#define UNIX_APPEND_H

#include "box.h"

struct unix_appended {
	uint64_t begin, end; /* in the text */
	unsigned letters;
	char *words; /* keyword names, each behind a space */
	int64_t time;
	int32_t zone;
	uint32_t uid; /* asked for; at last, given */
};

/* The first `spooled` octets of the text are in fd, the others in memory. */
struct unix_append {
	uint32_t magic;
	struct unix_box *b;
	int fd; /* or -1 */
	uint64_t size, spooled;
	unsigned char *text;
	size_t fill, text_room;
	struct unix_appended *messages;
	size_t count, room;
	/* the message being written */
	bool header;  /* its header goes on */
	bool in_line; /* the line's head has been dealt with */
	unsigned char head[1024];
	size_t head_size;
	size_t carriage_returns; /* held back: dropped before an LF */
	unsigned char last;      /* octet written */
};

/* All messages behind the file's end. The exclusive lock is held; it may be that of an append alone. */
int unix_commit(struct mortise_call *call, struct unix_append *a);

#endif
