/*
 * session_int.h: inside an IMAP session.
 *
 * One command after the other: session.c reads it, dispatch.c finds it in dispatch.def and runs its handler,
 * the handler writes its untagged data and says with reply_…() how the command ended; then dispatch.c writes
 * what changed in the mailbox (update.c), then the tagged line. So no handler can answer twice, forget to
 * answer, or announce an EXPUNGE where the RFC forbids it.
 *
 * The way of a FETCH: session_next → dispatch → command_fetch (fetch_parse.c reads the items) → fetch.c per
 * message: view_message → mailbox_envelope / mailbox_read → fetch_body.c: mime_find, source_chunk →
 * stream_output.
 */
#ifndef MORTISE_IMAP_SESSION_INT_H
#define MORTISE_IMAP_SESSION_INT_H

#include "base/arena.h"
#include "imap/parse.h"
#include "imap/reader.h"
#include "imap/response.h"
#include "imap/session.h"
#include "store/mailbox.h"

struct imap_options {
	uint64_t line_size, literal_size, command_size, literals; /* reader_limits */
	uint64_t bad_commands;
	uint64_t fetch_items, section_depth;
	uint64_t search_keys, search_depth;
	uint64_t saved_ranges, contexts, search_mailboxes;
	uint64_t uid_batch_size, uid_batches;
	uint64_t list_patterns;
	uint64_t thread_ids;
	uint64_t keywords;
	uint64_t append_messages, catenate_parts, message_limit, save_limit;
	bool refuse_8bit_headers, literal_plus;
	uint64_t idle_timeout, input_timeout;
	uint64_t idle_keepalive, idle_poll;
	uint64_t progress;
	uint64_t rest_after;
	uint64_t notify_watches;
	const char *jmap_url, *alert_file;
};

/* Code of a command that names messages by number after ENABLE UIDONLY (RFC 9586 §3). */
#define UIDREQUIRED "UIDREQUIRED"

#define SESSION_MAGIC 0x496d6170u /* "Imap" */

struct reply {
	bool given;
	enum response_status status;
	const char *code; /* in the command's arena, or NULL */
	const char *text; /* likewise */
};

struct session {
	uint32_t magic;
	const struct imap_session_setup *setup;
	const struct imap_options *o;
	struct stream *stream;
	struct reader *reader;
	struct arena *arena; /* of the command being done */
	uint64_t bad;        /* commands in a row */
	bool ended;
	int result;      /* 0 or why it ended */
	const char *bye; /* to be said at the end, or NULL */
	bool broken;     /* a literal was promised and cannot be finished: nothing more may be said */

	/* The command being done. */
	struct str tag;
	const char *command; /* its name as in dispatch.def */
	bool uid;            /* its UID form */
	bool at_stream;      /* the reader stands in front of a message literal */
	struct reply reply;
	uint64_t looked; /* when session_stopped last looked */
	struct {
		bool told;         /* between session_progress and its end */
		uint64_t done, of; /* of 0: not known */
		uint64_t due;
	} progress;
	uint32_t limited_to;  /* lowest UID of those that it worked on, or 0: limits.h */
	const char *bad_code; /* of a BAD that the parser brings about, or NULL */

	/* The selected mailbox, or NULL. */
	struct mailbox *mailbox;
	struct view *view;
	struct fetch_kept *kept; /* fetch.h, or NULL */

	struct {
		struct arena *arena; /* of the set, or NULL */
		struct number_set uids;
	} saved;                    /* "$": search_result.h */
	enum comparator comparator; /* of SEARCH, SORT and THREAD (RFC 5255) */
	struct contexts *contexts;  /* searches with updates: contexts.h; NULL: none */

	/* What ENABLE has switched on besides mod-sequences: enable.c. */
	bool rev2;        /* IMAP4rev2 instead of IMAP4rev1 */
	bool utf8_accept; /* UTF8=ACCEPT */
	bool uidonly;     /* messages have no numbers (RFC 9586) */

	/* Mod-sequences: condstore.h. */
	bool condstore, qresync;         /* enabled */
	bool no_modseq;                  /* [NOMODSEQ] was said of the selected mailbox */
	bool unsettled;                  /* expunges wait to be told */
	uint64_t settled;                /* the mod-sequence up to which everything was told */
	bool told_modseq, told_vanished; /* in this command */
	bool holds_expunges;             /* UID SEARCH with message numbers: no expunges in its update */
	bool rested;                     /* mailbox_rest was called since the last command */

	bool compress;         /* once the tagged line is out, all is compressed */
	struct notify *notify; /* notify.h; NULL until NOTIFY was used */
};

/* The client has enabled UTF-8 in names and quoted strings. */
static inline bool session_utf8(const struct session *s)
{
	return s->rev2 || s->utf8_accept;
}

