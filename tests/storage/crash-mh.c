/* crash-mh.c: what is done to MH folders. */
#include "crash.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern const struct mortise_module mh_LTX_mortise_module;

/* UIDs, and what says for which history they count, are the server's. */
static void make_known(const char *name)
{
	struct seen s;

	if (!look(name, 0, &s))
		abort();
	seen_free(&s);
}

static void start_created_known(void)
{
	start_created();
	make_known("box");
}

static void start_two_known(void)
{
	start_two();
	make_known("other");
}

static void folder(const char *sequences)
{
	static const char *const numbers[] = {"1", "2", "3", "5"};

	if (mkdir(path_of("mail/box"), 0700) != 0)
		abort();
	for (size_t i = 0; i < 4; i++) {
		char path[32], text[64];

		snprintf(path, sizeof path, "mail/box/%s", numbers[i]);
		put_file(
		    path, text, (size_t)snprintf(text, sizeof text, "Subject: old %s\n\ntext\n", numbers[i]));
	}
	put_file("mail/box/.mh_sequences", sequences, strlen(sequences));
}

/* As nmh leaves it; nobody has given UIDs yet. */
static void start_first(void)
{
	folder("cur: 2\nproject: 1-3\nunseen: 3 5\nflagged: 2\n");
}

static void start_known(void)
{
	start_first();
	make_known("box");
}

/* inc was here. */
static void start_delivered(void)
{
	static const char text[] = "Subject: new\n\nnew body\n";

	start_known();
	put_file("mail/box/6", text, sizeof text - 1);
	put_file("mail/box/7", text, sizeof text - 1);
}

static void start_packed(void)
{
	start_known();
	if (rename(path_of("mail/box/5"), path_of("mail/box/4")) != 0)
		abort();
}

static void start_known_doomed(void)
{
	start_known();
	mark("2:3", MORTISE_FLAG_DELETED);
}

/* Nothing of ours beside the messages; others' sequences as they were. */
static void look_closer(void)
{
	DIR *d = opendir(path_of("mail/box"));
	struct dirent *entry;
	size_t size;
	char *text;

	while (d != NULL && (entry = readdir(d)) != NULL)
		if (strncmp(entry->d_name, ".mortise-", 9) == 0)
			fail("mail/box/%s is left", entry->d_name);
	if (d != NULL)
		closedir(d);
	text = slurp("mail/box/.mh_sequences", &size);
	if (now->start != start_four && now->start != start_created_known && now->start != start_two_known &&
	    now->start != start_doomed_all) {
		bool may_be_less = now->start == start_known_doomed;

		if (text != NULL)
			text[size] = '\0';
		if (text == NULL ||
		    !((strstr(text, "cur: 2\n") != NULL && strstr(text, "project: 1-3\n") != NULL) ||
		        (may_be_less && strstr(text, "cur: 2\n") != NULL &&
		            strstr(text, "project: 1") != NULL)))
			fail(".mh_sequences: %s", text != NULL ? text : "gone");
	}
	free(text);
}

/* What a mailbox says that never had a message is not kept across a power failure. */
static const struct scenario scenarios[] = {
    {"first-open", start_first, do_open, "box", WITHOUT_UIDS},
    {"new-mail", start_delivered, do_open, "box", 0},
    {"packed", start_packed, do_open, "box", 0},
    {"append", start_known, do_append, "box", 0},
    {"append-to-created", start_created_known, do_append, "box", WITHOUT_UIDS},
    {"append-big", start_four, do_append_big, "box", 0},
    {"append-batch", start_known, do_append_batch, "box", APART},
    {"flags", start_known, do_flags, "box", 0},
    {"clear", start_known, do_clear, "box", 0},
    {"keyword", start_four, do_keyword, "box", 0},
    {"expunge", start_known_doomed, do_expunge, "box", 0},
    {"expunge-all", start_doomed_all, do_expunge, "box", 0},
    {"move", start_two_known, do_move, "box", 0},
    {"copy", start_two_known, do_copy, "other", APART | WITHOUT_UIDS},
    {"copy-here", start_four, do_copy_here, "box", APART},
};

const struct crash_driver crash_driver = {
    .name = "mh",
    .module = &mh_LTX_mortise_module,
    .directory = true,
    .scenarios = scenarios,
    .count = sizeof scenarios / sizeof *scenarios,
    .look = look_closer,
};
