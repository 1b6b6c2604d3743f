/* crash-maildir.c: what is done to maildirs. */
#include "crash.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern const struct mortise_module maildir_LTX_mortise_module;

/* As a delivery agent leaves it. */
static void start_delivered(void)
{
	static const char text[] = "Subject: new\n\nnew body\n", other[] = "Subject: two\n\ntwo body\n";

	start_four();
	put_file("mail/box/new/1700000000.M1P1.host", text, sizeof text - 1);
	put_file("mail/box/new/1700000000.M2P1.host", other, sizeof other - 1);
}

/* Nobody has given UIDs yet. */
static void start_first(void)
{
	static const char *const parts[] = {"mail/box", "mail/box/cur", "mail/box/new", "mail/box/tmp"};
	static const char text[] = "Subject: new\n\nnew body\n", other[] = "Subject: two\n\ntwo body\n",
	                  third[] = "Subject: three\n\nthird body\n";

	for (size_t i = 0; i < 4; i++)
		if (mkdir(path_of(parts[i]), 0700) != 0)
			abort();
	put_file("mail/box/cur/1600000000.M1P1.host:2,S", text, sizeof text - 1);
	put_file("mail/box/cur/1600000000.M2P1.host:2,F", other, sizeof other - 1);
	put_file("mail/box/new/1700000000.M1P1.host", third, sizeof third - 1);
}

/* Most lines of the list are about messages that are gone. */
static void start_long_list(void)
{
	char line[64];

	start_delivered();
	for (unsigned i = 5; i < 205; i++)
		add_to_file("mail/box/dovecot-uidlist", line,
		    (size_t)snprintf(line, sizeof line, "%u :1600000000.M%uP1.host\n", i, i));
}

/* A line that a crash cut short. */
static void start_torn_list(void)
{
	start_four();
	add_to_file("mail/box/dovecot-uidlist", "5 :1600", 7);
}

static const struct scenario scenarios[] = {
    {"first-open", start_first, do_open, "box", WITHOUT_UIDS | SKIPS_UIDS},
    {"new-mail", start_delivered, do_open, "box", 0},
    {"new-mail-long-list", start_long_list, do_open, "box", 0},
    {"append", start_four, do_append, "box", 0},
    {"append-to-created", start_created, do_append, "box", 0},
    {"append-big", start_four, do_append_big, "box", 0},
    {"append-batch", start_four, do_append_batch, "box", IN_PARTS},
    {"append-to-torn-list", start_torn_list, do_append, "box", 0},
    {"flags", start_four, do_flags, "box", 0},
    {"clear", start_four, do_clear, "box", 0},
    {"keyword", start_four, do_keyword, "box", 0},
    {"expunge", start_doomed_some, do_expunge, "box", 0},
    {"expunge-all", start_doomed_all, do_expunge, "box", 0},
    {"move", start_two, do_move, "box", 0},
    {"copy", start_two, do_copy, "other", IN_PARTS},
    {"copy-here", start_four, do_copy_here, "box", IN_PARTS},
};

const struct crash_driver crash_driver = {
    .name = "maildir",
    .module = &maildir_LTX_mortise_module,
    .directory = true,
    .scenarios = scenarios,
    .count = sizeof scenarios / sizeof *scenarios,
};
