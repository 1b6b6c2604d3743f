/*
 * store.c: STORE and UID STORE (RFC 3501 §6.4.6), with UNCHANGEDSINCE (RFC 7162 §3.1.3).
 */
#include "imap/condstore.h"
#include "imap/limits.h"
#include "base/banned.h"

struct change {
	enum flag_mode mode;
	bool silent, conditional;
	uint64_t unchanged_since;
	struct flag_list flags;
};

/* A message as the client knew it when it sent the command. */
struct expected {
	uint32_t uid, flags;
	uint64_t keywords, modseq;
	bool news; /* it was not told how things are: nothing is as it expects */
};

struct storing {
	struct session *s;
	struct change change;
	struct number_set uids;
	struct expected *before; /* of the uids, in their order; only for silent and conditional ones */
	size_t count;
	struct number_set modified; /* UIDs that failed UNCHANGEDSINCE */
	bool ghosts, lost;
};

static bool parse_modifiers(struct parse *p, struct change *c)
{
	if (!parse_skip(p, '('))
		return true;
	if (!parse_word(p, "UNCHANGEDSINCE"))
		return parse_fail(p, "Unknown STORE modifier");
	c->conditional = true;
	return parse_sp(p) && parse_number64(p, &c->unchanged_since) && parse_char(p, ')') && parse_sp(p);
}

