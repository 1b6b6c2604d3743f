/*
 * fetch.c: FETCH and UID FETCH (RFC 3501 §6.4.5, RFC 7162 §3.1.4, §3.2.6).
 */
#include "imap/condstore.h"
#include "imap/fetch.h"
#include "imap/limits.h"
#include "store/derived.h"
#include "base/banned.h"

struct fetching {
	struct fetch_message f;
	const struct fetch_request *request;
	struct number_set seen; /* messages that \Seen is to be set on */
	size_t seen_room;
	bool downward;    /* from the highest UID to the lowest (RFC 9738 §3.1) */
	struct err err;   /* the first item that could not be had */
	bool unknown_cte; /* and why */
};

static int write_cached(struct fetch_message *f, const char *label, enum fetch_kind kind, struct err *e)
{
	struct buf *out = session_out(f->s);
	struct str text;
	int r = kind == FETCH_ENVELOPE ? mailbox_envelope(f->s->mailbox, f->message, &f->source, &text, e)
	                               : mailbox_structure(f->s->mailbox, f->message,
	                                     kind == FETCH_BODYSTRUCTURE, &f->source, &text, e);

	if (r != 0)
		return r;
	buf_adds(out, label);
	if (kind == FETCH_ENVELOPE || session_utf8(f->s))
		buf_addstr(out, text);
	else
		structure_without_global(out, text);
	return 0;
}

static int write_size(struct fetch_message *f, struct err *e)
{
	uint64_t octets;

	if (mailbox_octets(f->s->mailbox, f->message, &octets, e) != 0)
		return e->code;
	buf_adds(session_out(f->s), "RFC822.SIZE ");
	buf_addu(session_out(f->s), octets);
	return 0;
}

static void write_date(struct fetch_message *f)
{
	struct buf *out = session_out(f->s);

	buf_adds(out, "INTERNALDATE \"");
	imap_date_time_write(out, f->message->internal_date, f->message->zone);
	buf_addc(out, '"');
}

static int write_preview(struct fetch_message *f, const struct fetch_item *item, struct err *e)
{
	struct str text;

	if (mailbox_preview(f->s->mailbox, f->message, item->lazy, &text, e) != 0)
		return e->code;
	buf_adds(session_out(f->s), "PREVIEW ");
	imap_nstring(session_out(f->s), text);
	return 0;
}

static int write_object_id(struct fetch_message *f, enum fetch_kind kind, struct err *e)
{
	struct str id;

	if ((kind == FETCH_EMAILID ? mailbox_email_id : mailbox_thread_id)(
	        f->s->mailbox, f->message, &id, e) != 0)
		return e->code;
	buf_printf(
	    session_out(f->s), "%s (%.*s)", kind == FETCH_EMAILID ? "EMAILID" : "THREADID", STR_FMT(id));
	return 0;
}

/* The time at which a message was saved has no zone of its own: it is told in UTC. */
static void write_save_date(struct fetch_message *f)
{
	struct buf *out = session_out(f->s);

	if (!mailbox_keeps_save_dates(f->s->mailbox) || f->message->save_date == 0) {
		buf_adds(out, "SAVEDATE NIL");
		return;
	}
	buf_adds(out, "SAVEDATE \"");
	imap_date_time_write(out, f->message->save_date, 0);
	buf_addc(out, '"');
}

static int write_item(struct fetch_message *f, const struct fetch_item *item, struct err *e)
{
	struct buf *out = session_out(f->s);

	if (message_unknown(f->message) && item->kind != FETCH_UID)
		return err_fail(e, MORTISE_E_EXPUNGED, "Some of the messages no longer exist");
	switch (item->kind) {
	case FETCH_UID:
		buf_adds(out, "UID ");
		buf_addu(out, f->message->uid);
		return 0;
	case FETCH_FLAGS:
		buf_adds(out, "FLAGS ");
		write_flags(f->s, f->message);
		return 0;
	case FETCH_INTERNALDATE:
		write_date(f);
		return 0;
	case FETCH_SIZE:
		return write_size(f, e);
	case FETCH_ENVELOPE:
		return write_cached(f, "ENVELOPE ", item->kind, e);
	case FETCH_BODY:
		return write_cached(f, "BODY ", item->kind, e);
	case FETCH_BODYSTRUCTURE:
		return write_cached(f, "BODYSTRUCTURE ", item->kind, e);
	case FETCH_PREVIEW:
		return write_preview(f, item, e);
	case FETCH_EMAILID:
	case FETCH_THREADID:
		return write_object_id(f, item->kind, e);
	case FETCH_SAVEDATE:
		write_save_date(f);
		return 0;
	case FETCH_MODSEQ:
		buf_adds(out, "MODSEQ (");
		buf_addu(out, f->message->modseq);
		buf_addc(out, ')');
		f->s->told_modseq = true;
		return 0;
	case FETCH_SECTION:
		return fetch_section(f, item, e);
	case FETCH_BINARY:
		return fetch_binary(f, item, e);
	case FETCH_BINARY_SIZE:
		return fetch_binary_size(f, item, e);
	}
	UNREACHABLE("fetch_kind");
}

static void want_seen(struct fetching *x)
{
	if (x->request->sets_seen && (x->f.message->flags & MORTISE_FLAG_SEEN) == 0 &&
	    !x->f.message->expunged)
		set_add(x->f.s->arena, &x->seen, &x->seen_room, x->f.message->uid);
}

