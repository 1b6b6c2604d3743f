/*
 * scan.h: dividing a mailbox file into messages.
 *
 * One pass from an offset to the end, through a window of bounded size, line by line, in time that grows with
 * the file's length and nothing else. The scanner says where things are and what is written there; what is
 * believed of it is decided elsewhere (sync.c). It never writes, and it knows nothing of the server, so it is
 * fuzzed by itself.
 *
 *     From …                       from_size octets
 *     [block] header               ends behind its first empty line, or where the file ends
 *     text                         ends before …
 *     [one empty line]             … the separator: the message's last line, when that is empty
 *     From …                       the next message: in text, any line that is a From line begins one
 *
 * A From line in a header is header text. Content-Length is not looked at. Lines end with LF, or CR LF, which
 * is told by line. A header line of any length costs no memory; only its first octets are looked at.
 */
#ifndef UNIX_SCAN_H
#define UNIX_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define UNIX_WINDOW 524288u
#define UNIX_LINE_HEAD 8192u
#define UNIX_WORDS_MAX 4096u

/* Where the octets come from: a descriptor, or memory when fd is -1. */
struct unix_input {
	int fd;
	const unsigned char *memory;
	uint64_t end;           /* nothing is read from here on */
	int (*stop)(void *arg); /* asked once a window: 0 or a negative code; may be NULL */
	void *stop_arg;
};

/* How far a field's place speaks for it. */
enum unix_place {
	UNIX_PLACE_NONE,  /* it is not there */
	UNIX_PLACE_LOOSE, /* anybody could have written it */
	UNIX_PLACE_TAIL,  /* as c-client writes it when it rewrites a mailbox; a sender can imitate that */
	UNIX_PLACE_HEAD,  /* directly behind the From line, where no sender gets */
};

struct unix_scanned {
	uint64_t start; /* of the From line */
	uint32_t from_size;
	uint64_t header_end;
	uint64_t text_end;
	uint64_t next;      /* where the next From line is, or the end */
	uint64_t octets;    /* as CRLF, internal fields and separator left out */
	bool header_closed; /* there is an empty line */
	bool ends_line;     /* its last line ends with LF */
	bool separated;     /* there is a separator */
	int64_t time;       /* of the From line */
	int32_t zone;
	bool date_valid;
	uint32_t from_check;

	/* The block, when there is exactly one run of fields that has a block's form. */
	bool block;
	bool block_uid;       /* it has an X-UID line */
	uint64_t block_start; /* absolute */
	uint32_t block_size;
	bool strays; /* internal fields outside the block */

	uint32_t uid; /* 0: none, or not a number */
	enum unix_place uid_place;
	bool gone; /* X-Expunged behind the From line, and what it says */
	uint32_t gone_code;
	uint64_t rest;                  /* status.h; only from behind the From line */
	unsigned letters, head_letters; /* of all Status fields; of those behind the From line */
	char words[UNIX_WORDS_MAX];     /* X-Keywords, separated by spaces */
	size_t words_size, head_words_size;
	bool words_lost; /* more than there is room for */

	/* The first message of a file only. */
	bool pseudo; /* X-IMAP, in what looks like a pseudo-message and not like delivered mail */
	enum unix_place base_place;
	uint32_t uidvalidity, uidlast, token, mark;
	char base_words[UNIX_WORDS_MAX];
	size_t base_words_size;
	bool base_block; /* the block (or X-IMAP with Status) holds it: can be changed in place */
};

/* Errors of their own, beside the codes of `stop`. */
#define UNIX_SCAN_BAD (-1001)   /* no From line where one must be: scanner->position */
#define UNIX_SCAN_IO (-1002)    /* errno */
#define UNIX_SCAN_SHORT (-1003) /* the file ends before input.end: scanner->position */
#define UNIX_SCAN_MEMORY (-1004)

struct unix_scanner {
	struct unix_input input;
	unsigned char *window;
	uint64_t base; /* offset of window[0] */
	size_t fill, at;
	uint64_t position; /* of an error */
	size_t window_size;
	size_t step; /* how much is read next */
	bool zeros;  /* the last window read was all NUL: look for a hole */
	/* Called for each internal line (with its continuations), when set. */
	void (*cut)(void *arg, uint64_t offset, uint64_t size);
	void *cut_arg;
};

/* The window is at least twice UNIX_FROM_MAX. 0 or a code. Always close it. */
int unix_scan_open(
    struct unix_scanner *s, const struct unix_input *input, uint64_t offset, size_t window_size);
void unix_scan_seek(struct unix_scanner *s, uint64_t offset);
/* Octets that are in the window, or NULL. */
const unsigned char *unix_scan_octets(const struct unix_scanner *s, uint64_t offset, size_t size);
void unix_scan_close(struct unix_scanner *s);
/* At a file's beginning: white space before the first From line is passed over. */
int unix_scan_begin(struct unix_scanner *s);
/* The message at the scanner's offset; 1, 0 at the end, or a code. */
int unix_scan_next(struct unix_scanner *s, struct unix_scanned *m);
/* Its header only: text_end, next, octets, ends_line and separated stay unset. */
int unix_scan_header(struct unix_scanner *s, struct unix_scanned *m);

uint32_t unix_check(const unsigned char *p, size_t size);

#endif
