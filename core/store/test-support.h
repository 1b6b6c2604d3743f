/* test-support.h: a store in a directory of its own, for the tests of this room. */
#ifndef MORTISE_STORE_TEST_SUPPORT_H
#define MORTISE_STORE_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/driver.h"

struct fixture {
	char home[64];
	struct arena *a;
	struct store_options o;
	struct instance *drivers[3]; /* memory, fail, debug */
	struct store *s;
	struct err e;
};

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Opens the store again, after options were changed. */
void fixture_reopen(struct fixture *f);
/* Another store of the same user: another session. */
struct store *fixture_other(struct fixture *f);
/* Sets an option of a driver instance. */
void set_option(struct fixture *f, struct instance *i, const char *name, const char *text);
#define MEMORY(f) ((f)->drivers[0])
#define FAIL(f) ((f)->drivers[1])
#define DEBUG(f) ((f)->drivers[2])

/* The call succeeded; else its error is shown. */
#define ok(f, call)                                                              \
	do {                                                                     \
		if ((call) < 0)                                                  \
			fail_msg("%s: %d %s", #call, (f)->e.code, (f)->e.admin); \
		assert_int_equal((f)->e.code, 0);                                \
	} while (0)
/* The call failed with this code; the error is cleared. */
#define fails(f, call, want)                                \
	do {                                                \
		assert_int_equal((call), (want));           \
		assert_int_equal((f)->e.code, (want));      \
		assert_string_not_equal((f)->e.client, ""); \
		err_clear(&(f)->e);                         \
	} while (0)

/* Writes a file below home; NULL text: a directory. */
void put_file(struct fixture *f, const char *path, const char *text);
bool exists(struct fixture *f, const char *path);
/* One message; its UID. */
uint32_t append_one(struct fixture *f, const char *mailbox, const char *text, uint32_t flags);
/* A mailbox of three: these texts; the second \Seen, the third \Deleted. */
#define ONE "Subject: one\r\n\r\nfirst\r\n"
#define TWO "Subject: two\r\n\r\nsecond\r\n"
#define THREE "Subject: three\r\n\r\nthird\r\n"
void append_three(struct fixture *f, const char *mailbox);
/* "NAME attributes\n" for each entry. */
const char *list_text(struct fixture *f, const char *reference, const char *pattern);
const char *lsub_text(struct fixture *f, const char *reference, const char *pattern);
/* Updates a view: "exp 1/5 exists 3 recent 1 keywords flags 2=S " … */
const char *update_text(struct fixture *f, struct view *v, unsigned how);
struct number_set uid_set(struct fixture *f, const char *text);
/* Whole text of a message. */
const char *read_text(struct fixture *f, struct mailbox *m, const struct message *msg);
struct view *open_view(
    struct fixture *f, struct store *s, const char *name, unsigned flags, struct mailbox **m);

#endif
