/* test-drive.h: calling a driver's callbacks one by one, for the tests of memory, fail and debug. */
#ifndef MORTISE_MEMORY_TEST_DRIVE_H
#define MORTISE_MEMORY_TEST_DRIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mortise/driver.h>

#include "conf/conf.h"
#include "module/module.h"

struct drive {
	struct arena *a, *box;
	struct instance *i;
	const struct mortise_driver_ops *ops;
	struct err e;
	char dir[32];
	int root;
};

static inline void drive_start(struct drive *d, const struct mortise_module *m)
{
	memset(d, 0, sizeof(*d));
	d->a = arena_new("test");
	d->box = arena_new("box");
	d->i = instance_builtin(d->a, m, m->name);
	d->ops = d->i->ops;
	snprintf(d->dir, sizeof(d->dir), "/tmp/mortise-drive-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	d->root = open(d->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static inline void drive_end(struct drive *d)
{
	static const char *const files[] = {"a", "b", "c"};
	size_t i;

	for (i = 0; i < 3; i++)
		unlinkat(d->root, files[i], 0);
	close(d->root);
	rmdir(d->dir);
	arena_free(&d->box);
	arena_free(&d->a);
}

static inline struct mortise_place drive_place(const struct drive *d, const char *path)
{
	return (struct mortise_place){.size = sizeof(struct mortise_place),
	    .root = d->root,
	    .path = path,
	    .name = path,
	    .file_mode = 0600,
	    .dir_mode = 0700};
}

static inline void drive_option(struct drive *d, const char *name, const char *text)
{
	size_t k;

	for (k = 0; k < d->i->module->option_count; k++)
		if (strcmp(d->i->module->options[k].name, name) == 0)
			assert_int_equal(conf_set(&d->i->module->options[k],
			                     (void *)(uintptr_t)d->i->pub.options, str_of(text), d->a, &d->e),
			    0);
}

/* One callback: its result, the error in d->e. */
#define DRIVE(d, op, ...)                                                                   \
	({                                                                                  \
		const struct call_env drive_env = {.box = (d)->box, .journal_dir = -1};     \
		struct call drive_call;                                                     \
		err_clear(&(d)->e);                                                         \
		call_begin(&drive_call, (d)->i, &drive_env, #op);                           \
		call_end(&drive_call, (d)->ops->op(&drive_call.pub, __VA_ARGS__), &(d)->e); \
	})
#define DRIVE_VOID(d, op, ...)                                                          \
	do {                                                                            \
		const struct call_env drive_env = {.box = (d)->box, .journal_dir = -1}; \
		struct call drive_call;                                                 \
		call_begin(&drive_call, (d)->i, &drive_env, #op);                       \
		(d)->ops->op(&drive_call.pub, __VA_ARGS__);                             \
		call_end(&drive_call, 0, &(d)->e);                                      \
	} while (0)

/* What a sync said, as text: "full kw:a,b +1(flags) ~2(flags) -3 next4". */
struct ear {
	char text[4096];
	struct mortise_message last;
};

static inline void ear_add(struct ear *ear, const char *sign, unsigned number, const char *end)
{
	size_t n = strlen(ear->text);

	snprintf(ear->text + n, sizeof(ear->text) - n, "%s%u%s", sign, number, end);
}

static inline void ear_message(struct ear *ear, const char *sign, const struct mortise_message *m)
{
	char end[20];

	ear->last = *m;
	snprintf(end, sizeof(end), "(%x) ", m->flags);
	ear_add(ear, sign, m->uid, end);
}

static inline int ear_full(void *x, uint32_t uidvalidity)
{
	(void)uidvalidity;
	memcpy(((struct ear *)x)->text, "full ", sizeof("full "));
	return 0;
}

static inline int ear_keywords(void *x, const char *const *names, size_t count)
{
	(void)names;
	if (count > 0)
		ear_add(x, "kw", (unsigned)count, " ");
	return 0;
}

static inline int ear_added(void *x, const struct mortise_message *m)
{
	ear_message(x, "+", m);
	return 0;
}

static inline int ear_changed(void *x, const struct mortise_message *m)
{
	ear_message(x, "~", m);
	return 0;
}

static inline int ear_vanished(void *x, uint32_t uid)
{
	ear_add(x, "-", uid, " ");
	return 0;
}

static inline int ear_uidnext(void *x, uint32_t uidnext)
{
	ear_add(x, "next", uidnext, "");
	return 0;
}

static inline const char *drive_sync(struct drive *d, void *box, struct mortise_cursor *c, struct ear *ear)
{
	const struct mortise_sink sink = {.size = sizeof(sink),
	    .engine = ear,
	    .full_scan = ear_full,
	    .keywords = ear_keywords,
	    .added = ear_added,
	    .changed = ear_changed,
	    .vanished = ear_vanished,
	    .uidnext = ear_uidnext};

	memset(ear, 0, sizeof(*ear));
	if (DRIVE(d, sync, box, c, &sink) != 0)
		return "failed";
	return ear->text;
}

static inline void *drive_open(struct drive *d, const struct mortise_place *p, uint32_t flags)
{
	struct mortise_box_info info = {.size = sizeof(info)};
	void *box = NULL;

	assert_int_equal(DRIVE(d, open, p, flags, &info, &box), 0);
	return box;
}

static inline int drive_append(struct drive *d, void *box, const char *text, uint32_t *uid)
{
	const struct mortise_append_info info = {.size = sizeof(info), .octets = strlen(text)};
	uint32_t uidvalidity = 0;
	void *tx;

	assert_int_equal(DRIVE(d, append_begin, box, &tx), 0);
	assert_int_equal(DRIVE(d, append_message, tx, &info), 0);
	assert_int_equal(DRIVE(d, append_write, tx, text, strlen(text)), 0);
	return DRIVE(d, append_commit, tx, &uidvalidity, uid, 1);
}

static inline struct mortise_ref drive_ref(uint32_t uid)
{
	struct mortise_ref r = {.uid = uid, .locator_size = sizeof(uid)};

	memcpy(r.locator, &uid, sizeof(uid));
	return r;
}

#endif
