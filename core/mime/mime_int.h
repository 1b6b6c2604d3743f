/*
 * mime_int.h: what the files of this room share. Everything here works on octets in memory that a limit has
 * already bounded (header_size); only parse.c reads a source of unknown length.
 */
#ifndef MORTISE_MIME_MIME_INT_H
#define MORTISE_MIME_MIME_INT_H

#include "mime/mime.h"

/* l with its zeros replaced by the defaults; NULL is all defaults. */
struct mime_limits mime_limits_of(const struct mime_limits *l);
/* Tells the administrator; the log room keeps a flood of them short. */
void mime_limit_reached(const char *option, uint32_t value);

/* Steps through a header block. */
struct field_cursor {
	struct str rest;
};
struct raw_field {
	struct str name;  /* empty: a line that is no field (">From ", a line without a colon) */
	struct str value; /* folded, as it stands after the colon */
	struct str raw;
};
bool field_step(struct field_cursor *c, struct raw_field *out);
/* Unfolded and trimmed: a window of `folded` or, when there was a fold, in the arena. */
struct str field_unfold(struct str folded, struct arena *a);

/*
 * The addresses of one field's value, each as "(personal route mailbox host)" (RFC 3501 §7.4.2). *left is how
 * many may still be written; group markers count.
 */
void address_write(struct buf *out, struct str value, uint32_t *left);

/* ENVELOPE of a header block in memory. */
void envelope_write(struct buf *out, struct str header, const struct mime_limits *l);

/* Content-… fields. What they return is in the arena. */
struct content_value {
	struct str first, second; /* type and subtype; disposition. p NULL: not there */
	struct mime_parameters parameters;
};
void content_parse(
    struct str value, bool with_subtype, uint32_t limit, struct arena *a, struct content_value *out);
/* First token, upper case as IMAP shows it; p NULL when there is none. */
struct str content_token(struct str value, struct arena *a);
struct str *content_languages(struct str value, uint32_t limit, struct arena *a, size_t *count);
/* NULL when there is none of that name. */
const struct mime_parameter *parameter_find(const struct mime_parameters *p, const char *name);

#endif
