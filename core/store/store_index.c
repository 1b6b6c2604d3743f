/*
 * store_index.c: the index of a store's user.
 *
 * It is opened when the first mailbox is, in the process that serves the user: LMDB files may not be carried
 * across a fork, nor be opened twice in one process. So stores of one user in one process (tools, tests)
 * share it. When there is no place for it, a private one in memory takes its place, and nothing is
 * remembered.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "log/log.h"
#include "store/store_int.h"
#include "base/banned.h"

struct shared_index {
	struct shared_index *next;
	struct index *index;
	struct index_options options; /* of the store that came first, which may go first */
	dev_t dev;                    /* of the directory */
	ino_t ino;
	pid_t pid; /* who opened it */
	unsigned users;
};

static struct shared_index *all;

static struct shared_index *find(const struct stat *st)
{
	struct shared_index *x;

	for (x = all; x != NULL; x = x->next)
		if (x->dev == st->st_dev && x->ino == st->st_ino && x->pid == getpid())
			return x;
	return NULL;
}

static struct index *open_index(const struct store *s, const struct index_options *o, bool there)
{
	struct err e = ERR_INIT;
	struct index *x;

	if (there && index_open(o, s->state_path, &x, &e) == 0)
		return x;
	if (e.code != 0)
		log_err(MSG_STORE_INDEX, &e, s->state_path);
	err_clear(&e);
	if (index_open_private(o, &x, &e) == 0)
		return x;
	log_err(MSG_STORE_INDEX, &e, s->state_path);
	return NULL;
}

struct index *store_index(struct store *s, struct err *e)
{
	struct stat st = {0};
	bool there;

	CHECK_OBJ(s, STORE_MAGIC);
	if (s->host != NULL)
		return store_index(s->host, e);
	if (s->shared == NULL) {
		there = store_state(s) == 0 && stat(s->state_path, &st) == 0;
		s->shared = there ? find(&st) : NULL;
		if (s->shared == NULL) {
			struct shared_index *x = mem_new(struct shared_index);

			*x = (struct shared_index){.next = all,
			    .options = s->index,
			    .dev = st.st_dev,
			    .ino = st.st_ino,
			    .pid = getpid()};
			x->index = open_index(s, &x->options, there);
			if (x->index == NULL) {
				mem_free(x);
				err_fault(e, MORTISE_E_UNAVAILABLE, "%s: no index can be had", s->state_path);
				return NULL;
			}
			s->shared = all = x;
		}
		s->shared->users++;
	}
	return s->shared->index;
}

void store_index_close(struct store *s)
{
	struct shared_index *x = s->shared, **p;

	s->shared = NULL;
	if (x == NULL || --x->users > 0)
		return;
	for (p = &all; *p != x; p = &(*p)->next)
		;
	*p = x->next;
	index_close(&x->index);
	mem_free(x);
}

int store_mailbox_number(struct store *s, const char *mailbox, uint64_t *number, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("metadata");
	AUTO_BUF struct buf identity = BUF_INIT;
	struct index *x = store_index(s, e);
	struct target t;

	*number = 0;
	if (x == NULL || mailbox == NULL)
		return e->code;
	if (target_mailbox(s, mailbox, 0, a, &t, e) != 0)
		return e->code;
	target_identity(&t, &identity);
	target_close(&t);
	return index_mailbox(x, buf_str(&identity), number, e);
}
