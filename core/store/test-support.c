#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "store/test-support.h"
#include "base/banned.h"

extern const struct mortise_module memory_LTX_mortise_module, fail_LTX_mortise_module,
    debug_LTX_mortise_module;

static void defaults(struct fixture *f)
{
	static const char *const places[] = {"%h/spool/%u", "~/mbox"};
	size_t i;

	for (i = 0; i < store_conf_group.count; i++)
		ok(f, conf_set(&store_conf_group.options[i], &f->o,
		          str_of(store_conf_group.options[i].fallback), f->a, &f->e));
	assert_int_equal(f->o.inbox.count, 2);
	assert_string_equal(f->o.inbox.items[0], "/var/mail/%u");
	f->o.inbox = (struct mortise_list){places, 2};
	f->o.default_driver = "memory";
	f->o.lock_timeout = 50;
}

static struct store *open_store(struct fixture *f)
{
	const struct store_user u = {.name = "fred", .home = f->home, .uid = getuid()};
	struct store *s;

	ok(f, store_open_drivers(&f->o, &u, f->drivers, ARRAY_LEN(f->drivers), &s, &f->e));
	return s;
}

int fixture_setup(void **state)
{
	struct fixture *f = mem_new(struct fixture);

	snprintf(f->home, sizeof(f->home), "/tmp/mortise-store-XXXXXX");
	assert_non_null(mkdtemp(f->home));
	f->a = arena_new("test");
	f->drivers[0] = instance_builtin(f->a, &memory_LTX_mortise_module, "memory");
	f->drivers[1] = instance_builtin(f->a, &fail_LTX_mortise_module, "fail");
	f->drivers[2] = instance_builtin(f->a, &debug_LTX_mortise_module, "debug");
	defaults(f);
	f->s = open_store(f);
	*state = f;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	/* Left open by a test that failed. */
	while (f->s->open != NULL) {
		struct mailbox *m = f->s->open;

		mailbox_close(&m);
	}
	store_close(&f->s);
	nftw(f->home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	arena_free(&f->a);
	mem_free(f);
	return 0;
}

void fixture_reopen(struct fixture *f)
{
	store_close(&f->s);
	f->s = open_store(f);
}

struct store *fixture_other(struct fixture *f)
{
	return open_store(f);
}

void set_option(struct fixture *f, struct instance *i, const char *name, const char *text)
{
	size_t k;

	for (k = 0; k < i->module->option_count; k++)
		if (strcmp(i->module->options[k].name, name) == 0) {
			ok(f, conf_set(&i->module->options[k], (void *)(uintptr_t)i->pub.options,
			          str_of(text), f->a, &f->e));
			return;
		}
	fail_msg("no option %s", name);
}

static const char *below_home(struct fixture *f, const char *path)
{
	return arena_printf(f->a, "%s/%s", f->home, path);
}

void put_file(struct fixture *f, const char *path, const char *text)
{
	int home = open(f->home, O_PATH | O_DIRECTORY), fd;

	assert_int_equal(path_mkdirs(home, path, 0700, text != NULL), 0);
	close(home);
	if (text == NULL)
		return;
	fd = open(below_home(f, path), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, text, strlen(text)), 0);
	close(fd);
}

bool exists(struct fixture *f, const char *path)
{
	return access(below_home(f, path), F_OK) == 0;
}

uint32_t append_one(struct fixture *f, const char *mailbox, const char *text, uint32_t flags)
{
	uint32_t uidvalidity, *uids;
	struct append *a;
	size_t n;

	ok(f, append_begin(f->s, mailbox, &a, &f->e));
	ok(f, append_message(a, flags, NULL, 0, 1000000000, 60, strlen(text), &f->e));
	ok(f, append_write(a, str_of(text), &f->e));
	ok(f, append_commit(&a, &uidvalidity, f->a, &uids, &n, &f->e));
	assert_int_equal(n, 1);
	return uids[0];
}

