/*
 * Fuzz target: a whole session over the memory driver. The input is what the client sends after login.
 * Checked besides not crashing: the session ends, and what it said is IMAP: lines that begin as they must,
 * literals as long as announced, no NUL, no bare CR or LF, parentheses and quotes that match.
 */
#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/object.h"
#include "imap/session_int.h"
#include "store/driver.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct mortise_module memory_LTX_mortise_module;

static struct {
	struct arena *arena;
	char home[64];
	struct store_options store;
	struct imap_options imap;
	struct instance *drivers[1];
} world;

static int remove_one(const char *path, const struct stat *st UNUSED, int type UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static void clean_up(void)
{
	nftw(world.home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void fill(const struct conf_group *g, void *out)
{
	struct err e = ERR_INIT;
	size_t i;

	for (i = 0; i < g->count; i++)
		conf_set(&g->options[i], out, str_of(g->options[i].fallback), world.arena, &e);
	ASSERT(e.code == 0);
}

static void set_up(void)
{
	static const char *const places[] = {"~/inbox"};

	world.arena = arena_new("fuzz");
	snprintf(world.home, sizeof(world.home), "/tmp/mortise-fuzz-XXXXXX");
	ASSERT(mkdtemp(world.home) != NULL);
	atexit(clean_up);
	fill(&store_conf_group, &world.store);
	fill(&imap_conf_group, &world.imap);
	world.store.inbox = (struct mortise_list){places, 1};
	world.store.default_driver = "memory";
	world.imap.bad_commands = 1000;
	world.store.shared = arena_printf(world.arena, "%s/shared", world.home);
	ASSERT(mkdir(world.store.shared, 0700) == 0);
	world.drivers[0] = instance_builtin(world.arena, &memory_LTX_mortise_module, "memory");
}

/* ---- the answers ---- */

/* Past a literal's announcement and octets; false: the output ends within them (the session was cut off). */
static bool skip_literal(struct str *s, bool literal8)
{
	size_t end = str_find(*s, '}');
	uint64_t n;

	ASSERT(str_u64(str_sub(*s, 1, end - 1), &n));
	ASSERT(str_starts(str_from(*s, end), STR("}\r\n")));
	*s = str_from(*s, end + 3);
	if (n > s->n)
		return false;
	/* RFC 3516 §4.3: a literal8 only where it is needed. */
	ASSERT((str_find(str_sub(*s, 0, (size_t)n), '\0') < n) == literal8);
	*s = str_from(*s, (size_t)n);
	return true;
}

static bool at_literal(struct str s)
{
	size_t i;

	for (i = 1; i < s.n && ascii_digit(s.p[i]); i++)
		;
	return i > 1 && str_starts(str_from(s, i), STR("}\r\n"));
}

/* One line with its literals. `data`: its parentheses and quotes must match (not so in a status text). */
static bool check_line(struct str *s, bool data)
{
	bool quoted = false, tilde = false;
	int depth = 0;

	while (s->n > 0 && s->p[0] != '\r') {
		char c = s->p[0];

		ASSERT(c != '\0' && c != '\n');
		if (data && !quoted && c == '{' && at_literal(*s)) {
			if (!skip_literal(s, tilde))
				return false;
			tilde = false;
			continue;
		}
		if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '(' || c == ')'))
			depth += c == '(' ? 1 : -1;
		ASSERT(!data || depth >= 0);
		tilde = c == '~';
		*s = str_from(*s, 1);
	}
	ASSERT(!data || (depth == 0 && !quoted));
	ASSERT(str_starts(*s, STR("\r\n")));
	*s = str_from(*s, 2);
	return true;
}

static bool is_data(struct str line)
{
	static const char *const status[] = {"* OK ", "* NO ", "* BAD ", "* BYE ", "* PREAUTH ", "+ "};
	size_t i;

	for (i = 0; i < ARRAY_LEN(status); i++)
		if (str_starts(line, str_of(status[i])))
			return false;
	return str_starts(line, STR("* "));
}

static void check_output(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct buf b = BUF_INIT;
	struct str s;

	buf_reserve(&b, (size_t)size + 1);
	ASSERT(io_pread(fd, b.p, (size_t)size, 0) == size);
	s = str_mem(b.p, (size_t)size);
	ASSERT(str_starts(s, STR("login OK [CAPABILITY ")));
	while (s.n > 0) {
		struct str word = str_sub(s, 0, str_find(s, ' '));

		ASSERT(str_eqc(word, "*") || str_eqc(word, "+") || reader_tag_ok(word));
		if (!check_line(&s, is_data(s)))
			break;
	}
	buf_free(&b);
}

/* ---- a run ---- */
static int collect(void *arg, const struct list_entry *entry)
{
	struct buf *names = arg;

	buf_add(names, entry->name, strlen(entry->name) + 1);
	return 0;
}

/* Deepest first, so that directories are empty when their turn comes. */
static void forget_mailboxes(struct store *store)
{
	struct buf names = BUF_INIT;
	struct err e = ERR_INIT;
	size_t at, pass;

	store_list(store, "", "*", collect, &names, &e);
	for (pass = 0; pass < 4; pass++)
		for (at = 0; at < names.n; at += strlen(names.p + at) + 1) {
			err_clear(&e);
			store_delete(store, names.p + at, &e);
		}
	buf_free(&names);
	clean_up();
	ASSERT(mkdir(world.home, 0700) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_user user = {.name = "fred", .home = world.home, .uid = getuid()};
	struct store *store;
	struct stream *stream;
	struct err e = ERR_INIT;
	int in, out;

	if (world.arena == NULL)
		set_up();
	user.home = world.home;
	in = io_memfd("input", data, size);
	out = memfd_create("output", MFD_CLOEXEC);
	ASSERT(in >= 0 && out >= 0);
	lseek(in, 0, SEEK_SET);
	stream = stream_new(in, dup(out), 4096);
	ASSERT(store_open_drivers(&world.store, &user, world.drivers, 1, &store, &e) == 0);
	imap_session_run(&(struct imap_session_setup){.stream = stream,
	    .store = store,
	    .options = &world.imap,
	    .user = "fred",
	    .session = "fuzz",
	    .remote = "fuzz",
	    .tag = STR("login"),
	    .ok_text = "Logged in",
	    .stop_fd = -1});
	stream_free(&stream);
	check_output(out);
	close(out);
	forget_mailboxes(store);
	store_close(&store);
	return 0;
}
