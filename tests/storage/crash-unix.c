/* crash-unix.c: what is done to traditional mailbox files. */
#include "crash.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD "From a@b Mon Jan  1 10:00:00 2024 +0000\n"

extern const struct mortise_module unix_LTX_mortise_module;

static void empty_file(void)
{
	put_file("mail/box", "", 0);
}

static void start_pseudo(void)
{
	make_box("box");
	fill_box(4, 300);
}

static void start_base(void)
{
	empty_file();
	fill_box(4, 300);
}

static void start_big(void)
{
	make_box("box");
	fill_box(5, 9000);
}

static void start_delivered(void)
{
	static const char text[] =
	    HEAD "Received: by x\nSubject: one\n\nbody one\n\n" HEAD
	         "Received: by x\nSubject: two\nX-UID: 77\nStatus: RO\n\nbody two\n\n" HEAD
	         "Received: by x\nSubject: three\n\nbody three\n\n";

	put_file("mail/box", text, sizeof text - 1);
}

static void add_delivered(const char *text)
{
	add_to_file("mail/box", text, strlen(text));
}

static void start_more_delivered(void)
{
	start_pseudo();
	add_delivered(HEAD "Received: by x\nSubject: new\n\nnew body\n\n" HEAD
	                   "Received: by y\nSubject: newer\n\nnewer body\n\n");
}

static void start_unfinished(void)
{
	start_pseudo();
	add_delivered(HEAD "Received: by x\nSubject: new\n\nbody without its end");
}

/* So that a message need not be long to be collected in a file. */
static void start_base_little_memory(void)
{
	const struct mortise_module *m = crash_driver.module;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < m->option_count; i++)
		if (strcmp(m->options[i].name, "append_memory") == 0)
			must(conf_set(&m->options[i], (void *)(uintptr_t)w.driver->pub.options, str_of("64k"),
			         w.arena, &e),
			    &e, "option");
	start_base();
}

static void start_doomed_first(void)
{
	start_base();
	mark("1", MORTISE_FLAG_DELETED);
}

static void start_doomed_middle(void)
{
	start_base();
	mark("2:3", MORTISE_FLAG_DELETED);
}

static void start_doomed_last(void)
{
	start_base();
	mark("4", MORTISE_FLAG_DELETED);
}

static void start_base_doomed(void)
{
	start_base();
	mark("1:4", MORTISE_FLAG_DELETED);
}

static void start_doomed_pseudo(void)
{
	start_big();
	mark("1,3,5", MORTISE_FLAG_DELETED);
}

static void start_doomed_pseudo_all(void)
{
	start_pseudo();
	mark("1:4", MORTISE_FLAG_DELETED);
}

/* Expunged and still in the file, because somebody has it locked when the session ends. */
static void start_marked(void (*start)(void))
{
	struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct err e = ERR_INIT;
	struct store *s;
	struct mailbox *m;
	uint32_t count;
	size_t size;
	char *file;
	int fd;

	start();
	s = world_store();
	must(mailbox_open(s, "box", 0, &m, &e), &e, "open");
	must(mailbox_expunge(m, NULL, &count, &e), &e, "expunge");
	fd = open(path_of("mail/box"), O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &whole) != 0)
		abort();
	mailbox_close(&m);
	store_close(&s);
	close(fd);
	file = slurp("mail/box", &size);
	if (memmem(file, size, "\nX-Expunged: ", 13) == NULL)
		fail("nothing waits to be taken out");
	free(file);
}

static void start_marked_first(void)
{
	start_marked(start_doomed_first);
}

static void start_marked_middle(void)
{
	start_marked(start_doomed_middle);
}

static void start_marked_all(void)
{
	start_marked(start_base_doomed);
}

static void start_marked_pseudo(void)
{
	start_marked(start_doomed_pseudo);
}

static void start_marked_delivered(void)
{
	start_marked(start_doomed_last);
	add_delivered(HEAD "Received: by x\nSubject: new\n\nnew body\n\n");
}

static void start_pseudo_and_other(void)
{
	start_pseudo();
	make_box("other");
}

static const struct scenario scenarios[] = {
    {"first-open", start_delivered, do_open, "box", WITHOUT_UIDS},
    {"new-mail", start_more_delivered, do_open, "box", 0},
    {"append", start_pseudo, do_append, "box", 0},
    {"append-to-empty-file", empty_file, do_append, "box", WITHOUT_UIDS},
    {"append-to-created", start_created, do_append, "box", 0},
    {"append-to-base", start_base, do_append, "box", 0},
    {"append-big", start_base_little_memory, do_append_big, "box", 0},
    {"append-batch", start_pseudo, do_append_batch, "box", 0},
    {"append-batch-to-base", start_base, do_append_batch, "box", 0},
    {"append-to-unfinished", start_unfinished, do_append, "box", UNFINISHED},
    {"flags", start_pseudo, do_flags, "box", 0},
    {"flags-base", start_base, do_flags, "box", 0},
    {"clear", start_big, do_clear, "box", 0},
    {"keyword", start_pseudo, do_keyword, "box", 0},
    {"keyword-base", start_base, do_keyword, "box", 0},
    {"long-keyword", start_pseudo, do_long_keyword, "box", 0},
    {"long-keyword-base", start_base, do_long_keyword, "box", 0},
    {"expunge-first", start_doomed_first, do_expunge, "box", 0},
    {"expunge-middle", start_doomed_middle, do_expunge, "box", 0},
    {"expunge-last", start_doomed_last, do_expunge, "box", 0},
    {"expunge-all", start_base_doomed, do_expunge, "box", 0},
    {"expunge-pseudo", start_doomed_pseudo, do_expunge, "box", 0},
    {"expunge-pseudo-all", start_doomed_pseudo_all, do_expunge, "box", 0},
    {"take-out-first", start_marked_first, do_open, "box", 0},
    {"take-out-middle", start_marked_middle, do_open, "box", 0},
    {"take-out-all", start_marked_all, do_open, "box", 0},
    {"take-out-pseudo", start_marked_pseudo, do_open, "box", 0},
    {"take-out-new-mail", start_marked_delivered, do_open, "box", 0},
    {"append-behind-marked", start_marked_pseudo, do_append, "box", 0},
    {"keyword-marked", start_marked_first, do_long_keyword, "box", 0},
    {"copy", start_pseudo_and_other, do_copy, "other", 0},
    {"copy-here", start_pseudo, do_copy_here, "box", 0},
};

const struct crash_driver crash_driver = {
    .name = "unix",
    .module = &unix_LTX_mortise_module,
    .locks = "session_directory",
    .scenarios = scenarios,
    .count = sizeof scenarios / sizeof *scenarios,
};
