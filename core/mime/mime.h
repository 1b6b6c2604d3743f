/*
 * mime.h: headers, addresses, dates and parts of a message.
 *
 * One pass over the source finds the structure: for every part the positions (in wire octets) of its header
 * and body and its lines; nothing is copied but what BODYSTRUCTURE shows. Everything is linear in the
 * message's size and bounded in memory: past the limits a part is taken as an opaque leaf and parsing goes on
 * (attack cases 102-108). No input is refused: what cannot be understood is shown as the best plain reading,
 * per RFC 2045 §5.2 defaults.
 *
 * ENVELOPE and BODYSTRUCTURE are written here in their wire form, so that the store can keep them serialised.
 * Strings in them are quoted when they can be, literals otherwise ({n} CRLF octets), NIL when absent.
 */
#ifndef MORTISE_MIME_MIME_H
#define MORTISE_MIME_MIME_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"
#include "mime/source.h"

struct mime_limits {
	uint32_t depth;       /* nested parts; deeper ones are leaves */
	uint32_t parts;       /* in one message */
	uint32_t header_size; /* octets of one header block that are looked at */
	uint32_t header_fields;
	uint32_t addresses;      /* in one field */
	uint32_t parameters;     /* of one field */
	uint32_t structure_size; /* octets of memory one part tree may take; when they are used up, the last
	                            part reaches to the end of the message */
	uint32_t preview_size;   /* octets of a part that a preview is made from */
};
/* A zero means the default; so does a NULL for the whole. */
extern struct mime_limits mime_limits_default;

/* conf group "message": the same limits, as options. A process sets its defaults once, when it starts. */
struct mime_options {
	uint64_t depth, parts, header_size, header_fields, addresses, parameters, structure_size,
	    preview_size;
};
extern const struct conf_group mime_conf_group;
void mime_limits_set(const struct mime_options *o);

struct mime_parameter {
	struct str name; /* as written; compare without case */
	struct str
	    value; /* RFC 2231 joined; charset'lang' kept encoded when present (name then ends in '*') */
};
struct mime_parameters {
	struct mime_parameter *v;
	size_t n;
};

enum mime_kind { MIME_LEAF, MIME_TEXT, MIME_MULTIPART, MIME_MESSAGE };

struct mime_part {
	enum mime_kind kind;
	struct str type, subtype; /* never empty */
	struct mime_parameters parameters;
	struct str id, description, encoding; /* p NULL when absent; encoding defaults to 7BIT */
	struct str md5, disposition, location;
	struct mime_parameters disposition_parameters;
	struct str *languages;
	size_t language_count;
	uint64_t header_start, body_start, end;  /* wire positions; header is [header_start, body_start) */
	uint64_t lines;                          /* of the body */
	struct mime_part *parent, *next, *child; /* MULTIPART: the parts; MESSAGE: one child, the message */
	uint32_t number;                         /* 1… among its siblings */
	struct str envelope;                     /* MESSAGE: wire form of the inner message's ENVELOPE */
};

/* The message's root part (its header is the message header), in the arena. 0 or a code (only I/O can fail).
 */
int mime_parse(
    struct source *s, const struct mime_limits *l, struct arena *a, struct mime_part **root, struct err *e);

/* ENVELOPE of the header block [from, to) of s. */
int mime_envelope(struct source *s, uint64_t from, uint64_t to, const struct mime_limits *l, struct buf *out,
    struct err *e);
/* The same of a header that is in memory, up to its empty line. */
void mime_envelope_of(struct str header, const struct mime_limits *l, struct buf *out);
/* BODY (extended false) or BODYSTRUCTURE of a part tree. */
void mime_bodystructure(const struct mime_part *root, bool extended, struct buf *out);

/* Where the header of a message ends: behind its first empty line, or at the end of the message. */
int mime_header_end(struct source *s, uint64_t *end, struct err *e);

