/* crash-mbx.c: what is done to mbx files. */
#include "crash.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define HEADER 2048u
#define NOTE 2010u
#define FRESH                                                                                     \
	" 5-Jan-2024 10:20:30 +0100,26;000000000000-00000000\r\nSubject: new\r\n\r\nnew body\r\n" \
	" 5-Jan-2024 10:20:30 +0100,26;000000000000-00000000\r\nSubject: two\r\n\r\ntwo body\r\n"

extern const struct mortise_module mbx_LTX_mortise_module;

/* As c-client leaves it: messages without UIDs. */
static void start_delivered(void)
{
	char file[HEADER + sizeof FRESH] = "*mbx*\r\n6b03dff200000003\r\n";

	for (size_t i = 0; i < 30; i++)
		memcpy(file + 25 + 2 * i, "\r\n", 2);
	memcpy(file + HEADER, FRESH, sizeof FRESH - 1);
	put_file("mail/box", file, HEADER + sizeof FRESH - 1);
}

static void start_empty(void)
{
	put_file("mail/box", "", 0);
}

static void start_big(void)
{
	make_box("box");
	fill_box(5, 9000);
}

static void start_more_delivered(void)
{
	start_four();
	add_to_file("mail/box", FRESH, sizeof FRESH - 1);
}

/* An append was killed: its note is there, and its first messages, and a piece of the next. */
static void start_interrupted(void)
{
	static const char text[] = " 5-Jan-2024 10:20:30 +0100,26;000000000000-00000005\r\n"
	                           "Subject: new\r\n\r\nnew body\r\n"
	                           " 5-Jan-2024 10:20:30 +0100,100;000000000000-00000006\r\nSubj";
	char note[40];
	size_t size;
	char *file;
	int fd;

	start_four();
	file = slurp("mail/box", &size);
	free(file);
	fd = open(path_of("mail/box"), O_WRONLY);
	snprintf(note, sizeof note, "A%016zx%08x", size, 6u);
	if (fd < 0 || pwrite(fd, note, 25, NOTE) != 25)
		abort();
	close(fd);
	add_to_file("mail/box", text, sizeof text - 1);
}

static void start_doomed_first(void)
{
	start_four();
	mark("1", MORTISE_FLAG_DELETED);
}

static void start_doomed_middle(void)
{
	start_four();
	mark("2:3", MORTISE_FLAG_DELETED);
}

static void start_doomed_last(void)
{
	start_four();
	mark("4", MORTISE_FLAG_DELETED);
}

static void start_doomed_big(void)
{
	start_big();
	mark("1,3,5", MORTISE_FLAG_DELETED);
}

/* Expunged while another program has the mailbox open: the space is there to be taken back. */
static void start_marked(void (*start)(void))
{
	struct err e = ERR_INIT;
	struct store *s;
	size_t size, then;
	int fd;

	start();
	free(slurp("mail/box", &size));
	fd = open(path_of("mail/box"), O_RDONLY);
	if (fd < 0 || flock(fd, LOCK_SH) != 0)
		abort();
	s = world_store();
	do_expunge(s, &e);
	store_close(&s);
	must(0, &e, "expunge");
	close(fd);
	free(slurp("mail/box", &then));
	if (then != size)
		abort();
}

static void start_marked_first(void)
{
	start_marked(start_doomed_first);
}

static void start_marked_all(void)
{
	start_marked(start_doomed_all);
}

static void start_marked_big(void)
{
	start_marked(start_doomed_big);
}

static void start_two_big(void)
{
	start_big();
	make_box("other");
}

static const struct scenario scenarios[] = {
    {"first-open", start_delivered, do_open, "box", SKIPS_UIDS},
    {"new-mail", start_more_delivered, do_open, "box", SKIPS_UIDS},
    {"append", start_four, do_append, "box", 0},
    {"append-to-created", start_created, do_append, "box", 0},
    {"append-to-empty-file", start_empty, do_append, "box", WITHOUT_UIDS},
    {"append-to-new-mail", start_more_delivered, do_append, "box", SKIPS_UIDS},
    {"append-big", start_four, do_append_big, "box", 0},
    {"append-batch", start_four, do_append_batch, "box", 0},
    {"append-to-interrupted", start_interrupted, do_append, "box", 0},
    {"open-interrupted", start_interrupted, do_open, "box", 0},
    {"flags", start_four, do_flags, "box", 0},
    {"clear", start_big, do_clear, "box", 0},
    {"keyword", start_four, do_keyword, "box", 0},
    {"long-keyword", start_four, do_long_keyword, "box", 0},
    {"expunge-first", start_doomed_first, do_expunge, "box", 0},
    {"expunge-middle", start_doomed_middle, do_expunge, "box", 0},
    {"expunge-last", start_doomed_last, do_expunge, "box", 0},
    {"expunge-all", start_doomed_all, do_expunge, "box", 0},
    {"expunge-big", start_doomed_big, do_expunge, "box", 0},
    {"compact-first", start_marked_first, do_open, "box", 0},
    {"compact-all", start_marked_all, do_open, "box", 0},
    {"compact-big", start_marked_big, do_open, "box", 0},
    {"append-behind-marked", start_marked_big, do_append, "box", 0},
    {"move", start_two, do_move, "box", 0},
    {"copy", start_two, do_copy, "other", 0},
    {"copy-big", start_two_big, do_copy, "other", 0},
    {"copy-here", start_four, do_copy_here, "box", 0},
};

const struct crash_driver crash_driver = {
    .name = "mbx",
    .module = &mbx_LTX_mortise_module,
    .locks = "lock_directory",
    .scenarios = scenarios,
    .count = sizeof scenarios / sizeof *scenarios,
};
