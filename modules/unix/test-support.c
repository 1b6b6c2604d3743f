#include "test-support.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"

/* unix is a macro of old compilers. */
#undef unix
#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)
#define QUOTED(a) #a
#define QUOTE(a) QUOTED(a)
#define MODULE JOIN(RIG_DRIVER, _LTX_mortise_module)
#define NAME QUOTE(RIG_DRIVER)

extern const struct mortise_module MODULE;

const struct mortise_driver_ops *rig_ops(const struct rig *r)
{
	return r->instance->ops;
}

const struct mortise_module *rig_module(void)
{
	return &MODULE;
}

struct rig *rig_new(void)
{
	struct rig *r = mem_new(struct rig);

	snprintf(r->dir, sizeof r->dir, "/tmp/mortise-" NAME "-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->root = open(r->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(r->root, "journals", 0700), 0);
	r->journals = openat(r->root, "journals", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r->arena = arena_new("rig");
	r->instance = instance_builtin(r->arena, &MODULE, NAME);
	r->file = "box";
	r->lock_timeout = 3000;
	/* Not where real programs look. */
	rig_option(r, RIG_LOCKS, r->dir);
	return r;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void rig_free(struct rig *r)
{
	session_close(&r->s);
	close(r->root);
	close(r->journals);
	nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	arena_free(&r->arena);
	mem_free(r);
}

int rig_setup(void **state)
{
	*state = rig_new();
	return 0;
}

int rig_teardown(void **state)
{
	rig_free(*state);
	return 0;
}

void rig_option(struct rig *r, const char *name, const char *text)
{
	const struct mortise_module *m = &MODULE;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < m->option_count; i++)
		if (strcmp(m->options[i].name, name) == 0) {
			assert_int_equal(conf_set(&m->options[i], (void *)(uintptr_t)r->instance->pub.options,
			                     str_of(text), r->arena, &e),
			    0);
			return;
		}
	fail_msg("no option %s", name);
}

static void write_file(struct rig *r, const char *data, size_t size, int flags)
{
	int fd = openat(r->root, r->file, O_WRONLY | O_CREAT | flags, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	close(fd);
}

void rig_put(struct rig *r, const char *data, size_t size)
{
	write_file(r, data, size, O_TRUNC);
}

void rig_fill(struct rig *r, unsigned n)
{
	const size_t room = (size_t)n * 200;
	char *text = malloc(room);
	size_t at = 0;

	for (unsigned i = 1; i <= n; i++)
		at += (size_t)snprintf(
		    text + at, room - at, HEAD "Subject: %u\n\nbody %u\n>From here\n\n", i, i);
	rig_put(r, text, at);
	free(text);
}

void rig_is_message(struct session *s, uint32_t uid, unsigned number)
{
	char text[100];

	snprintf(text, sizeof text, "Subject: %u\r\n\r\nbody %u\r\n>From here\r\n", number, number);
	assert_string_equal(session_read(s, uid, NULL), text);
}

void rig_add(struct rig *r, const char *data)
{
	write_file(r, data, strlen(data), O_APPEND);
}

char *rig_get(struct rig *r, size_t *size)
{
	int fd = openat(r->root, r->file, O_RDONLY);
	struct stat st;
	char *p;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	p = arena_alloc(r->arena, (size_t)st.st_size + 1);
	assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
	close(fd);
	if (size != NULL)
		*size = (size_t)st.st_size;
	return p;
}

/* ---- calls ---- */

static int stop(void *arg)
{
	struct rig *r = arg;

	return r->stop_after > 0 && --r->stop_after == 0 ? MORTISE_E_CANCELLED : 0;
}

#define CALL(s, name, expression)                                                                      \
	struct call_env env = {                                                                        \
	    .box = (s)->arena, .stop = stop, .stop_arg = (s)->rig, .journal_dir = (s)->rig->journals}; \
	struct call c;                                                                                 \
	int r;                                                                                         \
	err_clear(&(s)->e);                                                                            \
	call_begin(&c, (s)->rig->instance, &env, name);                                                \
	r = (expression);                                                                              \
	r = call_end(&c, r, &(s)->e)

int session_open(struct rig *rig, struct session *s, uint32_t flags)
{
	memset(s, 0, sizeof *s);
	s->rig = rig;
	s->arena = arena_new("box");
	s->place = (struct mortise_place){.size = sizeof s->place,
	    .root = rig->root,
	    .path = rig->file,
	    .name = "box",
	    .inbox = rig->inbox,
	    .file_mode = 0600,
	    .dir_mode = 0700,
	    .lock_timeout = rig->lock_timeout};
	CALL(s, "open", rig_ops(rig)->open(&c.pub, &s->place, flags, &s->info, &s->box));
	if (r != 0)
		s->box = NULL;
	s->uidvalidity = s->info.uidvalidity;
	return r;
}

int session_inherit(struct session *s, struct session *from, uint32_t flags)
{
	struct session old = *from;
	int r;

	from->messages = NULL;
	session_close(from);
	r = session_open(old.rig, s, flags);
	s->messages = old.messages;
	s->count = old.count;
	s->room = old.room;
	memcpy(s->names, old.names, sizeof s->names);
	s->name_count = old.name_count;
	s->uidvalidity = old.uidvalidity;
	s->uidnext = old.uidnext;
	s->cursor = old.cursor;
	return r;
}

void session_close(struct session *s)
{
	if (s->box != NULL) {
		CALL(s, "close", (rig_ops(s->rig)->close(&c.pub, s->box), 0));
		assert_int_equal(r, 0);
	}
	s->box = NULL;
	free(s->messages);
	s->messages = NULL;
	s->count = s->room = 0;
	arena_free(&s->arena);
}

static struct known_message *place_of(struct session *s, uint32_t uid)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (s->messages[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return &s->messages[low];
}

struct known_message *session_find(struct session *s, uint32_t uid)
{
	struct known_message *k = place_of(s, uid);

	return k < s->messages + s->count && k->uid == uid ? k : NULL;
}

static void fill(struct known_message *k, const struct mortise_message *m)
{
	k->uid = m->uid;
	k->flags = m->flags;
	k->keywords = m->keywords;
	k->m = *m;
}

static int on_full(void *engine, uint32_t uidvalidity)
{
	struct session *s = engine;

	assert_int_equal(s->full, 0);
	assert_int_equal(s->added + s->changed + s->vanished, 0);
	assert_int_not_equal(uidvalidity, 0);
	s->full++;
	s->fresh = true;
	s->uidvalidity = uidvalidity;
	s->count = 0;
	return 0;
}

static int on_keywords(void *engine, const char *const *names, size_t count)
{
	struct session *s = engine;

	assert_true(count <= 64);
	for (size_t i = 0; i < count; i++) {
		if (i < s->name_count)
			assert_string_equal(s->names[i], names[i]); /* bits keep their meaning */
		snprintf(s->names[i], sizeof s->names[i], "%s", names[i]);
	}
	s->name_count = count;
	s->keyword_calls++;
	return 0;
}

static void check_message(struct session *s, const struct mortise_message *m)
{
	assert_int_not_equal(m->uid, 0);
	assert_true(m->locator_size > 0 && m->locator_size <= MORTISE_LOCATOR_MAX);
	if (s->name_count < 64)
		assert_int_equal(m->keywords >> s->name_count, 0);
}

static int on_added(void *engine, const struct mortise_message *m)
{
	struct session *s = engine;

	check_message(s, m);
	if (s->count > 0)
		assert_true(m->uid > s->messages[s->count - 1].uid);
	if (s->count == s->room) {
		s->room = s->room != 0 ? s->room * 2 : 16;
		s->messages = reallocarray(s->messages, s->room, sizeof *s->messages);
		assert_non_null(s->messages);
	}
	fill(&s->messages[s->count++], m);
	s->added++;
	return 0;
}

static int on_changed(void *engine, const struct mortise_message *m)
{
	struct session *s = engine;
	struct known_message *k = session_find(s, m->uid);

	check_message(s, m);
	assert_non_null(k);
	if (m->octets != k->m.octets)
		assert_int_equal(m->octets, k->m.octets); /* text never changes */
	fill(k, m);
	s->changed++;
	return 0;
}

static int on_vanished(void *engine, uint32_t uid)
{
	struct session *s = engine;
	struct known_message *k = session_find(s, uid);

	assert_non_null(k);
	memmove(k, k + 1, (size_t)(s->messages + s->count - (k + 1)) * sizeof *k);
	s->count--;
	s->vanished++;
	return 0;
}

static int on_uidnext(void *engine, uint32_t uidnext)
{
	struct session *s = engine;

	assert_true(s->fresh || uidnext >= s->uidnext);
	s->uidnext = uidnext;
	if (s->count > 0)
		assert_true(uidnext > s->messages[s->count - 1].uid);
	return 0;
}

int session_sync(struct session *s)
{
	const struct mortise_sink sink = {.size = sizeof sink,
	    .engine = s,
	    .full_scan = on_full,
	    .keywords = on_keywords,
	    .added = on_added,
	    .changed = on_changed,
	    .vanished = on_vanished,
	    .uidnext = on_uidnext};

	s->full = s->added = s->changed = s->vanished = s->keyword_calls = 0;
	s->fresh = false;
	CALL(s, "sync", rig_ops(s->rig)->sync(&c.pub, s->box, &s->cursor, &sink));
	if (r != 0) /* as the engine does: what was told does not count */
		s->cursor.size = 0;
	return r;
}

int session_lock(struct session *s, int mode)
{
	CALL(s, "lock", rig_ops(s->rig)->lock(&c.pub, s->box, mode, 0));
	return r;
}

static struct mortise_ref ref_of(const struct known_message *k)
{
	struct mortise_ref ref = {.uid = k->uid, .locator_size = k->m.locator_size};

	memcpy(ref.locator, k->m.locator, sizeof ref.locator);
	return ref;
}

static int begin(struct session *s)
{
	int r = session_lock(s, MORTISE_LOCK_EXCLUSIVE);

	if (r == 0 && (r = session_sync(s)) != 0) {
		struct err e = s->e;
		session_lock(s, MORTISE_LOCK_NONE);
		s->e = e;
	}
	return r;
}

static int end(struct session *s, int r)
{
	struct err e = s->e;

	session_lock(s, MORTISE_LOCK_NONE);
	s->e = e;
	return r;
}

static int call_flags(struct session *s, const struct mortise_flag_change *changes, size_t count)
{
	CALL(s, "set_flags", rig_ops(s->rig)->set_flags(&c.pub, s->box, changes, count));
	return r;
}

enum how { FLAGS_REPLACE, FLAGS_ADD, FLAGS_REMOVE };

/* What they come to is found out under the lock under which they are written. */
static int change_flags(struct session *s, uint32_t uid, enum how how, uint32_t flags, uint64_t keywords)
{
	struct mortise_flag_change change = {.flags = flags, .keywords = keywords};
	const struct known_message *k;
	int r = begin(s);

	if (r != 0)
		return r;
	k = session_find(s, uid);
	if (k == NULL)
		return end(s, MORTISE_E_EXPUNGED);
	if (how != FLAGS_REPLACE) {
		bool add = how == FLAGS_ADD;
		uint32_t was = k->flags & ~MORTISE_FLAG_RECENT;

		change.flags = add ? was | flags : was & ~flags;
		change.keywords = add ? k->keywords | keywords : k->keywords & ~keywords;
	}
	change.ref = ref_of(k);
	return end(s, call_flags(s, &change, 1));
}

int session_flags(struct session *s, uint32_t uid, uint32_t flags, uint64_t keywords)
{
	return change_flags(s, uid, FLAGS_REPLACE, flags, keywords);
}

int session_add_flags(struct session *s, uint32_t uid, uint32_t flags, uint64_t keywords)
{
	return change_flags(s, uid, FLAGS_ADD, flags, keywords);
}

int session_remove_flags(struct session *s, uint32_t uid, uint32_t flags, uint64_t keywords)
{
	return change_flags(s, uid, FLAGS_REMOVE, flags, keywords);
}

static int call_expunge(struct session *s, const struct mortise_ref *refs, size_t count)
{
	CALL(s, "expunge", rig_ops(s->rig)->expunge(&c.pub, s->box, refs, count));
	return r;
}

int session_expunge(struct session *s, const uint32_t *uids, size_t count)
{
	struct mortise_ref *refs;
	size_t n = 0;
	int r = begin(s);

	if (r != 0)
		return r;
	refs = arena_array(s->rig->arena, count + 1, sizeof *refs);
	for (size_t i = 0; i < count; i++) {
		struct known_message *k = session_find(s, uids[i]);
		if (k != NULL)
			refs[n++] = ref_of(k);
	}
	return end(s, call_expunge(s, refs, n));
}

static int call_seen(struct session *s, const struct mortise_ref *refs, size_t count)
{
	CALL(s, "seen_recent", rig_ops(s->rig)->seen_recent(&c.pub, s->box, refs, count));
	return r;
}

int session_seen(struct session *s)
{
	struct mortise_ref *refs;
	int r = begin(s);

	if (r != 0)
		return r;
	refs = arena_array(s->rig->arena, s->count + 1, sizeof *refs);
	for (size_t i = 0; i < s->count; i++)
		refs[i] = ref_of(&s->messages[i]);
	return end(s, call_seen(s, refs, s->count));
}

int session_checkpoint(struct session *s)
{
	CALL(s, "checkpoint", rig_ops(s->rig)->checkpoint(&c.pub, s->box));
	return r;
}

static int call_keyword(struct session *s, const char *name, unsigned *bit)
{
	CALL(s, "add_keyword", rig_ops(s->rig)->add_keyword(&c.pub, s->box, name, bit));
	return r;
}

int session_keyword(struct session *s, const char *name, unsigned *bit)
{
	int r = begin(s);

	return r != 0 ? r : end(s, call_keyword(s, name, bit));
}

static int call_append(
    struct session *s, const char *text, const struct mortise_append_info *info, uint32_t *uid)
{
	uint32_t uidvalidity;
	void *tx = NULL;
	/* In pieces of a few octets each, so that every state of the line reader is met. */
	size_t size = strlen(text), piece = size > 100000 ? 60000 : 7;

	CALL(s, "append_begin", rig_ops(s->rig)->append_begin(&c.pub, s->box, &tx));
	if (r != 0)
		return r;
	call_begin(&c, s->rig->instance, &env, "append");
	r = rig_ops(s->rig)->append_message(&c.pub, tx, info);
	for (size_t at = 0; r == 0 && at < size; at += piece)
		r = rig_ops(s->rig)->append_write(
		    &c.pub, tx, text + at, size - at < piece ? size - at : piece);
	if (r == 0)
		r = rig_ops(s->rig)->append_commit(&c.pub, tx, &uidvalidity, uid, 1);
	else
		rig_ops(s->rig)->append_abort(&c.pub, tx);
	return call_end(&c, r, &s->e);
}

int session_append(struct session *s, const char *text, uint32_t flags, const char *keywords, uint32_t *uid)
{
	const char *names[8];
	struct mortise_append_info info = {.size = sizeof info,
	    .flags = flags,
	    .keywords = names,
	    .internal_date = 1704446430,
	    .zone = 60,
	    .octets = strlen(text)};
	char *copy = arena_strdup(s->rig->arena, keywords != NULL ? keywords : ""), *save = NULL;
	uint32_t ignored;

	for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		names[info.keyword_count++] = w;
	return call_append(s, text, &info, uid != NULL ? uid : &ignored);
}

const char *session_read(struct session *s, uint32_t uid, size_t *size)
{
	struct mortise_source source = {.size = sizeof source, .fd = -1};
	struct known_message *k = session_find(s, uid);
	struct mortise_ref ref;
	struct buf out = BUF_INIT;
	char *text;

	assert_non_null(k);
	ref = ref_of(k);
	CALL(s, "read", rig_ops(s->rig)->read(&c.pub, s->box, &ref, &source));
	if (r != 0) {
		print_message("# read of UID %u: %d %s %s\n", uid, r, s->e.admin, s->e.client);
		return NULL;
	}
	assert_int_equal(source.newline, RIG_NEWLINE);
	for (size_t i = 0; i < source.extent_count; i++) {
		char *part = malloc(source.extents[i].length);
		assert_int_equal(
		    pread(source.fd, part, source.extents[i].length, (off_t)source.extents[i].offset),
		    source.extents[i].length);
		for (size_t j = 0; j < source.extents[i].length; j++) {
			if (source.newline == MORTISE_NEWLINE_LF && part[j] == '\n' &&
			    (out.n == 0 || out.p[out.n - 1] != '\r'))
				buf_addc(&out, '\r');
			buf_addc(&out, part[j]);
		}
		free(part);
	}
	assert_int_equal(out.n, k->m.octets); /* RFC822.SIZE is the truth */
	text = arena_alloc(s->rig->arena, out.n + 1);
	memcpy(text, out.p != NULL ? out.p : "", out.n);
	if (size != NULL)
		*size = out.n;
	buf_free(&out);
	return text;
}

void rig_open(struct rig *r)
{
	OK(&r->s, session_open(r, &r->s, 0));
	OK(&r->s, session_sync(&r->s));
}

void rig_reopen(struct rig *r)
{
	session_close(&r->s);
	rig_open(r);
}
