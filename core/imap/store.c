/*
 * store.c: STORE and UID STORE (RFC 3501 §6.4.6).
 */
#include "imap/session_int.h"
#include "base/banned.h"

struct change {
	enum flag_mode mode;
	bool silent;
	struct flag_list flags;
};

static bool parse_change(struct session *s, struct parse *p, struct change *c)
{
	*c = (struct change){.mode = FLAGS_REPLACE};
	if (!parse_sp(p))
		return false;
	if (parse_skip(p, '+'))
		c->mode = FLAGS_ADD;
	else if (parse_skip(p, '-'))
		c->mode = FLAGS_REMOVE;
	if (parse_word(p, "FLAGS.SILENT"))
		c->silent = true;
	else if (!parse_word(p, "FLAGS"))
		return parse_fail(p, "Unknown STORE item");
	return parse_sp(p) && parse_flag_list(p, true, (size_t)s->o->keywords, &c->flags) && parse_end(p);
}

/* ---- STORE.SILENT: the client knows what it asked for, and hears of what came out otherwise ---- */
struct expected {
	uint32_t uid, flags;
	uint64_t keywords;
};

static size_t note_before(struct session *s, const struct number_set *uids, struct expected **out)
{
	size_t n = 0, i;
	uint32_t uid;

	for (i = 0; i < uids->n; i++)
		n += (size_t)uids->v[i].high - uids->v[i].low + 1;
	*out = arena_array(s->arena, n + 1, sizeof(**out));
	n = 0;
	for (i = 0; i < uids->n; i++)
		for (uid = uids->v[i].low; uid <= uids->v[i].high; uid++) {
			struct expected *x = &(*out)[n++];

			x->uid = uid;
			view_flags_told(s->view, view_sequence(s->view, uid), &x->flags, &x->keywords);
		}
	return n;
}

static uint64_t keyword_bits(const struct session *s, const struct flag_list *flags)
{
	size_t count = mailbox_keyword_count(s->mailbox), i, bit;
	uint64_t bits = 0;

	for (i = 0; i < flags->count; i++)
		for (bit = 0; bit < count; bit++)
			if (str_ieqc(flags->keywords[i], mailbox_keyword(s->mailbox, bit)))
				bits |= UINT64_C(1) << bit;
	return bits;
}

static void apply(const struct change *c, uint64_t keywords, struct expected *x)
{
	switch (c->mode) {
	case FLAGS_REPLACE:
		x->flags = c->flags.flags;
		x->keywords = keywords;
		break;
	case FLAGS_ADD:
		x->flags |= c->flags.flags;
		x->keywords |= keywords;
		break;
	case FLAGS_REMOVE:
		x->flags &= ~c->flags.flags;
		x->keywords &= ~keywords;
		break;
	}
}

static void told_silently(struct session *s, const struct change *c, struct expected *x, size_t n)
{
	uint64_t keywords = keyword_bits(s, &c->flags);
	struct number_set as_expected = {0};
	size_t cap = 0, i;

	for (i = 0; i < n; i++) {
		const struct message *msg = view_message(s->view, view_sequence(s->view, x[i].uid));

		apply(c, keywords, &x[i]);
		if (msg->flags == x[i].flags && msg->keywords == x[i].keywords)
			set_add(s->arena, &as_expected, &cap, x[i].uid);
	}
	view_told_flags(s->view, &as_expected);
}

/* A keyword that is new to the client is told in FLAGS before it stands in a FETCH. */
static void tell(struct session *s, const struct number_set *uids)
{
	uint32_t uid;
	size_t i;

	if (view_new_keywords(s->view))
		write_flag_lists(s);
	for (i = 0; i < uids->n && !s->ended; i++)
		for (uid = uids->v[i].low; uid <= uids->v[i].high && !s->ended; uid++) {
			uint32_t sequence = view_sequence(s->view, uid);

			write_fetch_flags(s, sequence, view_message(s->view, sequence));
		}
	view_told_flags(s->view, uids);
}

void command_store(struct session *s, struct parse *p)
{
	struct expected *before = NULL;
	struct number_set uids;
	struct change c;
	struct err e = ERR_INIT;
	bool ghosts, lost = false;
	size_t n = 0;

	if (!parse_messages(s, p, &uids, &ghosts))
		return;
	if (!parse_change(s, p, &c)) {
		reply_bad(s, p->error);
		return;
	}
	if (!session_writable(s))
		return;
	if (c.silent)
		n = note_before(s, &uids, &before);
	if (uids.n > 0 && mailbox_store_flags(s->mailbox, &uids, c.mode, c.flags.flags, c.flags.keywords,
	                      c.flags.count, NULL, &lost, &e) != 0) {
		reply_error(s, &e);
		return;
	}
	if (c.silent)
		told_silently(s, &c, before, n);
	else
		tell(s, &uids);
	if (ghosts)
		reply_no(s, "EXPUNGEISSUED", "Some of the messages no longer exist");
	else
		reply_ok(s, NULL,
		    lost ? "STORE completed, but the mailbox cannot keep all of these keywords"
		         : "STORE completed");
}
