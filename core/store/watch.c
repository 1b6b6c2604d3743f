/*
 * watch.c: knowing that a mailbox may have changed, without asking.
 *
 * One inotify descriptor an open mailbox. The mailbox's file is watched, not its directory: in a mail spool
 * the directory changes whenever anybody gets mail. A file that is replaced tells so itself (its inode loses
 * the name), and mailbox_watch_read then watches what is there now. Only while there is nothing (a missing
 * INBOX, a file between two lives) the directory is watched for its coming.
 */
#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/io.h"
#include "log/log.h"
#include "store/driver.h"
#include "base/banned.h"

#define FILE_EVENTS                                                                                       \
	(IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_CREATE | IN_DELETE | \
	    IN_MOVE)
#define COMING_EVENTS (IN_CREATE | IN_MOVED_TO)

static int watch_path(struct mailbox *m, const char *directory, const char *path)
{
	AUTO_BUF struct buf full = BUF_INIT;
	int wd;

	buf_printf(&full, "%s/%s", directory, path);
	wd = inotify_add_watch(m->watch, buf_cstr(&full), FILE_EVENTS);
	if (wd >= 0 || errno != ENOENT)
		return wd;
	buf_truncate(&full, (size_t)(strrchr(full.p, '/') - full.p));
	return inotify_add_watch(m->watch, full.n > 0 ? buf_cstr(&full) : "/", COMING_EVENTS | IN_MASK_ADD);
}

/* Watches of what was there before and is elsewhere now. */
static void unwatch(struct mailbox *m, const int *now, size_t count)
{
	size_t i, j;

	for (i = 0; i < m->watched_count; i++) {
		for (j = 0; j < count && now[j] != m->watched[i]; j++)
			;
		if (j == count)
			inotify_rm_watch(m->watch, m->watched[i]);
	}
	memcpy(m->watched, now, count * sizeof(*now));
	m->watched_count = count;
}

/* A missing INBOX may come at any of its places; those whose directory is not there do not count. */
static size_t watch_places(struct mailbox *m, int *now)
{
	const struct store *s = m->store;
	size_t i, n = 0;

	for (i = 0; i < s->place_count && n < WATCHES; i++) {
		now[n] = watch_path(m, s->places[i].directory, s->places[i].file);
		if (now[n] >= 0)
			n++;
	}
	return n;
}

/* What the format cannot hold changes in the index alone. */
static size_t watch_index(struct mailbox *m, int *now)
{
	AUTO_BUF struct buf path = BUF_INIT;

	if ((m->info.permanent_flags & MORTISE_FLAGS_SYSTEM) == MORTISE_FLAGS_SYSTEM &&
	    m->info.keyword_limit > 0)
		return 0;
	if (!index_watch(m->index, &path))
		return 0;
	*now = inotify_add_watch(m->watch, buf_cstr(&path), IN_MODIFY);
	return *now >= 0 ? 1 : 0;
}

static int watch_all(struct mailbox *m, struct err *e)
{
	struct mortise_watch w;
	int now[WATCHES];
	size_t i;

	if (m->box == NULL) {
		unwatch(m, now, watch_places(m, now));
		m->watch_stale = false;
		return 0;
	}
	if (box_watch(m, &w, e) != 0)
		return e->code;
	if (w.count == 0 || w.count > MORTISE_WATCH_MAX) {
		w.count = 1;
		w.paths[0] = m->target.place.path;
	}
	for (i = 0; i < w.count; i++) {
		now[i] = watch_path(m, m->target.directory, w.paths[i]);
		if (now[i] < 0)
			return err_errno(e, "watch %s/%s", m->target.directory, w.paths[i]);
	}
	unwatch(m, now, w.count + watch_index(m, &now[w.count]));
	m->watch_stale = false;
	return 0;
}

int mailbox_watch(struct mailbox *m, struct err *e)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (m->watch >= 0 && !m->watch_stale)
		return m->watch;
	if (m->watch < 0)
		m->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (m->watch < 0) {
		err_errno(e, "inotify");
		return -1;
	}
	if (watch_all(m, e) != 0) {
		io_close(&m->watch);
		return -1;
	}
	return m->watch;
}

void mailbox_watch_read(struct mailbox *m)
{
	_Alignas(struct inotify_event) char events[4096];
	struct err e = ERR_INIT;
	ssize_t n;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (m->watch < 0)
		return;
	while ((n = read(m->watch, events, sizeof(events))) > 0) {
		const char *p = events;

		while (p < events + n) {
			const struct inotify_event *x = (const struct inotify_event *)(const void *)p;

			if ((x->mask &
			        (IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_CREATE | IN_MOVED_TO)) != 0)
				m->watch_stale = true;
			p += sizeof(*x) + x->len;
		}
	}
	if (m->watch_stale && watch_all(m, &e) != 0)
		log_debug("store", "%s", e.admin);
}
