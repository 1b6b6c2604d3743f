/*
 * courier.c: keywords that Courier kept, taken over once.
 *
 * They are in the directory courierimapkeywords. Its file ":list" names the keywords, a line each, then after
 * an empty line the messages that have some, by base and place in that list:
 *
 *     $Label1
 *     work
 *
 *     1491941793.M41850P8566.host:0 1
 *
 * What changed since it was written is in files named as the message, or ".N." and that, with a keyword a
 * line; the one without a number is the newest, then the higher number. They are read when a maildir gets its
 * first dovecot-uidlist and has no dovecot-keywords; the letters go into the names of the files, and
 * Courier's directory stays as it is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "box.h"

#define DIRECTORY "courierimapkeywords"
#define KEYWORDS_MAX 1024 /* lines of the list's first part that are looked at */
#define MESSAGE_FILE 65536

/* Keywords by number, and what each entry gets. */
struct import {
	struct maildir_box *b;
	int dir;
	uint32_t *letters;  /* by entry */
	uint32_t *revision; /* that they are from: 0 the list, then N + 1; UINT32_MAX the newest */
};

/* The letter of a keyword, a new one if need be; 0: there is none for it. */
static uint32_t letter_bit(struct mortise_call *call, struct maildir_box *b, const char *name)
{
	int letter = maildir_letter_of(b, name);
	unsigned bit;

	if (letter >= 0)
		return 1u << letter;
	return maildir_keyword_add(call, b, name, &bit) == 0 ? 1u << bit : 0;
}

static struct maildir_entry *entry_of(const struct import *im, const char *base, size_t *index)
{
	struct maildir_entry *e = maildir_by_base(im->b, base, strlen(base));

	if (e != NULL)
		*index = (size_t)(e - im->b->entries);
	return e;
}

/* "BASE:0 1". A base has no ':' in it. */
static void message_line(struct import *im, char *line, const uint32_t *bits, size_t count)
{
	char *colon = strchr(line, ':'), *p;
	unsigned long n;
	size_t i;

	if (colon == NULL)
		return;
	*colon = '\0';
	if (entry_of(im, line, &i) == NULL)
		return;
	for (p = colon + 1; *p >= '0' && *p <= '9'; p += strspn(p, " ")) {
		n = strtoul(p, &p, 10);
		if (n < count)
			im->letters[i] |= bits[n];
	}
}

static int read_list(struct mortise_call *call, struct import *im)
{
	uint32_t bits[KEYWORDS_MAX];
	char *text, *line, *end;
	bool names = true;
	size_t size, count = 0;
	int r = maildir_read_file(call, im->dir, ":list", im->b->options->list_limit, &text, &size);

	if (r != 0 || text == NULL)
		return r;
	for (line = text; r == 0 && (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		if (!names)
			message_line(im, line, bits, count);
		else if (*line == '\0')
			names = false;
		else if (count < KEYWORDS_MAX)
			bits[count++] = letter_bit(call, im->b, line);
		r = maildir_go_on(call, im->b);
	}
	free(text);
	return r;
}

/* One message's file. */
static int read_one(struct mortise_call *call, struct import *im, const char *file)
{
	const char *base = file;
	uint32_t revision = UINT32_MAX, letters = 0;
	char *text, *line, *save = NULL;
	size_t size, i;
	int r;

	if (file[0] == '.') {
		char *end;
		unsigned long n = strtoul(file + 1, &end, 10);

		if (end == file + 1 || *end != '.' || n >= UINT32_MAX - 1)
			return 0;
		revision = (uint32_t)n + 1;
		base = end + 1;
	}
	if (entry_of(im, base, &i) == NULL || revision < im->revision[i])
		return 0;
	r = maildir_read_file(call, im->dir, file, MESSAGE_FILE, &text, &size);
	if (r != 0 || text == NULL)
		return r == MORTISE_E_LIMIT ? 0 : r;
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		letters |= letter_bit(call, im->b, line);
	free(text);
	im->letters[i] = letters;
	im->revision[i] = revision;
	return maildir_go_on(call, im->b);
}

static int read_files(struct mortise_call *call, struct import *im)
{
	int fd = openat(im->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *file;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (r == 0 && (file = readdir(d)) != NULL)
		if (file->d_name[0] != ':')
			r = read_one(call, im, file->d_name);
	closedir(d);
	return r;
}

/* Into the names. One that has no room for them, or is gone, goes without. */
static int apply(struct mortise_call *call, struct import *im)
{
	struct maildir_box *b = im->b;
	char to[NAME_MAX + 1];
	int parts[PARTS], r = maildir_part(call, b, false, &parts[CUR]);
	size_t i;

	if (r == 0)
		r = maildir_part(call, b, true, &parts[NEW]);
	for (i = 0; i < b->count && r == 0; i++) {
		struct maildir_entry *e = &b->entries[i];
		struct maildir_name n;

		if (im->letters[i] == 0 || !e->present || !maildir_name_parse(e->name, &n) ||
		    !maildir_name_make(e->name, n.flags, n.letters | im->letters[i], to) ||
		    strcmp(to, e->name) == 0)
			continue;
		if (maildir_move(parts[e->in_new ? NEW : CUR], e->name, parts[CUR], to) == 0)
			r = maildir_entry_rename(call, b, e, false, to);
		else if (errno != ENOENT)
			r = call->host->fault_errno(call, "%s/%s", b->place->path, to);
	}
	return r;
}

int maildir_import_keywords(struct mortise_call *call, struct maildir_box *b)
{
	struct import im = {.b = b, .dir = maildir_open_part(b->dir, DIRECTORY)};
	int r = im.dir >= 0 ? maildir_keywords_load(call, b) : 0;

	if (im.dir < 0 || r != 0 || b->keywords.print.mtime != 0) {
		if (im.dir >= 0)
			close(im.dir);
		return r;
	}
	im.letters = calloc(b->count + 1, sizeof(*im.letters));
	im.revision = calloc(b->count + 1, sizeof(*im.revision));
	if (im.letters == NULL || im.revision == NULL)
		r = call->host->fault_errno(call, DIRECTORY);
	if (r == 0)
		r = read_list(call, &im);
	if (r == 0)
		r = read_files(call, &im);
	if (r == 0)
		r = apply(call, &im);
	free(im.letters);
	free(im.revision);
	close(im.dir);
	return r;
}