/* "* n FETCH (…)" with the items that can be had; nothing when there is none. */
static void one_message(struct fetching *x, uint32_t sequence)
{
	struct session *s = x->f.s;
	struct buf *out = session_out(s);
	size_t start = out->n, i, written = 0;

	x->f.message = view_message(s->view, sequence);
	write_fetch_head(s, sequence, x->f.message);
	for (i = 0; i < x->request->count && !s->broken; i++) {
		size_t before = out->n;
		struct err e = ERR_INIT;

		if (written > 0)
			buf_addc(out, ' ');
		if (write_item(&x->f, &x->request->items[i], &e) == 0) {
			written++;
		} else if (!s->broken) {
			buf_truncate(out, before);
			x->unknown_cte = x->err.code == 0 ? x->f.unknown_cte : x->unknown_cte;
			err_take(&x->err, &e);
		}
	}
	if (written == 0 && !s->broken)
		buf_truncate(out, start);
	else
		buf_adds(out, ")\r\n");
	if (written == x->request->count)
		want_seen(x);
	fetch_message_end(&x->f);
	session_written(s);
}

void fetch_unasked(struct session *s, const struct fetch_request *r, uint32_t sequence)
{
	struct fetch_request quiet = *r;
	struct fetching x = {.f = {.s = s, .arena = arena_new("fetch")}, .request = &quiet, .err = ERR_INIT};

	quiet.sets_seen = false;
	one_message(&x, sequence);
	arena_free(&x.f.arena);
}

/* Number of the message with this UID, which is there: most often the one behind the last one. */
static uint32_t sequence_of(const struct session *s, uint32_t uid, uint32_t last)
{
	if (last < view_count(s->view) && view_message(s->view, last + 1)->uid == uid)
		return last + 1;
	return view_sequence(s->view, uid);
}

static void fetch_range(struct fetching *x, const struct set_range *r, uint32_t *sequence)
{
	uint64_t since = x->request->changed_since;
	struct session *s = x->f.s;
	uint32_t n = r->high - r->low, i;

	for (i = 0; i <= n && !s->broken && !session_stopped(s); i++) {
		*sequence = sequence_of(s, x->downward ? r->high - i : r->low + i, *sequence);
		if (since == 0 || view_message(s->view, *sequence)->modseq > since)
			one_message(x, *sequence);
	}
}

static void fetch_messages(struct fetching *x, const struct number_set *uids)
{
	struct session *s = x->f.s;
	uint32_t sequence = 0;
	size_t i;

	for (i = 0; i < uids->n && !s->broken && !s->ended; i++)
		fetch_range(x, &uids->v[x->downward ? uids->n - 1 - i : i], &sequence);
	set_sort(&x->seen);
}

/*
 * The UIDs that were named, there or not, from the words of the command. "*" is what was the last UID, so
 * that 1:* has the expunged ones at the end as well.
 */
static void fetch_vanished(struct session *s, const struct fetch_request *request, struct str arguments)
{
	struct number_set named;
	struct parse again;

	parse_start(&again, arguments, s->arena);
	if (parse_sp(&again) && parse_sequence_set(&again, mailbox_uidnext(s->mailbox) - 1, &named))
		write_vanished_earlier(s, request->changed_since, &named);
}

/* PARTIAL: before CHANGEDSINCE is looked at (RFC 9394 §3.4). */
static void take_range(struct session *s, const struct partial_range *range, struct number_set *uids)
{
	size_t from, to;

	partial_slice(range, set_count(uids), &from, &to);
	set_slice(s->arena, uids, from, to, uids);
}

static void set_seen(struct fetching *x)
{
	struct session *s = x->f.s;
	struct err e = ERR_INIT;

	if (x->seen.n == 0 || mailbox_read_only(s->mailbox))
		return;
	if (mailbox_store_flags(
	        s->mailbox, &x->seen, FLAGS_ADD, MORTISE_FLAG_SEEN, NULL, 0, NULL, NULL, &e) != 0)
		report_error(s, &e);
}

void command_fetch(struct session *s, struct parse *p)
{
	struct fetching x = {.f.s = s, .err = ERR_INIT};
	struct fetch_request request;
	struct str arguments = p->rest;
	struct number_set uids;

	if (!parse_messages(s, p, &uids, NULL))
		return;
	if (!fetch_parse(s, p, &request)) {
		reply_bad(s, p->error);
		return;
	}
	if (request.modseq && !condstore_possible(s))
		return;
	if (request.modseq)
		condstore_enable(s);
	if (request.vanished)
		fetch_vanished(s, &request, arguments);
	if (request.partial)
		take_range(s, &request.range, &uids);
	if (request.partial && limit_exceeded(s, set_count(&uids)))
		return;
	x.downward = limit_messages(s, &uids);
	x.request = &request;
	x.f.arena = arena_new("fetch");
	fetch_messages(&x, &uids);
	arena_free(&x.f.arena);
	if (s->broken)
		return;
	set_seen(&x);
	fetch_kept_trim(s);
	if (x.unknown_cte)
		reply_no(s, "UNKNOWN-CTE", x.err.client);
	else if (x.err.code != 0)
		reply_error(s, &x.err);
	else
		reply_ok(s, NULL, "FETCH completed");
}
