/*
 * update.c: what the client is told of its mailbox without having asked, and the few things that several
 * commands write or read in the same way.
 */
#include "charset/charset.h"
#include "imap/condstore.h"
#include "imap/contexts.h"
#include "imap/notify.h"
#include "log/log.h"
#include "mime/mime.h"
#include "base/banned.h"

static const struct {
	const char *name;
	uint32_t flag;
} system_flags[] = {
    {"\\Answered", MORTISE_FLAG_ANSWERED},
    {"\\Flagged", MORTISE_FLAG_FLAGGED},
    {"\\Deleted", MORTISE_FLAG_DELETED},
    {"\\Seen", MORTISE_FLAG_SEEN},
    {"\\Draft", MORTISE_FLAG_DRAFT},
};

struct word_list {
	struct buf *out;
	const char *between; /* "" before the first */
};

static void word(struct word_list *l, const char *text)
{
	buf_adds(l->out, l->between);
	buf_adds(l->out, text);
	l->between = " ";
}

static void flag_words(
    struct word_list *l, const struct mailbox *m, uint32_t flags, uint64_t keywords, bool recent)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(system_flags); i++)
		if ((flags & system_flags[i].flag) != 0)
			word(l, system_flags[i].name);
	if (recent)
		word(l, "\\Recent");
	for (; keywords != 0; keywords &= keywords - 1)
		word(l, mailbox_keyword(m, (size_t)__builtin_ctzll(keywords)));
}

void write_flags(struct session *s, const struct message *msg)
{
	struct buf *out = session_out(s);
	struct word_list l = {out, ""};

	buf_addc(out, '(');
	flag_words(&l, s->mailbox, msg->flags, msg->keywords, msg->recent && !s->rev2);
	buf_addc(out, ')');
}

void write_flag_lists(struct session *s)
{
	const struct mailbox *m = s->mailbox;
	struct buf *out = session_out(s);
	size_t count = mailbox_keyword_count(m);
	uint64_t all = count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
	struct word_list l = {out, ""};

	buf_adds(out, "* FLAGS (");
	flag_words(&l, m, MORTISE_FLAGS_SYSTEM, all, false);
	buf_adds(out, ")\r\n* OK [PERMANENTFLAGS (");
	l.between = "";
	if (!mailbox_read_only(m)) {
		flag_words(&l, m, mailbox_permanent_flags(m), all, false);
		if (mailbox_may_create_keywords(m))
			word(&l, "\\*");
	}
	buf_adds(out, mailbox_read_only(m) ? ")] No flags can be changed\r\n" : ")] Flags that are kept\r\n");
}

void write_fetch_head(struct session *s, uint32_t sequence, const struct message *msg)
{
	struct buf *out = session_out(s);

	buf_adds(out, "* ");
	buf_addu(out, s->uidonly ? msg->uid : sequence);
	buf_adds(out, s->uidonly ? " UIDFETCH (" : " FETCH (");
}

void write_fetch_news(struct session *s, uint32_t sequence, const struct message *msg, bool flags)
{
	struct buf *out = session_out(s);
	struct word_list l = {out, ""};

	write_fetch_head(s, sequence, msg);
	if (!s->uidonly && (s->uid || s->condstore || s->rev2 ||
	                       s->notify != NULL)) { /* RFC 9051 §7.5.2: news has the UID */
		word(&l, "UID ");
		buf_addu(out, msg->uid);
	}
	if (flags) {
		word(&l, "FLAGS ");
		write_flags(s, msg);
	}
	if (s->condstore && !s->no_modseq) {
		word(&l, "MODSEQ ");
		buf_printf(out, "(%llu)", (unsigned long long)msg->modseq);
		s->told_modseq = true;
	}
	buf_adds(out, ")\r\n");
	session_written(s);
}

/* ---- news ---- */
struct telling {
	struct session *s;
	struct arena *arena; /* of `vanished`: an IDLE goes through many updates */
	struct number_set vanished;
	size_t room;
};

/* Expunges come first, so that all of them are known when something else comes. */
static void tell_vanished(struct telling *t)
{
	if (t->vanished.n == 0)
		return;
	write_vanished(t->s, false, &t->vanished);
	t->vanished = (struct number_set){0};
	t->s->told_vanished = true;
}

static void on_expunged(void *arg, uint32_t sequence, uint32_t uid)
{
	struct telling *t = arg;

	if (session_vanishes(t->s)) {
		if (t->arena == NULL)
			t->arena = arena_new("vanished");
		set_add(t->arena, &t->vanished, &t->room, uid);
		return;
	}
	buf_printf(session_out(t->s), "* %u EXPUNGE\r\n", sequence);
	session_written(t->s);
}

static void on_exists(void *arg, uint32_t count)
{
	struct telling *t = arg;

	tell_vanished(t);
	buf_printf(session_out(t->s), "* %u EXISTS\r\n", count);
}

static void on_recent(void *arg, uint32_t count)
{
	struct telling *t = arg;

	tell_vanished(t);
	if (!t->s->rev2)
		buf_printf(session_out(t->s), "* %u RECENT\r\n", count);
}

