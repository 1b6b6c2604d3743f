/* Mailboxes in every format, converted into every other: to a client they stay what they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/driver.h"

extern const struct mortise_module unix_LTX_mortise_module, mbx_LTX_mortise_module,
    maildir_LTX_mortise_module, mh_LTX_mortise_module;

static const struct mortise_module *const modules[] = {
    &mbx_LTX_mortise_module, &maildir_LTX_mortise_module, &mh_LTX_mortise_module, &unix_LTX_mortise_module};
static const char *const names[] = {"mbx", "maildir", "mh", "unix"};
#define FORMATS ARRAY_LEN(names)

struct world {
	char home[64];
	struct arena *a;
	struct store_options o;
	struct instance *drivers[FORMATS];
	struct store *s;
	struct err e;
};

#define GOOD(w, call)                                                            \
	do {                                                                     \
		if ((call) < 0)                                                  \
			fail_msg("%s: %d %s", #call, (w)->e.code, (w)->e.admin); \
	} while (0)

static void reopen(struct world *w)
{
	const struct store_user u = {.name = "fred", .home = w->home, .uid = getuid()};

	store_close(&w->s);
	GOOD(w, store_open_drivers(&w->o, &u, w->drivers, FORMATS, &w->s, &w->e));
}

static int setup(void **state)
{
	struct world *w = mem_new(struct world);
	size_t i;

	snprintf(w->home, sizeof(w->home), "/tmp/mortise-convert-XXXXXX");
	assert_non_null(mkdtemp(w->home));
	w->a = arena_new("test");
	for (i = 0; i < store_conf_group.count; i++)
		GOOD(w, conf_set(&store_conf_group.options[i], &w->o,
		            str_of(store_conf_group.options[i].fallback), w->a, &w->e));
	for (i = 0; i < FORMATS; i++)
		w->drivers[i] = instance_builtin(w->a, modules[i], names[i]);
	reopen(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char *command;
	int r;

	store_close(&w->s);
	assert_true(asprintf(&command, "rm -rf '%s'", w->home) > 0);
	r = system(command);
	free(command);
	arena_free(&w->a);
	mem_free(w);
	return r;
}

static void append_some(struct world *w, const char *name, unsigned from, unsigned n)
{
	static const struct str words[] = {STR_INIT("$Forwarded"), STR_INIT("a-word")};
	struct append *batch;
	uint32_t uidvalidity, *uids;
	size_t count;
	unsigned i;

	GOOD(w, append_begin(w->s, name, &batch, &w->e));
	for (i = from; i < from + n; i++) {
		struct str text = str_of(arena_printf(
		    w->a, "Subject: %u\r\nFrom: a@b.example\r\n\r\nText of %u\r\n%*s\r\n", i, i, (int)i, ""));

		GOOD(w, append_message(batch, (i * 5) & MORTISE_FLAGS_SYSTEM, words, i % 3,
		            1700000000 + i * 60, (int)(i % 5) * 60 - 120, text.n, &w->e));
		GOOD(w, append_write(batch, text, &w->e));
	}
	GOOD(w, append_commit(&batch, &uidvalidity, w->a, &uids, &count, &w->e));
}

/* With gaps between UIDs, and changes that have their own mod-sequences. */
static void make(struct world *w, const char *driver, const char *name)
{
	struct set_range odd[] = {{2, 2}, {5, 7}, {12, 12}}, later = {9, 10};
	struct number_set gone = {odd, 3}, flagged = {&later, 1};
	struct str word = STR_INIT("later");
	struct mailbox *m;
	uint32_t count;

	GOOD(w, store_create(w->s, arena_printf(w->a, "#driver.%s/%s", driver, name), &w->e));
	append_some(w, name, 0, 12);
	GOOD(w, mailbox_open(w->s, name, 0, &m, &w->e));
	GOOD(w, mailbox_store_flags(m, &gone, FLAGS_ADD, MORTISE_FLAG_DELETED, NULL, 0, NULL, NULL, &w->e));
	GOOD(w, mailbox_expunge(m, &gone, &count, &w->e));
	assert_int_equal(count, 5);
	GOOD(w, mailbox_store_flags(m, &flagged, FLAGS_ADD, MORTISE_FLAG_DRAFT, &word, 1, NULL, NULL, &w->e));
	mailbox_close(&m);
	append_some(w, name, 12, 3);
}