/* ---- session.c ---- */
/*
 * Reads until the reader has something: COMMAND, STREAM or BAD. Announced literals are asked for. MORE when
 * the session has ended (the client is gone, a timeout, the server stops).
 */
enum reader_state session_next(struct session *s);
/* Octets of a message literal: at least one, at most `most`; empty when the session has ended. */
struct str session_octets(struct session *s, uint64_t most);
/*
 * Waits for octets, for the server's stop, for other_fd (-1: none), until the deadline. Once the session has
 * been quiet for rest_after, the selected mailbox does what it put off.
 */
enum stream_result session_wait(struct session *s, int other_fd, uint64_t deadline);
/* What CAPABILITY says. */
void session_capabilities(struct session *s, struct buf *out);
void session_end(struct session *s, int result);
/* The same with "* BYE text" as the last line. */
void session_bye(struct session *s, int result, const char *text);
/* To be asked in long loops: the server stops, or the client is gone. */
bool session_stopped(struct session *s);
/* Looks at once whether the server stops; says BYE then. */
bool session_stopping(struct session *s);
/*
 * A long command: from now on until its end (session_progress_end) the client hears how far it is (RFC 9585),
 * each imap.progress, whenever the command looks whether it is to stop, here or in the store. `of` 0: not
 * known. Only whole responses may have been written then.
 */
void session_progress(struct session *s, uint64_t done, uint64_t of);
void session_progress_end(struct session *s);
/* The output so far may be written now. False: nobody reads it. */
bool session_written(struct session *s);
static inline struct buf *session_out(struct session *s)
{
	return stream_output(s->stream);
}

/* ---- dispatch.c ---- */
/* Does the command that the reader holds; at_stream: it is APPEND's beginning (READER_STREAM). */
void session_dispatch(struct session *s, bool at_stream);
/* One of these ends every handler. The first one counts. */
void reply_ok(struct session *s, const char *code, const char *text);
void reply_no(struct session *s, const char *code, const char *text);
void reply_bad(struct session *s, const char *why);
void reply_bad_code(struct session *s, const char *code, const char *why);
/* NO with the error's code and text; logged when it is not the client's doing. */
void reply_error(struct session *s, const struct err *e);
/* OK with this text, or reply_error when there is one. */
void reply_result(struct session *s, const struct err *e, const char *completed);
/* "* NO [code] text" now, for what does not make the command fail. */
void report_error(struct session *s, const struct err *e);
/* Begins to parse what the reader holds, in the way the client has enabled. */
void session_parse(struct session *s, struct parse *p);
/* parse_end, then false with BAD when there was anything wrong. */
bool arguments_end(struct session *s, struct parse *p);

/* ---- update.c ---- */
void update_view(struct session *s, bool may_expunge);
/* "* n FETCH (", or "* uid UIDFETCH (" after ENABLE UIDONLY. */
void write_fetch_head(struct session *s, uint32_t sequence, const struct message *msg);
/* RFC 4314 §5.1.1: a session whose mailbox is another's, who took the right to it back, ends. True: it did.
 */
bool end_revoked(struct session *s);
void write_flags(struct session *s, const struct message *msg); /* (\Seen kw) */
void write_flag_lists(struct session *s);                       /* FLAGS, PERMANENTFLAGS */
/*
 * "* n FETCH (FLAGS (…))", with the UID in a UID command or IMAP4rev2; with UID and MODSEQ once CONDSTORE is
 * enabled, then also without FLAGS.
 */
void write_fetch_news(struct session *s, uint32_t sequence, const struct message *msg, bool flags);
/* Sequence set or, in a UID command, UID set → UIDs that are there. False: BAD was said. `ghosts` (NULL
 * allowed): some of the named messages are gone. */
bool parse_messages(struct session *s, struct parse *p, struct number_set *uids, bool *ghosts);
/* As astring, in modified UTF-7, or in UTF-8 once the client has enabled it. */
void write_mailbox_name(const struct session *s, struct buf *out, const char *name);
/* Likewise as string, for what is no whole name. */
void write_name_prefix(const struct session *s, struct buf *out, const char *prefix);

/* ---- acl.c ---- */
/* "* MYRIGHTS name rights"; nothing when there is an error. */
int myrights_write(struct session *s, struct buf *out, const char *mailbox, struct err *e);

/* ---- quota.c ---- */
/* After a message was added: the untagged [OVERQUOTA] of a soft quota (RFC 9208 §4.3.1). */
void write_quota_warning(struct session *s);

/* ---- select.c ---- */
void session_deselect(struct session *s);
bool is_selected(const struct session *s, const char *name);
bool session_writable(struct session *s); /* false: NO was said */

/* ---- the commands: one handler each, declared from the table ---- */
typedef void command_fn(struct session *s, struct parse *p);
#define COMMAND(name, state, handler, flags, capability) command_fn handler;
#include "imap/dispatch.def"
#undef COMMAND

#endif
