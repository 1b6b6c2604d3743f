/* test-store.c: the driver under the real engine: two sessions on one mailbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/driver.h"

#define HEAD "From a@b Mon Jan  1 10:00:00 2024 +0000\n"

extern const struct mortise_module unix_LTX_mortise_module;

/* What the driver reads. */
static uint64_t octets_read;

ssize_t __real_pread64(int fd, void *p, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *p, size_t size, off_t offset);

ssize_t __wrap_pread64(int fd, void *p, size_t size, off_t offset)
{
	ssize_t n = __real_pread64(fd, p, size, offset);

	octets_read += n > 0 ? (uint64_t)n : 0;
	return n;
}

struct house {
	char home[64];
	struct arena *a;
	struct store_options o;
	struct instance *driver;
	struct store *one, *two;
	struct err e;
};

#define GOOD(h, x)                                                            \
	do {                                                                  \
		if ((x) < 0)                                                  \
			fail_msg("%s: %d %s", #x, (h)->e.code, (h)->e.admin); \
	} while (0)

static int setup(void **state)
{
	struct house *h = mem_new(struct house);
	struct store_user u = {.name = "fred", .uid = getuid()};

	snprintf(h->home, sizeof h->home, "/tmp/mortise-unix-XXXXXX");
	assert_non_null(mkdtemp(h->home));
	h->a = arena_new("house");
	for (size_t i = 0; i < store_conf_group.count; i++)
		GOOD(h, conf_set(&store_conf_group.options[i], &h->o,
		            str_of(store_conf_group.options[i].fallback), h->a, &h->e));
	h->o.lock_timeout = 5000;
	h->driver = instance_builtin(h->a, &unix_LTX_mortise_module, "unix");
	u.home = h->home;
	assert_int_equal(mkdir(arena_printf(h->a, "%s/mail", h->home), 0700), 0);
	GOOD(h, store_open_drivers(&h->o, &u, &h->driver, 1, &h->one, &h->e));
	GOOD(h, store_open_drivers(&h->o, &u, &h->driver, 1, &h->two, &h->e));
	*state = h;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct house *h = *state;

	store_close(&h->one);
	store_close(&h->two);
	nftw(h->home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	arena_free(&h->a);
	mem_free(h);
	return 0;
}

static void put(struct house *h, const char *name, const char *text, int flags)
{
	int fd = open(arena_printf(h->a, "%s/mail/%s", h->home, name), O_WRONLY | O_CREAT | flags, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* An empty file has no UIDVALIDITY; who writes first chooses it, and nobody else is thrown out. */
static void an_empty_mailbox_gets_its_numbers_while_it_is_open(void **state)
{
	struct house *h = *state;
	struct mailbox *m;
	struct view *v;

	put(h, "box", "", 0);
	GOOD(h, mailbox_open(h->one, "box", 0, &m, &h->e));
	put(h, "box",
	    HEAD
	    "X-IMAPbase: 1700000000 1\nStatus: \nX-Status: \nX-Keywords:                                   "
	    "       \nX-UID: 1\nSubject: x\n\nb\n\n",
	    O_TRUNC);
	assert_int_equal(mailbox_sync(m, &h->e), 1);
	assert_int_equal(mailbox_uidvalidity(m), 1700000000);
	/* From now on it may not change: somebody was told. */
	GOOD(h, view_open(m, &v, &h->e));
	put(h, "box",
	    HEAD
	    "X-IMAPbase: 1700000001 1\nStatus: \nX-Status: \nX-Keywords:                                   "
	    "       \nX-UID: 1\nSubject: x\n\nb\n\n",
	    O_TRUNC);
	assert_int_equal(mailbox_sync(m, &h->e), MORTISE_E_NOTFOUND);
	assert_true(mailbox_gone(m));
	view_close(&v);
	mailbox_close(&m);
}

static void two_sessions_see_each_other(void **state)
{
	struct house *h = *state;
	struct number_set all = {0};
	struct mailbox *a, *b;
	struct view *va, *vb;
	uint32_t count;
	bool lost;
	const struct str keyword[] = {str_of("$Work")};

	put(h, "lists", HEAD "Subject: 1\n\nb\n\n" HEAD "Subject: 2\n\nb\n\n" HEAD "Subject: 3\n\nb\n\n", 0);
	GOOD(h, mailbox_open(h->one, "lists", 0, &a, &h->e));
	GOOD(h, mailbox_open(h->two, "lists", 0, &b, &h->e));
	assert_int_equal(mailbox_uidvalidity(a), mailbox_uidvalidity(b));
	GOOD(h, view_open(a, &va, &h->e));
	GOOD(h, view_open(b, &vb, &h->e));
	assert_int_equal(view_count(va), 3);
	assert_true(set_parse(h->a, str_of("2:3"), 3, &all));
	GOOD(
	    h, mailbox_store_flags(a, &all, FLAGS_ADD, MORTISE_FLAG_DELETED, keyword, 1, NULL, &lost, &h->e));
	assert_false(lost);
	GOOD(h, view_update(vb, 0, &(struct view_events){0}, &h->e));
	assert_int_equal(view_message(vb, 3)->flags, MORTISE_FLAG_DELETED);
	assert_string_equal(mailbox_keyword(b, 0), "$Work");
	GOOD(h, mailbox_expunge(b, NULL, &count, &h->e));
	assert_int_equal(count, 2);
	put(h, "lists", HEAD "Subject: 4\n\nb\n\n", O_APPEND);
	GOOD(h, view_update(va, VIEW_MAY_EXPUNGE, &(struct view_events){0}, &h->e));
	assert_int_equal(view_count(va), 2);
	assert_int_equal(view_message(va, 2)->uid, 4);
	view_close(&va);
	view_close(&vb);
	mailbox_close(&a);
	mailbox_close(&b);
}

/* What was expunged is taken out at the end of the session, and the next one has nothing to learn. */
static void nothing_is_read_when_it_is_opened_again(void **state)
{
	struct house *h = *state;
	struct number_set some = {0};
	struct mailbox *m;
	struct view *v;
	uint32_t count;
	bool lost;

	put(h, "lists",
	    arena_printf(h->a,
	        HEAD "Subject: 1\n\nb\n\n" HEAD "Subject: 2\n\nb\n\n" HEAD "Subject: 3\n\n%020000u\n\n", 3u),
	    0);
	GOOD(h, mailbox_open(h->one, "lists", 0, &m, &h->e));
	assert_true(set_parse(h->a, str_of("1:2"), 3, &some));
	GOOD(h, mailbox_store_flags(m, &some, FLAGS_ADD, MORTISE_FLAG_DELETED, NULL, 0, NULL, &lost, &h->e));
	GOOD(h, mailbox_expunge(m, NULL, &count, &h->e));
	assert_int_equal(count, 2);
	mailbox_close(&m);
	octets_read = 0;
	GOOD(h, mailbox_open(h->two, "lists", 0, &m, &h->e));
	assert_true(octets_read <= 4096); /* to see what format it is */
	GOOD(h, view_open(m, &v, &h->e));
	assert_int_equal(view_count(v), 1);
	assert_int_equal(view_message(v, 1)->uid, 3);
	view_close(&v);
	mailbox_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        an_empty_mailbox_gets_its_numbers_while_it_is_open, setup, teardown),
	    cmocka_unit_test_setup_teardown(two_sessions_see_each_other, setup, teardown),
	    cmocka_unit_test_setup_teardown(nothing_is_read_when_it_is_opened_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
