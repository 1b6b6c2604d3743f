/*
 * Fuzz target: a whole session over the memory driver. The input is what the client sends after login; a
 * first line "1" or "2" says that a mailbox is selected before, or that the session is in IDLE (before login:
 * fuzz-prelogin). Checked besides not crashing: the session ends, and all that it says is by the grammar of
 * the RFCs (tests/proto/grammar.h).
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/object.h"
#include "imap/session_int.h"
#include "store/driver.h"
#include "grammar.h"
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

/* What is not whole at the end was cut off with the session. */
static void check_answers(struct str said)
{
	struct buf why = BUF_INIT;
	unsigned mode = 0;
	size_t n;

	ASSERT(str_starts(said, STR("login OK [CAPABILITY ")));
	for (; (n = grammar_first(said)) > 0; said = str_from(said, n)) {
		struct str line = str_sub(said, 0, n - 2);
		struct str word = str_sub(line, 0, str_find(line, ' '));

		ASSERT(str_eqc(word, "*") || str_eqc(word, "+") || reader_tag_ok(word));
		if (!grammar_response(line, mode, &why)) {
			fprintf(stderr, "%s: %.*s\n", buf_cstr(&why), (int)(line.n < 2000 ? line.n : 2000),
			    line.p);
			abort();
		}
		mode |= grammar_enables(line);
		/* What follows is compressed; test-stream.c and tests/roles/compress.py look at that. */
		if (str_ends(line, STR(" OK DEFLATE is active")))
			break;
	}
	buf_free(&why);
}

static void check_output(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct buf b = BUF_INIT;

	buf_reserve(&b, (size_t)size + 1);
	ASSERT(io_pread(fd, b.p, (size_t)size, 0) == size);
	check_answers(str_mem(b.p, (size_t)size));
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
	store_list(store, "", "#shared/*", collect, &names, &e);
	for (pass = 0; pass < 4; pass++)
		for (at = 0; at < names.n; at += strlen(names.p + at) + 1) {
			err_clear(&e);
			store_delete(store, names.p + at, &e);
		}
	buf_free(&names);
	clean_up();
	ASSERT(mkdir(world.home, 0700) == 0 && mkdir(world.store.shared, 0700) == 0);
}

/* What brings the session where the input wants it. */
static const char into_mailbox[] =
    "p1 CREATE box\r\n"
    "p2 APPEND box (\\Seen key) {67+}\r\n"
    "From: a@example.org\r\nSubject: =?utf-8?q?=C3=A4?=\r\nTo: b, c\r\n\r\none\r\n {47+}\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n\r\n"
    "p3 APPEND box (\\Deleted) {22+}\r\nMessage-ID: <x>\r\n\r\n-\r\n"
    "p4 SELECT box\r\n";
static const char into_idle[] = "p5 IDLE\r\n";

static void begin_input(int fd, const uint8_t **data, size_t *size)
{
	unsigned state = *size > 1 && (*data)[1] == '\n' && (*data)[0] >= '1' && (*data)[0] <= '2'
	                     ? (unsigned)((*data)[0] - '0')
	                     : 0;

	if (state > 0) {
		ASSERT(io_write(fd, into_mailbox, sizeof(into_mailbox) - 1) == 0);
		*data += 2;
		*size -= 2;
	}
	if (state > 1)
		ASSERT(io_write(fd, into_idle, sizeof(into_idle) - 1) == 0);
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
	in = memfd_create("input", MFD_CLOEXEC);
	out = memfd_create("output", MFD_CLOEXEC);
	ASSERT(in >= 0 && out >= 0);
	begin_input(in, &data, &size);
	ASSERT(io_write(in, data, size) == 0);
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