static void on_flags(void *arg, uint32_t sequence, const struct message *msg)
{
	struct telling *t = arg;

	tell_vanished(t);
	write_fetch_news(t->s, sequence, msg, true);
}

static void on_keywords(void *arg)
{
	struct telling *t = arg;

	tell_vanished(t);
	write_flag_lists(t->s);
}

/* When nobody can say what changed, what is known already is told all the same. */
static void tell_news(struct session *s, struct telling *t, unsigned how)
{
	const struct view_events events = {.expunged = on_expunged,
	    .exists = on_exists,
	    .recent = on_recent,
	    .flags = on_flags,
	    .keywords = on_keywords,
	    .arg = t};
	struct err e = ERR_INIT;
	bool changed;

	if (mailbox_sync(s->mailbox, &e) < 0) {
		if (mailbox_gone(s->mailbox))
			return;
		report_error(s, &e);
		err_clear(&e);
	}
	contexts_forget_expunged(s);
	changed = view_changed(s->view);
	view_update(s->view, how | VIEW_NO_SYNC, &events, &e);
	tell_vanished(t);
	if (changed)
		contexts_follow(s);
	arena_free(&t->arena);
}

bool end_revoked(struct session *s)
{
	if (!mailbox_revoked(s->mailbox))
		return false;
	log_msg(MSG_IMAP_REVOKED, "%s", mailbox_name(s->mailbox));
	session_bye(s, MORTISE_E_PERM, "The selected mailbox is no longer shared with you in this way");
	return true;
}

/* Of the messages the client knows; 0 when nobody wants to tell old ones from new ones. */
static uint32_t last_uid(const struct session *s)
{
	uint32_t count = s->notify != NULL ? view_count(s->view) : 0;

	return count > 0 ? view_message(s->view, count)->uid : 0;
}

void update_view(struct session *s, bool may_expunge)
{
	struct telling t = {.s = s};
	unsigned how = may_expunge ? VIEW_MAY_EXPUNGE : 0;
	uint32_t last;

	if (s->view == NULL || end_revoked(s) || !notify_filters(s, &how))
		return;
	last = last_uid(s);
	tell_news(s, &t, how);
	if ((how & VIEW_NO_NEW) == 0)
		notify_fetch_new(s, last);
	s->unsettled = view_ghosts(s->view) || view_changed(s->view);
	if (!s->unsettled)
		s->settled = mailbox_highestmodseq(s->mailbox);
	if (mailbox_gone(s->mailbox)) {
		log_msg(MSG_IMAP_MAILBOX_GONE, "%s", mailbox_name(s->mailbox));
		session_bye(s, MORTISE_E_NOTFOUND, "The selected mailbox was deleted or replaced");
	}
}

static bool numbered_messages(struct session *s, struct parse *p, struct number_set *uids, bool *ghosts)
{
	struct number_set set;
	size_t i;

	if (!parse_sequence_set(p, view_count(s->view), &set)) {
		reply_bad(s, p->error);
		return false;
	}
	if (set.n == 0 || !view_uids_of_sequences(s->view, &set, s->arena, uids)) {
		reply_bad(s, "No message has such a number");
		return false;
	}
	for (i = 0; ghosts != NULL && !*ghosts && i < set.n; i++) {
		uint32_t n;

		for (n = set.v[i].low; n <= set.v[i].high && !*ghosts; n++)
			*ghosts = view_message(s->view, n)->expunged;
	}
	return true;
}

bool parse_messages(struct session *s, struct parse *p, struct number_set *uids, bool *ghosts)
{
	uint32_t count = view_count(s->view);
	struct number_set set;

	if (ghosts != NULL)
		*ghosts = false;
	if (!parse_sp(p)) {
		reply_bad(s, p->error);
		return false;
	}
	if (saved_take(s, p, &set)) { /* what is gone has left it: no ghosts */
		view_uids_of_uids(s->view, &set, s->arena, uids);
		return true;
	}
	if (!s->uid)
		return numbered_messages(s, p, uids, ghosts);
	if (!parse_sequence_set(p, count > 0 ? view_message(s->view, count)->uid : 0, &set)) {
		reply_bad(s, p->error);
		return false;
	}
	view_uids_of_uids(s->view, &set, s->arena, uids);
	return true;
}

static void write_name(const struct session *s, struct buf *out, const char *name, bool atom)
{
	AUTO_BUF struct buf b = BUF_INIT;
	bool ascii = utf8_is_ascii(str_of(name));

	if (session_utf8(s) && !ascii) {
		imap_string_utf8(out, str_of(name));
		return;
	}
	if (session_utf8(s))
		buf_adds(&b, name);
	else
		utf8_to_mutf7(&b, str_of(name));
	(atom ? imap_astring : imap_string)(out, b.n > 0 ? buf_str(&b) : STR(""));
}

void write_mailbox_name(const struct session *s, struct buf *out, const char *name)
{
	write_name(s, out, name, true);
}

void write_name_prefix(const struct session *s, struct buf *out, const char *prefix)
{
	write_name(s, out, prefix, false);
}