static bool parse_change(struct session *s, struct parse *p, struct change *c)
{
	*c = (struct change){.mode = FLAGS_REPLACE};
	if (!parse_sp(p) || !parse_modifiers(p, c))
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

static void note_before(struct storing *x)
{
	const struct number_set *uids = &x->uids;
	struct session *s = x->s;
	size_t n = 0, i;
	uint32_t uid;

	for (i = 0; i < uids->n; i++)
		n += (size_t)uids->v[i].high - uids->v[i].low + 1;
	x->before = arena_array(s->arena, n + 1, sizeof(*x->before));
	for (i = 0; i < uids->n; i++)
		for (uid = uids->v[i].low; uid <= uids->v[i].high; uid++) {
			uint32_t sequence = view_sequence(s->view, uid);
			const struct message *msg = view_message(s->view, sequence);

			x->before[x->count++] = (struct expected){
			    uid, msg->flags, msg->keywords, msg->modseq, view_news(s->view, sequence)};
		}
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

/* ---- doing it ---- */
static int store(struct storing *x, const struct number_set *uids, struct store_unless *unless, struct err *e)
{
	const struct change *c = &x->change;

	return mailbox_store_flags(x->s->mailbox, uids, c->mode, c->flags.flags, c->flags.keywords,
	    c->flags.count, unless, &x->lost, e);
}

/*
 * Whether the flags that are to be added or removed are as the client knows them, although others changed.
 * With UNCHANGEDSINCE 0 it asks whether there are none: system flags always are, keywords may not be.
 */
static bool untouched(const struct storing *x, const struct expected *before, uint64_t keywords)
{
	const struct change *c = &x->change;
	const struct message *msg = view_message(x->s->view, view_sequence(x->s->view, before->uid));

	if (msg->expunged || before->news)
		return false;
	if (c->unchanged_since == 0)
		return c->flags.flags == 0 && (msg->keywords & keywords) == 0;
	return before->modseq <= c->unchanged_since && ((msg->flags ^ before->flags) & c->flags.flags) == 0 &&
	       ((msg->keywords ^ before->keywords) & keywords) == 0;
}

/*
 * There is one mod-sequence a message, not one a flag; a client need not notice (RFC 7162 §3.1.12). Those
 * that failed for other flags than the command's are tried again against what is known of them now.
 */
static int store_untouched(struct storing *x, struct err *e)
{
	uint64_t keywords = keyword_bits(x->s, &x->change.flags);
	struct store_unless now = {.since = mailbox_highestmodseq(x->s->mailbox), .arena = x->s->arena};
	struct number_set again = {0}, rest;
	size_t cap = 0, i;

	if (x->change.mode == FLAGS_REPLACE)
		return 0;
	for (i = 0; i < x->count; i++)
		if (set_has(&x->modified, x->before[i].uid) && untouched(x, &x->before[i], keywords))
			set_add(x->s->arena, &again, &cap, x->before[i].uid);
	if (again.n == 0)
		return 0;
	if (store(x, &again, &now, e) != 0)
		return e->code;
	set_without(x->s->arena, &again, &now.modified, &again);
	set_without(x->s->arena, &x->modified, &again, &rest);
	x->modified = rest;
	return 0;
}

static int store_all(struct storing *x, struct err *e)
{
	struct store_unless unless = {.since = x->change.unchanged_since, .arena = x->s->arena};

	if (x->change.silent || x->change.conditional)
		note_before(x);
	if (x->uids.n == 0)
		return 0;
	if (!x->change.conditional)
		return store(x, &x->uids, NULL, e);
	if (store(x, &x->uids, &unless, e) != 0)
		return e->code;
	x->modified = unless.modified;
	return store_untouched(x, e);
}

/* ---- telling it ---- */
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

/*
 * The client knows what it asked for, and hears of what came out otherwise: of failures here, of the rest in
 * the update. Mod-sequences it cannot know.
 */
static void tell_silently(struct storing *x)
{
	uint64_t keywords = keyword_bits(x->s, &x->change.flags);
	struct session *s = x->s;
	struct number_set told = {0};
	size_t cap = 0, i;

	for (i = 0; i < x->count && !s->ended; i++) {
		struct expected *before = &x->before[i];
		uint32_t sequence = view_sequence(s->view, before->uid);
		const struct message *msg = view_message(s->view, sequence);
		bool failed = set_has(&x->modified, before->uid);

		apply(&x->change, keywords, before);
		if (failed)
			write_fetch_news(s, sequence, msg, true);
		else if (before->news || msg->flags != before->flags || msg->keywords != before->keywords)
			continue;
		else if (s->condstore && (x->change.conditional || msg->modseq != before->modseq))
			write_fetch_news(s, sequence, msg, false);
		set_add(s->arena, &told, &cap, before->uid);
	}
	view_told_flags(s->view, &told);
}

static void tell(struct storing *x)
{
	struct session *s = x->s;
	uint32_t uid;
	size_t i;

	for (i = 0; i < x->uids.n && !s->ended; i++)
		for (uid = x->uids.v[i].low; uid <= x->uids.v[i].high && !s->ended; uid++) {
			uint32_t sequence = view_sequence(s->view, uid);

			write_fetch_news(s, sequence, view_message(s->view, sequence), true);
		}
	view_told_flags(s->view, &x->uids);
}

/* Message numbers for STORE, UIDs for UID STORE. */
static const char *modified_code(struct storing *x)
{
	AUTO_BUF struct buf code = BUF_INIT;
	struct number_set numbers = {0};
	size_t cap = 0, i;
	uint32_t uid;

	if (x->s->uid)
		numbers = x->modified;
	for (i = 0; !x->s->uid && i < x->modified.n; i++)
		for (uid = x->modified.v[i].low; uid <= x->modified.v[i].high; uid++)
			set_add(x->s->arena, &numbers, &cap, view_sequence(x->s->view, uid));
	buf_adds(&code, "MODIFIED ");
	set_write(&code, &numbers);
	return arena_strdup(x->s->arena, buf_cstr(&code));
}

static void conclude(struct storing *x)
{
	const char *code = x->modified.n > 0 ? modified_code(x) : NULL;

	if (x->ghosts)
		reply_no(x->s, code != NULL ? code : "EXPUNGEISSUED", "Some of the messages no longer exist");
	else if (code != NULL)
		reply_ok(x->s, code, "Conditional STORE failed");
	else
		reply_ok(x->s, NULL,
		    x->lost ? "STORE completed, but the mailbox cannot keep all of these keywords"
		            : "STORE completed");
}

/* Numbered messages that turned out to be gone when the mailbox was locked. Ghosts are not told of. */
static void find_ghosts(struct storing *x)
{
	struct number_set gone = {0}, live;
	size_t cap = 0, i, kept = 0;
	uint32_t uid;

	for (i = 0; i < x->uids.n; i++)
		for (uid = x->uids.v[i].low; uid <= x->uids.v[i].high; uid++)
			if (view_message(x->s->view, view_sequence(x->s->view, uid))->expunged)
				set_add(x->s->arena, &gone, &cap, uid);
	if (gone.n == 0)
		return;
	x->ghosts = x->ghosts || !x->s->uid;
	set_without(x->s->arena, &x->uids, &gone, &live);
	x->uids = live;
	for (i = 0; i < x->count; i++)
		if (!set_has(&gone, x->before[i].uid))
			x->before[kept++] = x->before[i];
	x->count = kept;
}

void command_store(struct session *s, struct parse *p)
{
	struct storing x = {.s = s};
	struct err e = ERR_INIT;

	if (!parse_messages(s, p, &x.uids, &x.ghosts))
		return;
	if (!parse_change(s, p, &x.change)) {
		reply_bad(s, p->error);
		return;
	}
	if (x.change.conditional && !condstore_possible(s))
		return;
	if (!session_writable(s))
		return;
	if (x.change.conditional)
		condstore_enable(s);
	limit_messages(s, &x.uids);
	if (store_all(&x, &e) != 0) {
		reply_error(s, &e);
		return;
	}
	find_ghosts(&x);
	/* A keyword that is new to the client is told in FLAGS before it stands in a FETCH. */
	if (view_new_keywords(s->view))
		write_flag_lists(s);
	if (x.change.silent)
		tell_silently(&x);
	else
		tell(&x);
	conclude(&x);
}
