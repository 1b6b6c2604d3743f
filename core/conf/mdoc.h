/*
 * mdoc.h: text as mdoc(7), JSON and libconfig want it. Shared by describe.c, dump.c and manual.c.
 */
#ifndef MORTISE_CONF_MDOC_H
#define MORTISE_CONF_MDOC_H

#include <mortise/option.h>

#include "base/buf.h"

void mdoc_text(struct buf *out, const char *text); /* in running text: nothing of it is a request */
void json_text(struct buf *out, const char *text); /* with its quotes */
void conf_quote(struct buf *out, const char *text);
/* A value in the notation of a table's default, written as it must stand in a file. */
void conf_write_value(const struct mortise_option *o, const char *text, struct buf *out);

#endif