/* What a section specification means. */
enum mime_text {
	MIME_WHOLE,
	MIME_HEADER,
	MIME_HEADER_FIELDS,
	MIME_HEADER_FIELDS_NOT,
	MIME_TEXT_ONLY,
	MIME_MIME
};
struct mime_section {
	const uint32_t *numbers; /* part path; count 0: the message itself */
	size_t number_count;
	enum mime_text text;
	const struct str *fields; /* HEADER.FIELDS[.NOT] */
	size_t field_count;
};
/*
 * Resolves a section: a range of the source, or (for HEADER.FIELDS*) text built in *built. found is false
 * when the message has no such part (the client gets an empty string, RFC 3501 §7.4.2 NIL).
 */
struct mime_range {
	bool found;
	bool is_built;
	uint64_t from, to;
	struct str built; /* in the arena; ends with the empty line */
};
int mime_find(struct source *s, const struct mime_part *root, const struct mime_section *section,
    const struct mime_limits *l, struct arena *a, struct mime_range *out, struct err *e);
/* The part of a path, or NULL. */
const struct mime_part *mime_part_at(const struct mime_part *root, const uint32_t *numbers, size_t count);

/*
 * Header fields of a block, one at a time, unfolded into the arena. The block ends at its empty line, so `to`
 * may be anything behind it. Lines that are no fields are passed over.
 */
struct mime_field {
	struct str name, value; /* value: unfolded, outer white space trimmed */
	struct str raw;         /* the field as it stands, with its CRLFs */
};
struct mime_fields;
int mime_fields_open(struct source *s, uint64_t from, uint64_t to, const struct mime_limits *l,
    struct arena *a, struct mime_fields **out, struct err *e);
bool mime_fields_next(struct mime_fields *f, struct mime_field *out);
/* Of a header that is in memory; the fields are windows on it where they are not folded. */
struct mime_fields *mime_fields_of(struct str header, const struct mime_limits *l, struct arena *a);
/* Its first field of that name (case-insensitive): true and its value. */
bool mime_field_of(
    struct str header, struct str name, const struct mime_limits *l, struct arena *a, struct str *value);

/* Dates. Seconds since 1970 UTC and minutes east; false when it cannot be read. Lenient (RFC 5322 §4.3 and
 * worse). */
bool mime_date(struct str value, int64_t *when, int *zone);
/* IMAP date-time, dd-Mon-yyyy hh:mm:ss +zzzz (strict; the double quotes around it may be there). */
bool imap_date_time(struct str s, int64_t *when, int *zone);
/* Writes it WITHOUT the double quotes that INTERNALDATE needs; day padded with a space. Years 1 to 9999; a
 * moment outside is shown as the nearest one inside. */
void imap_date_time_write(struct buf *out, int64_t when, int zone);
/* IMAP date d-Mon-yyyy (strict; may be quoted): days since 1970-01-01. */
bool imap_date(struct str s, int64_t *day);

/* Decodes a body's transfer encoding (base64, quoted-printable; others as they are), leniently, chunk by
 * chunk. */
struct mime_decoder;
struct mime_decoder *mime_decoder_new(struct str encoding); /* never NULL; unknown: identity */
bool mime_encoding_known(struct str encoding);
void mime_decoder_feed(struct mime_decoder *d, struct str in, struct buf *out);
void mime_decoder_flush(struct mime_decoder *d, struct buf *out);
void mime_decoder_free(struct mime_decoder **dp);
bool mime_decoder_copies(const struct mime_decoder *d); /* 7bit and the like: nothing to decode */
/* `to` goes on as `from` would: a place in the text to which one may come back. */
void mime_decoder_copy(struct mime_decoder *to, const struct mime_decoder *from);

/* IMAP string writers, used by everything that answers a client (RFC 9051 §9 string, nstring, astring). */
void imap_string(struct buf *out, struct str s);  /* quoted, or {n} literal when it must be */
void imap_nstring(struct buf *out, struct str s); /* NIL when p is NULL */
void imap_astring(struct buf *out, struct str s); /* an atom when it can be */
/* For clients that take UTF-8 in quoted strings (RFC 6855 §3, RFC 9051 §4.3); s is valid UTF-8. */
void imap_string_utf8(struct buf *out, struct str s);

#endif
