/*
 * reader.h: from octets to one complete command.
 *
 * A push parser that finds where a command ends: lines and their literals (RFC 9051 §4.3, RFC 7888). It is
 * fed octets in any chunks and says what it needs next; it does no I/O, so the front (event loop), the
 * session (blocking) and the fuzzer drive the same code. Limits are here: line length, literal size, sum of
 * all octets of a command. What it hands out is parsed by parse.h.
 *
 * A line that ends with {n}, {n+}, ~{n} or ~{n+} announces a literal, whatever stands before it: client and
 * server must agree on what is text and what is a command, even in a command that is wrong. A line may end
 * with a bare LF (people type at netcat); a bare CR or a NUL is left to parse.h, which refuses it.
 *
 * The message literals of APPEND and REPLACE are not collected: the reader stops in front of them
 * (READER_STREAM) and the session takes the octets from the connection itself. The mailbox name may be a
 * literal too; that one is collected.
 */
#ifndef MORTISE_IMAP_READER_H
#define MORTISE_IMAP_READER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

struct reader_limits {
	uint32_t line;             /* octets of one line without literals: 65536 */
	uint32_t literal;          /* octets of one collected literal */
	uint32_t command;          /* octets of the whole command, all collected literals included */
	uint32_t literals;         /* how many collected literals */
	uint32_t tag;              /* octets of a tag: 64 */
	uint64_t nonsynchronising; /* octets of {n+}: 4096 with LITERAL-, UINT64_MAX with LITERAL+ */
	bool stream; /* message literals: READER_STREAM; false before login, where its literals are collected
	              */
};

enum reader_state {
	READER_MORE,     /* feed more octets */
	READER_CONTINUE, /* send "+ …" and feed more (a synchronising literal was announced) */
	READER_STREAM,   /* a message literal of APPEND begins: see reader_stream_size */
	READER_COMMAND,  /* a whole command: reader_command */
	READER_BAD,  /* refused: reader_error. The rest of its line and non-synchronising literals are skipped
	                by the next feeds */
	READER_FATAL /* refused, and where the next command begins cannot be known: close. Stays so */
};

struct reader;
struct reader *reader_new(const struct reader_limits *l);
void reader_free(struct reader **rp);
/* Takes octets from *in (consumed part is cut off its front). */
enum reader_state reader_feed(struct reader *r, struct str *in);
/*
 * The command: its octets in order. A literal stands in it as `{n}` CRLF and its n octets, so the parser sees
 * the wire form; the final CRLF is not included. Valid until the next feed.
 *
 * At READER_STREAM: what has come up to and including the announcement's CRLF. After reader_stream_done it
 * begins anew, so a second message of one APPEND shows only its own part.
 */
struct str reader_command(const struct reader *r);
/* Of the command being read; empty when there is none that may be repeated to the client. */
struct str reader_tag(const struct reader *r);
const char *reader_error(const struct reader *r);
/* READER_STREAM: octets of the literal, whether the client waits for "+", whether it is literal8 (~{n}). */
uint64_t reader_stream_size(const struct reader *r, bool *synchronising, bool *binary);
/* The literal was taken (or skipped); go on with the line after it. */
void reader_stream_done(struct reader *r);
/*
 * Instead of taking it: the command is refused. A client that waits for "+" will not send the literal and the
 * command is over; the others' octets and the rest of the command are skipped by the next feeds.
 */
void reader_stream_refuse(struct reader *r);
/* After READER_CONTINUE: the literal is not wanted, the command is over. */
void reader_literal_refuse(struct reader *r);
/* The rest of the command after streamed literals is of no interest (it failed): skipped by the next feeds.
 */
void reader_skip_line(struct reader *r);
bool reader_idle(const struct reader *r); /* between commands: nothing of one has come */

/* Characters of a tag: RFC 3501's, without < and >, so that a repeated tag is never markup (attack-027). */
bool reader_tag_ok(struct str tag);

#endif
