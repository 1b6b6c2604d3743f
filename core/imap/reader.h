/*
 * reader.h: from octets to one complete command.
 *
 * A push parser that finds where a command ends: lines and their literals (RFC 9051 §4.3, RFC 7888). It is
 * fed octets in any chunks and says what it needs next; it does no I/O, so the front (event loop), the
 * session (blocking) and the fuzzer drive the same code. Limits are here: line length, literal size, sum of
 * all octets of a command. What it hands out is parsed by parse.h.
 *
 * APPEND's message literals are not collected: the reader stops in front of them (READER_STREAM) and the
 * session takes the octets from the connection itself.
 */
#ifndef MORTISE_IMAP_READER_H
#define MORTISE_IMAP_READER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

struct reader_limits {
	uint32_t line;     /* octets of one line without literals: 65536 */
	uint32_t literal;  /* octets of one collected literal */
	uint32_t command;  /* octets of the whole command, all literals included */
	uint32_t literals; /* how many literals */
};

enum reader_state {
	READER_MORE,     /* feed more octets */
	READER_CONTINUE, /* send "+ …" and feed more (a synchronising literal was announced) */
	READER_STREAM,   /* a message literal of APPEND begins: see reader_stream_size */
	READER_COMMAND,  /* a whole command: reader_command */
	READER_BAD /* refused: reader_error; the rest of the line (and non-synchronising literal) is skipped
	            */
};

struct reader;
struct reader *reader_new(const struct reader_limits *l);
void reader_free(struct reader **rp);
/* Takes octets from *in (consumed part is cut off its front). */
enum reader_state reader_feed(struct reader *r, struct str *in);
/*
 * The command: its octets in order. A literal stands in it as `{n}` CRLF and its n octets, so the parser sees
 * the wire form; the final CRLF is not included. Valid until the next feed.
 */
struct str reader_command(const struct reader *r);
struct str reader_tag(const struct reader *r); /* of the command being read, empty when not known yet */
const char *reader_error(const struct reader *r);
/* READER_STREAM: octets of the literal, whether the client waits for "+", whether it is literal8 (~{n}). */
uint64_t reader_stream_size(const struct reader *r, bool *synchronising, bool *binary);
/* The literal was taken (or skipped); go on with the line after it. */
void reader_stream_done(struct reader *r);
bool reader_idle(const struct reader *r); /* between commands: nothing of one has come */

#endif
