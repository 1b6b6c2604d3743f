/*
 * append.h: adding messages in two files.
 *
 * append_data.c takes one message (append-message of RFC 4466 §2.6): its flags and date, then its octets as a
 * literal, a literal8 (RFC 3516), UTF8 (RFC 6855 §4) or put together from pieces (CATENATE, RFC 4469).
 * append.c has the commands, APPEND and REPLACE (RFC 8508), and what becomes of the messages.
 *
 * A literal goes from the connection to the driver as it comes, never all of it in memory. All messages of a
 * command arrive or none: what was begun is aborted when one fails or the client goes away in the middle. A
 * message that cannot be taken is refused before the client is asked for it, if it waits to be asked. A
 * literal8 and what is put together are collected first: in which encoding a part must be stored, and how
 * large the whole is, is known at the end.
 *
 * Header fields with octets above 0x7f are taken from every client: mail has them, whoever enabled what, and
 * what copies mail from server to server would otherwise lose it. imap.refuse_8bit_headers is for those who
 * want RFC 6855 §4 to the letter.
 */
#ifndef MORTISE_IMAP_APPEND_H
#define MORTISE_IMAP_APPEND_H

#include "imap/url_part.h"

struct spool;
struct appending {
	struct session *s;
	struct parse *p;
	const char *mailbox;
	struct append *batch;
	uint64_t messages;
	struct number_set replaced; /* REPLACE: UID of the message that goes */
	const char *code;           /* why `err`, when its own code does not tell */
	struct err err;
	struct url_reader reader;

	/* The message that is being taken. */
	struct flag_list flags;
	int64_t date;
	int zone;
	struct spool *spool;
	uint64_t collected; /* octets in the spool */
	bool literal8;
	struct {
		bool looked_at, over;
		size_t line; /* octets of the present one */
	} header;
};

/*
 * Takes the message at which the parse stands (in front of its SP), and goes on reading the command behind
 * it. False: nothing more of this command is to be read; BAD was said, or `err` tells why, or the session has
 * ended.
 */
bool append_take(struct appending *a);

#endif
