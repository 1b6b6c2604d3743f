#include "crash.h"

#include <stdio.h>
#include <string.h>

/* ---- operations ---- */

void append_to(struct store *s, const char *name, const char *const *texts, size_t count, uint32_t flags,
    const char *keyword, struct err *e)
{
	struct str words[1] = {str_of(keyword != NULL ? keyword : "")};
	uint32_t uidvalidity, *uids;
	struct append *a;
	size_t n;

	if (append_begin(s, name, &a, e) != 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (append_message(a, flags, words, keyword != NULL, 1704446430 + (int64_t)i, 60,
		        strlen(texts[i]), e) != 0 ||
		    append_write(a, str_of(texts[i]), e) != 0) {
			append_abort(&a);
			return;
		}
	if (append_commit(&a, &uidvalidity, w.arena, &uids, &n, e) == 0)
		shared->uidvalidity = uidvalidity;
}

const char *text_of(const char *subject, size_t size)
{
	char *p = arena_alloc(w.arena, size + 200);
	size_t n = (size_t)snprintf(p, 200, "Subject: %s\r\nFrom: x@example.org\r\n\r\n", subject);

	while (n < size)
		n += (size_t)snprintf(p + n, 100, "%s line at %zu, which says nothing else\r\n", subject, n);
	return p;
}

static struct mailbox *open_box(struct store *s, struct err *e)
{
	struct mailbox *m;

	mailbox_open(s, "box", 0, &m, e);
	return m;
}

static void flag(struct store *s, const char *uids, enum flag_mode mode, uint32_t flags, const char *keyword,
    struct err *e)
{
	struct str words[1] = {str_of(keyword != NULL ? keyword : "")};
	struct mailbox *m = open_box(s, e);
	struct number_set set;

	set_parse(w.arena, str_of(uids), UINT32_MAX, &set);
	if (m != NULL)
		mailbox_store_flags(m, &set, mode, flags, words, keyword != NULL, NULL, NULL, e);
	mailbox_close(&m);
}

static void expunge(struct store *s, struct err *e)
{
	struct mailbox *m = open_box(s, e);
	uint32_t count;

	if (m != NULL)
		mailbox_expunge(m, NULL, &count, e);
	mailbox_close(&m);
}

static void copy(struct store *s, const char *uids, const char *to, struct err *e)
{
	struct mailbox *m = open_box(s, e);
	struct copy_result out;
	struct number_set set;

	set_parse(w.arena, str_of(uids), UINT32_MAX, &set);
	if (m != NULL && mailbox_copy(m, &set, to, w.arena, &out, e) == 0)
		shared->uidvalidity = out.uidvalidity;
	mailbox_close(&m);
}

/* ---- mailboxes to begin with ---- */

void make_box(const char *name)
{
	struct err e = ERR_INIT;
	struct store *s = world_store();

	must(store_create(s, name, &e), &e, "create");
	store_close(&s);
}

void fill_box(size_t count, size_t size)
{
	struct err e = ERR_INIT;
	struct store *s = world_store();

	for (size_t i = 0; i < count; i++) {
		const char *text = text_of(arena_printf(w.arena, "message %zu", i + 1), size);

		append_to(s, "box", &text, 1, i % 2 ? MORTISE_FLAG_SEEN : 0, i == 1 ? "red" : NULL, &e);
	}
	store_close(&s);
	must(0, &e, "fill");
}

void mark(const char *uids, uint32_t flags)
{
	struct err e = ERR_INIT;
	struct store *s = world_store();

	flag(s, uids, FLAGS_ADD, flags, NULL, &e);
	store_close(&s);
	must(0, &e, "mark");
}

void start_created(void)
{
	make_box("box");
}

void start_four(void)
{
	make_box("box");
	fill_box(4, 300);
}

void start_two(void)
{
	start_four();
	make_box("other");
}

void start_doomed_some(void)
{
	start_four();
	mark("2:3", MORTISE_FLAG_DELETED);
}

void start_doomed_all(void)
{
	start_four();
	mark("1:4", MORTISE_FLAG_DELETED);
}

/* ---- what is done ---- */

static const char long_words[] = "a-long-keyword-that-fills-the-block-of-its-message";

void do_open(struct store *s, struct err *e)
{
	struct mailbox *m = open_box(s, e);

	/* Where the index could not be had, a session is told that UIDs do not stay. */
	if (m != NULL && mailbox_uids_stick(m))
		shared->uidvalidity = mailbox_uidvalidity(m);
	mailbox_close(&m);
}

void do_append(struct store *s, struct err *e)
{
	const char *text = text_of("appended", 500);

	append_to(s, "box", &text, 1, MORTISE_FLAG_FLAGGED, NULL, e);
}

void do_append_big(struct store *s, struct err *e)
{
	const char *text = text_of("appended", 200000);

	append_to(s, "box", &text, 1, 0, NULL, e);
}

void do_append_batch(struct store *s, struct err *e)
{
	const char *texts[3] = {text_of("first", 300), text_of("second", 6000), text_of("third", 900)};

	append_to(s, "box", texts, 3, MORTISE_FLAG_SEEN, "blue", e);
}

void do_flags(struct store *s, struct err *e)
{
	flag(s, "1,3", FLAGS_ADD, MORTISE_FLAG_FLAGGED | MORTISE_FLAG_ANSWERED, NULL, e);
}

void do_clear(struct store *s, struct err *e)
{
	flag(s, "2,4", FLAGS_REPLACE, 0, NULL, e);
}

void do_keyword(struct store *s, struct err *e)
{
	flag(s, "2", FLAGS_ADD, 0, "green", e);
}

void do_long_keyword(struct store *s, struct err *e)
{
	flag(s, "2:3", FLAGS_ADD, MORTISE_FLAG_FLAGGED, long_words, e);
}

void do_expunge(struct store *s, struct err *e)
{
	expunge(s, e);
}

void do_copy(struct store *s, struct err *e)
{
	copy(s, "1:2,4", "other", e);
}

void do_copy_here(struct store *s, struct err *e)
{
	copy(s, "2,4", "box", e);
}

void do_move(struct store *s, struct err *e)
{
	struct mailbox *m = open_box(s, e);
	struct copy_result out;
	struct number_set set;

	set_parse(w.arena, STR("1:2,4"), UINT32_MAX, &set);
	if (m != NULL)
		mailbox_move(m, &set, "other", w.arena, &out, e);
	mailbox_close(&m);
}
