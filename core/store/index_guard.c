/*
 * A damaged file must not kill every session of its user for ever. LMDB believes what it maps: a page that
 * leads nowhere is a SIGSEGV, a file that was cut is a SIGBUS. So the process says when it is inside LMDB,
 * and when it dies there, its crash handler puts the file out of the way. The session is lost; the next one
 * begins with a new file.
 *
 * Everything the handler needs lies ready in the environment. If it cannot tell which of two is to blame,
 * both go: one that stays could kill again.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/log.h"
#include "store/index_int.h"
#include "base/banned.h"

#define GUARDED 8u

static struct environment *volatile guarded[GUARDED];
volatile unsigned guard_callback;

/* The mapping's beginning is LMDB's secret; but it is not further away than its size. */
static bool in_mapping(const struct environment *v, const void *address)
{
	uintptr_t at = (uintptr_t)address, near = (uintptr_t)v->somewhere;

	return near != 0 && (at > near ? at - near : near - at) < v->size;
}

static void set_aside(const struct environment *v)
{
	struct timespec pause = {.tv_nsec = 10000000};
	struct stat st;
	int tries = 100;

	while (flock(v->dir, LOCK_EX | LOCK_NB) != 0 && tries-- > 0)
		(void)nanosleep(&pause, NULL);
	if (fstatat(v->dir, v->file, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    (v->ino != 0 && (st.st_ino != v->ino || st.st_dev != v->dev)))
		return; /* somebody did so already */
	(void)unlinkat(v->dir, v->lock, 0);
	if (v->aside[0] != '\0')
		(void)renameat(v->dir, v->file, v->dir, v->aside);
	else
		(void)unlinkat(v->dir, v->file, 0);
}

static const char *on_crash(int signo, const void *address)
{
	bool known = false, aside = false;
	size_t i, pass;

	for (pass = 0; pass < 2 && !known; pass++)
		for (i = 0; i < GUARDED; i++) {
			struct environment *v = guarded[i];
			bool mine;

			if (v == NULL || v->inside == 0)
				continue;
			mine = v->failed || (address != NULL && in_mapping(v, address));
			if (guard_callback > 0 && !(mine && (signo == SIGBUS || v->failed)))
				continue;
			if (pass == 0 && !mine)
				continue;
			known = known || mine;
			set_aside(v);
			aside = true;
		}
	return aside ? "it happened in a file of the index, which was put out of the way" : NULL;
}

static void on_assertion(MDB_env *env, const char *text)
{
	struct environment *v = mdb_env_get_userctx(env);

	(void)text;
	if (v != NULL)
		v->failed = true;
}

void guard_add(struct environment *v, int dir, bool keep)
{
	size_t i;

	v->dir = dir;
	v->inside = 0;
	v->failed = false;
	v->somewhere = NULL;
	v->ino = 0;
	(void)mdb_env_set_userctx(v->env, v);
	(void)mdb_env_set_assert(v->env, on_assertion);
	if (v->name == NULL)
		return;
	snprintf(v->file, sizeof(v->file), "%s", v->name);
	snprintf(v->lock, sizeof(v->lock), "%s-lock", v->name);
	snprintf(v->aside, sizeof(v->aside), "%s", "");
	if (keep)
		snprintf(v->aside, sizeof(v->aside), "%s.damaged", v->name);
	for (i = 0; i < GUARDED && guarded[i] != NULL; i++)
		;
	if (i < GUARDED)
		guarded[i] = v;
	log_crash_hook(on_crash);
}

void guard_remove(struct environment *v)
{
	size_t i;

	for (i = 0; i < GUARDED; i++)
		if (guarded[i] == v)
			guarded[i] = NULL;
}
