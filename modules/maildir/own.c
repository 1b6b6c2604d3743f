/*
 * own.c: what this box itself does to cur and new.
 *
 * A directory that was changed has another time and would have to be read as a whole to be known again. But a
 * box knows what it did: when a directory was as the box, or the engine, knew it just before and has a time
 * of its own just after (it is given one), what is in it is known as well.
 *
 * Somebody without the lock may have renamed a file between these two looks, microseconds apart. So such a
 * directory is in doubt (`due`), and is read again by the first sync that comes a second later. Until then a
 * cursor is believed; whatever happens after the second look shows in the time at once. One whose time was
 * too young to be trusted before is read again sooner.
 *
 * What was appended through a box that has loaded nothing is kept apart (`trail`) and told from there.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "box.h"

#define DOUBT 1000 /* ms */
#define CALM 60    /* ms after which a time is not racy any more */

int64_t maildir_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool maildir_is_due(int64_t due)
{
	int64_t now;

	if (due == 0)
		return false;
	now = maildir_clock();
	return now >= due || due - now > DOUBT; /* the clock was set back */
}

void maildir_own_begin(struct mortise_call *call, struct maildir_box *b, struct maildir_own *o)
{
	struct maildir_print now[PARTS];
	bool looked = maildir_look(call, b, now) == 0;
	int p;

	for (p = 0; p < PARTS; p++) {
		const struct maildir_part *part = &b->part[p];

		o->touched[p] = false;
		o->loaded[p] = looked && part->read && maildir_print_same(&now[p], &part->print);
		o->agreed[p] = looked && b->agreed && maildir_print_same(&now[p], &b->agreed_part[p]);
	}
}

/* A time that nobody else's change can have. */
static bool stamp(int fd, struct maildir_print *print)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {0, 0}};
	struct stat st;

	clock_gettime(CLOCK_REALTIME, &times[1]);
	if (futimens(fd, times) != 0 || fstat(fd, &st) != 0)
		return false;
	*print = maildir_print_of(&st);
	/* Where only seconds are kept it is a time like any other. */
	return st.st_mtim.tv_nsec == times[1].tv_nsec && st.st_mtim.tv_sec == times[1].tv_sec;
}

static void doubt(struct maildir_box *b, int64_t length)
{
	int64_t due = maildir_clock() + length;

	if (b->due == 0 || due < b->due)
		b->due = due;
}

void maildir_own_end(struct maildir_box *b, struct maildir_own *o)
{
	struct maildir_print print;
	int p;

	for (p = 0; p < PARTS; p++) {
		struct maildir_part *part = &b->part[p];
		bool good;

		if (!o->touched[p])
			continue;
		b->agreed = b->agreed && o->agreed[p];
		good = (o->loaded[p] || o->agreed[p]) && part->fd >= 0 && stamp(part->fd, &print);
		o->loaded[p] = o->loaded[p] && good;
		o->agreed[p] = o->agreed[p] && good;
		b->agreed = b->agreed && good;
		if (!good)
			continue;
		part->stamp = print.mtime;
		doubt(b, o->loaded[p] && part->racy ? CALM : DOUBT);
		if (o->loaded[p]) {
			part->print = print;
			part->racy = false;
		}
		if (o->agreed[p])
			b->agreed_part[p] = print;
	}
}

/* The entries have these messages, which the list names already, too. */
static void note(struct maildir_box *b, const struct maildir_piece *p)
{
	struct maildir_entry *e = maildir_by_uid(b, p->uid);

	if (e == NULL || strcmp(e->name, p->final) != 0)
		return;
	e->present = e->sought = e->known = true;
	e->in_new = p->in_new;
	e->date = p->date;
	e->zone = (int16_t)p->zone;
	e->octets = p->wire;
}

void maildir_own_added(
    struct maildir_box *b, const struct maildir_own *o, const struct maildir_piece *pieces, size_t count)
{
	size_t i;
	int p;

	for (p = 0; p < PARTS; p++)
		if (o->touched[p] && !o->loaded[p])
			return;
	for (i = 0; i < count; i++)
		note(b, &pieces[i]);
}

void maildir_trail_clear(struct maildir_box *b)
{
	free(b->trail);
	b->trail = NULL;
	b->trail_count = 0;
}