/* Everything a client could know. */
static const char *picture(struct world *w, const char *name, uint64_t *highest)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct mailbox *m;
	struct view *v;
	uint32_t i;

	reopen(w);
	GOOD(w, mailbox_open(w->s, name, MAILBOX_READ_ONLY | MAILBOX_KEEP_RECENT, &m, &w->e));
	GOOD(w, view_open(m, &v, &w->e));
	*highest = mailbox_highestmodseq(m);
	buf_printf(&out, "%u %u\n", mailbox_uidvalidity(m), mailbox_uidnext(m));
	for (i = 1; i <= view_count(v); i++) {
		const struct message *msg = view_message(v, i);
		struct source *src;
		struct str part;
		uint64_t at = 0;
		size_t bit;

		buf_printf(&out, "%u %x %llu %lld %lld:", msg->uid, msg->flags,
		    (unsigned long long)msg->modseq, (long long)msg->internal_date,
		    (long long)msg->save_date);
		for (bit = 0; bit < mailbox_keyword_count(m); bit++)
			if ((msg->keywords >> bit & 1) != 0)
				buf_printf(&out, " %s", mailbox_keyword(m, bit));
		buf_addc(&out, '\n');
		GOOD(w, mailbox_read(m, msg, &src, &w->e));
		for (;; at += part.n) {
			GOOD(w, source_chunk(src, at, &part, &w->e));
			if (part.n == 0)
				break;
			buf_addstr(&out, part);
		}
		source_close(&src);
	}
	view_close(&v);
	mailbox_close(&m);
	return arena_strdup(w->a, buf_cstr(&out));
}

static void test_every_pair(void **state)
{
	struct world *w = *state;
	size_t from, to;

	for (from = 0; from < FORMATS; from++) {
		const char *old = arena_printf(w->a, "old-%s", names[from]), *before;
		uint64_t highest, after;

		make(w, names[from], old);
		before = picture(w, old, &highest);
		assert_true(highest > 0);
		for (to = 0; to < FORMATS; to++) {
			const char *new = arena_printf(w->a, "%s-%s", names[from], names[to]), *now;
			struct mailbox *m;

			if (store_convert(
			        w->s, old, arena_printf(w->a, "#driver.%s/%s", names[to], new), &w->e) != 0)
				fail_msg("%s: %d %s", new, w->e.code, w->e.admin);
			now = picture(w, new, &after);
			if (strcmp(now, before) != 0)
				fail_msg("%s is\n%s\nand was\n%s", new, now, before);
			assert_true(after >= highest);
			/* It is a mailbox of that format, and goes on from there. */
			append_some(w, new, 20, 1);
			GOOD(w, mailbox_open(w->s, new, 0, &m, &w->e));
			assert_string_equal(m->driver->pub.name, names[to]);
			assert_true(mailbox_highestmodseq(m) > after);
			mailbox_close(&m);
		}
		assert_string_equal(picture(w, old, &after), before);
	}
}

/* What cannot be done leaves nothing behind. */
static void test_refused(void **state)
{
	struct world *w = *state;
	struct mailbox *m;

	make(w, "unix", "a");
	make(w, "mbx", "b");
	assert_int_equal(store_convert(w->s, "a", "b", &w->e), MORTISE_E_EXISTS);
	err_clear(&w->e);
	assert_int_equal(store_convert(w->s, "none", "#driver.mbx/c", &w->e), MORTISE_E_NOTFOUND);
	err_clear(&w->e);
	assert_int_equal(mailbox_open(w->s, "c", 0, &m, &w->e), MORTISE_E_NOTFOUND);
	err_clear(&w->e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_every_pair, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
