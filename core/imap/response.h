/*
 * response.h: the one place where responses are built.
 *
 * Everything the server says that is not data (FETCH, LIST…) goes through here: tagged and untagged status
 * responses, continuations, greetings. Response codes of errors come from mortise_error_imap(). Text is
 * cleaned: printable US-ASCII, bounded, never beginning with "[" so that it cannot pass for a code. What the
 * client sent is not repeated, but for its tag, which reader_tag_ok has checked (attack-027).
 */
#ifndef MORTISE_IMAP_RESPONSE_H
#define MORTISE_IMAP_RESPONSE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum response_status { RESPONSE_OK, RESPONSE_NO, RESPONSE_BAD, RESPONSE_BYE, RESPONSE_PREAUTH };

/* tag empty: untagged ("*"). code NULL: none; without brackets. */
void response(struct buf *out, struct str tag, enum response_status s, const char *code, const char *text);
void response_printf(struct buf *out, struct str tag, enum response_status s, const char *code,
    const char *format, ...) PRINTF_LIKE(5, 6);
/* "+ text" */
void response_continue(struct buf *out, const char *text);
/* "+ base64" for SASL challenges. */
void response_challenge(struct buf *out, struct str octets);
/* NO, or BAD for what is not a command, with the error's own code. */
void response_error(struct buf *out, struct str tag, const struct err *e);
/* "BAD text": what the parser or reader found. */
void response_bad(struct buf *out, struct str tag, const char *why);

#endif