void append_three(struct fixture *f, const char *name)
{
	ok(f, store_create(f->s, name, &f->e));
	append_one(f, name, ONE, 0);
	append_one(f, name, TWO, MORTISE_FLAG_SEEN);
	append_one(f, name, THREE, MORTISE_FLAG_DELETED);
}

static int add_entry(void *arg, const struct list_entry *x)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {{LIST_NOSELECT, "Noselect"}, {LIST_NOINFERIORS, "Noinferiors"},
	    {LIST_HASCHILDREN, "HasChildren"}, {LIST_HASNOCHILDREN, "HasNoChildren"},
	    {LIST_SUBSCRIBED, "Subscribed"}};
	size_t i;

	buf_adds(arg, x->name);
	for (i = 0; i < ARRAY_LEN(names); i++)
		if ((x->attributes & names[i].bit) != 0)
			buf_printf(arg, " %s", names[i].name);
	buf_addc(arg, '\n');
	return 0;
}

const char *list_text(struct fixture *f, const char *reference, const char *pattern)
{
	AUTO_BUF struct buf b = BUF_INIT;

	store_list(f->s, reference, pattern, add_entry, &b, &f->e);
	return arena_strdup(f->a, buf_cstr(&b));
}

const char *lsub_text(struct fixture *f, const char *reference, const char *pattern)
{
	AUTO_BUF struct buf b = BUF_INIT;

	store_lsub(f->s, reference, pattern, add_entry, &b, &f->e);
	return arena_strdup(f->a, buf_cstr(&b));
}

static void on_expunged(void *arg, uint32_t sequence, uint32_t uid)
{
	buf_printf(arg, "exp %u/%u ", sequence, uid);
}

static void on_exists(void *arg, uint32_t count)
{
	buf_printf(arg, "exists %u ", count);
}

static void on_recent(void *arg, uint32_t count)
{
	buf_printf(arg, "recent %u ", count);
}

static void on_flags(void *arg, uint32_t sequence, const struct message *m)
{
	static const char letters[] = "SDFAR";
	size_t i;

	buf_printf(arg, "flags %u=", sequence);
	for (i = 0; i < 5; i++)
		if ((m->flags & 1u << i) != 0)
			buf_addc(arg, letters[i]);
	for (i = 0; i < 64; i++)
		if ((m->keywords >> i & 1) != 0)
			buf_printf(arg, "+%zu", i);
	buf_addc(arg, ' ');
}

static void on_keywords(void *arg)
{
	buf_adds(arg, "keywords ");
}

const char *update_text(struct fixture *f, struct view *v, unsigned how)
{
	AUTO_BUF struct buf b = BUF_INIT;
	const struct view_events ev = {.expunged = on_expunged,
	    .exists = on_exists,
	    .recent = on_recent,
	    .flags = on_flags,
	    .keywords = on_keywords,
	    .arg = &b};

	ok(f, view_update(v, how, &ev, &f->e));
	return arena_strdup(f->a, buf_cstr(&b));
}

struct number_set uid_set(struct fixture *f, const char *text)
{
	struct number_set s;

	assert_true(set_parse(f->a, str_of(text), UINT32_MAX, &s));
	return s;
}

const char *read_text(struct fixture *f, struct mailbox *m, const struct message *msg)
{
	struct source *src;
	uint64_t size;
	struct str text;

	ok(f, mailbox_read(m, msg, &src, &f->e));
	ok(f, source_size(src, &size, &f->e));
	ok(f, source_read(src, 0, size, 1u << 30, f->a, &text, &f->e));
	source_close(&src);
	return arena_strndup(f->a, text.p, text.n);
}

struct view *open_view(
    struct fixture *f, struct store *s, const char *name, unsigned flags, struct mailbox **m)
{
	struct view *v;

	ok(f, mailbox_open(s, name, flags, m, &f->e));
	ok(f, view_open(*m, &v, &f->e));
	return v;
}
