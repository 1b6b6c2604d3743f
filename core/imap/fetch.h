/*
 * fetch.h: FETCH in four files.
 *
 * fetch_parse.c turns the items into a list with the labels the answer uses; fetch.c goes through the
 * messages and writes what fits in memory; fetch_body.c sends sections of a message as they are read,
 * fetch_binary.c sends them decoded (RFC 3516).
 *
 * A client gets a large part in ranges, one FETCH after the other. So the session keeps the part tree of the
 * message that was read last, and how far its part was decoded, until it fetches from another one.
 *
 * An item that cannot be had (the message was expunged elsewhere, its file is damaged) is left out, the rest
 * of the command goes on, and the tagged line is NO with the first reason. \Seen is set at the end, in one
 * STORE, for the messages whose text was sent; the client hears of it with the update.
 */
#ifndef MORTISE_IMAP_FETCH_H
#define MORTISE_IMAP_FETCH_H

#include "imap/search_parse.h"
#include "mime/mime.h"

enum fetch_kind {
	FETCH_UID,
	FETCH_FLAGS,
	FETCH_INTERNALDATE,
	FETCH_SIZE,
	FETCH_ENVELOPE,
	FETCH_BODY,
	FETCH_BODYSTRUCTURE,
	FETCH_PREVIEW,
	FETCH_EMAILID,
	FETCH_THREADID,
	FETCH_SAVEDATE,
	FETCH_MODSEQ,
	FETCH_SECTION, /* BODY[…], RFC822, RFC822.HEADER, RFC822.TEXT */
	FETCH_BINARY,
	FETCH_BINARY_SIZE
};

struct fetch_item {
	enum fetch_kind kind;
	const char *label; /* "BODY[TEXT]<0>" */
	struct mime_section section;
	bool lazy; /* PREVIEW */
	bool partial;
	uint64_t offset, size; /* of the partial */
};

struct fetch_request {
	struct fetch_item *items;
	size_t count;
	bool sets_seen;
	bool modseq;            /* mod-sequences are asked for */
	uint64_t changed_since; /* CHANGEDSINCE, or 0 */
	bool vanished;          /* VANISHED */
	bool partial;           /* PARTIAL: of the messages that are there, those in this range */
	struct partial_range range;
};

/* SP items. False: the parse has the error. */
bool fetch_parse(struct session *s, struct parse *p, struct fetch_request *out);

/* "1.2.MIME" alone. False: it is none. */
bool fetch_parse_section(struct session *s, struct str text, struct arena *a, struct mime_section *out);
/* "(" items ")" */
bool fetch_parse_items(struct session *s, struct parse *p, struct fetch_request *out);
/* "* n FETCH (…)" that no command asks for, as far as it can be had. \Seen is not set. */
void fetch_unasked(struct session *s, const struct fetch_request *r, uint32_t sequence);

/* One message on its way out. */
struct fetch_message {
	struct session *s;
	const struct message *message;
	struct arena *arena;     /* for this message */
	struct source *source;   /* open once an item has needed it */
	struct mime_part *whole; /* header and body only, found without parsing the parts */
	bool unknown_cte;        /* [UNKNOWN-CTE] is why an item cannot be had */
};

/*
 * Appends label, SP and the string, the string's octets going out as they are read. 0, or a code and nothing
 * was written, or the session is broken.
 */
int fetch_section(struct fetch_message *f, const struct fetch_item *item, struct err *e);
int fetch_binary(struct fetch_message *f, const struct fetch_item *item, struct err *e);
int fetch_binary_size(struct fetch_message *f, const struct fetch_item *item, struct err *e);

/* ---- fetch_body.c, for the others ---- */
int fetch_open(struct fetch_message *f, struct err *e); /* its source */
/* Its part tree, as long as no other message's is asked for. */
int fetch_parts(struct fetch_message *f, const struct mime_part **out, struct err *e);
void fetch_cut(const struct fetch_item *item, uint64_t *from, uint64_t *to); /* to the partial */
/*
 * [from, to) of a source that is the message's or made of it: a literal or, with `binary`, a literal8, in
 * which NUL may stand. 0, or a code as fetch_section.
 */
int fetch_send(struct fetch_message *f, struct source *source, const char *label, uint64_t from, uint64_t to,
    bool binary, struct err *e);

/* Likewise of octets that may hold NUL, as far as there are any: the form is found out first. */
int fetch_send_octets(struct fetch_message *f, struct source *source, const char *label, uint64_t from,
    uint64_t to, struct err *e);

/* What is kept of the message read last; forgotten when the mailbox is no longer selected. */
struct decoding;
struct fetch_kept {
	uint32_t uid;    /* 0: nothing */
	uint64_t octets; /* of the message as its tree has it */
	struct arena *arena;
	struct mime_part *parts;
	const struct mime_part *part; /* that `decoding` is of */
	struct decoding *decoding;
};
void fetch_kept_trim(struct session *s);   /* after a command: not more than is worth it */
void fetch_kept_forget(struct session *s); /* session_deselect */
void fetch_message_end(struct fetch_message *f);

/* ---- fetch_global.c ---- */
/* A BODY or BODYSTRUCTURE for clients to whom message/global is no message (RFC 3501 §9). */
void structure_without_global(struct buf *out, struct str text);

#endif
