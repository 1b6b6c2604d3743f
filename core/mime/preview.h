/*
 * preview.h: the first words of a message, for FETCH PREVIEW (RFC 8970).
 *
 * The first text part that has something to say is decoded, converted to UTF-8 and reduced: HTML loses its
 * markup, white space becomes single spaces, what is quoted from others counts only when there is nothing
 * else, a signature ends it. Characters that are not seen (fill of advertisers) are left out. At most 200
 * characters come out, never a piece of one. text/plain is preferred to text/html, attachments and messages
 * in messages are passed over, and of anything else (images, encrypted parts) the preview is empty.
 *
 * It looks at a bounded number of octets of a part (message.preview_size), in one pass.
 */
#ifndef MORTISE_MIME_PREVIEW_H
#define MORTISE_MIME_PREVIEW_H

#include "mime/mime.h"

#define PREVIEW_CHARACTERS 200u

/* Appends the preview. 0, or a code (only I/O can fail). */
int mime_preview(struct source *s, const struct mime_part *root, struct buf *out, struct err *e);

/* ---- the two reducers; `utf8` may come in pieces that end between characters ---- */
struct preview;
struct preview *preview_new(bool html);
/* False: there is enough. */
bool preview_feed(struct preview *p, struct str utf8);
/* Appends what came together. */
void preview_finish(struct preview *p, struct buf *out);
void preview_free(struct preview **pp);

#endif
