#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/io.h"
#include "base/secure.h"
#include "proc/table.h"
#include "base/banned.h"

#define TABLE_MAGIC 0x74626c65u

/* owner 0: free. User and address are kept as keyed hashes: equal text, equal number, in every spawner. */
struct slot {
	_Atomic int32_t owner, pid;
	uint64_t user, address;
};

struct shared {
	uint64_t key[2];
	_Atomic uint32_t used; /* slots below this may be in use */
	struct slot slots[TABLE_SLOTS];
};

struct table {
	uint32_t magic;
	struct shared *shared;
};

static struct table *map(int fd, struct err *e)
{
	struct table *t;
	void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED) {
		err_errno(e, "mapping the session table");
		return NULL;
	}
	(void)madvise(p, sizeof(struct shared), MADV_DONTFORK);
	t = mem_new(struct table);
	t->magic = TABLE_MAGIC;
	t->shared = p;
	return t;
}

struct table *table_new(int *fd, struct err *e)
{
	struct table *t;

	*fd = memfd_create("mortise-sessions", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0 || ftruncate(*fd, sizeof(struct shared)) != 0 ||
	    fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
		err_errno(e, "memory file for the session table");
		io_close(fd);
		return NULL;
	}
	t = map(*fd, e);
	if (t != NULL)
		secure_random(t->shared->key, sizeof(t->shared->key));
	return t;
}

struct table *table_map(int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || st.st_size != (off_t)sizeof(struct shared)) {
		err_fault(e, MORTISE_E_INTERNAL, "the session table has another size");
		return NULL;
	}
	return map(fd, e);
}

void table_free(struct table **tp)
{
	struct table *t;

	if (*tp == NULL)
		return;
	TAKE_OBJ(t, tp, TABLE_MAGIC);
	(void)munmap(t->shared, sizeof(struct shared));
	t->magic = 0;
	mem_free(t);
}

/* FNV-1a from a secret start: nobody outside can choose names that count as one. */
static uint64_t keyed(const struct shared *s, struct str text)
{
	uint64_t h = s->key[0];
	size_t i;

	for (i = 0; i < text.n; i++)
		h = (h ^ (unsigned char)text.p[i]) * 0x100000001b3u;
	h ^= s->key[1];
	return h != 0 ? h : 1;
}

static int over(struct err *e, const char *limit)
{
	return err_fault(e, MORTISE_E_LIMIT, "limits.%s", limit);
}

int table_claim(
    struct table *t, const struct table_limits *l, struct str user, struct str address, struct err *e)
{
	struct shared *s = t->shared;
	uint64_t u = keyed(s, user), a = keyed(s, address), all = 0, mine = 0, here = 0;
	uint32_t used = atomic_load(&s->used), i;
	int64_t free_slot = -1;

	CHECK_OBJ(t, TABLE_MAGIC);
	for (i = 0; i < used && i < TABLE_SLOTS; i++) {
		struct slot *p = &s->slots[i];

		if (atomic_load(&p->owner) == 0) {
			if (free_slot < 0)
				free_slot = i;
			continue;
		}
		all++;
		mine += p->user == u;
		here += p->address == a;
	}
	if (all >= l->sessions)
		return over(e, "sessions");
	if (mine >= l->per_user)
		return over(e, "sessions_per_user");
	if (here >= l->per_address)
		return over(e, "sessions_per_address");
	for (i = free_slot >= 0 ? (uint32_t)free_slot : used; i < TABLE_SLOTS; i++) {
		struct slot *p = &s->slots[i];
		int32_t none = 0;

		if (!atomic_compare_exchange_strong(&p->owner, &none, (int32_t)getpid()))
			continue;
		p->user = u;
		p->address = a;
		used = atomic_load(&s->used);
		while (used <= i && !atomic_compare_exchange_weak(&s->used, &used, i + 1))
			;
		return (int)i;
	}
	return over(e, "sessions");
}

void table_set_pid(struct table *t, int slot, pid_t pid)
{
	CHECK_OBJ(t, TABLE_MAGIC);
	ASSERT(slot >= 0 && (uint32_t)slot < TABLE_SLOTS);
	atomic_store(&t->shared->slots[slot].pid, (int32_t)pid);
}

void table_release(struct table *t, int slot)
{
	struct slot *p;

	CHECK_OBJ(t, TABLE_MAGIC);
	ASSERT(slot >= 0 && (uint32_t)slot < TABLE_SLOTS);
	p = &t->shared->slots[slot];
	atomic_store(&p->pid, 0);
	p->user = p->address = 0;
	atomic_store(&p->owner, 0);
}

static uint32_t used_slots(const struct table *t)
{
	uint32_t used = atomic_load(&t->shared->used);

	return used < TABLE_SLOTS ? used : TABLE_SLOTS;
}

int table_find(const struct table *t, pid_t pid)
{
	uint32_t i, used = used_slots(t);

	CHECK_OBJ(t, TABLE_MAGIC);
	for (i = 0; i < used; i++)
		if (atomic_load(&t->shared->slots[i].pid) == (int32_t)pid)
			return (int)i;
	return -1;
}

size_t table_count(const struct table *t)
{
	uint32_t i, used = used_slots(t);
	size_t count = 0;

	CHECK_OBJ(t, TABLE_MAGIC);
	for (i = 0; i < used; i++)
		count += atomic_load(&t->shared->slots[i].owner) != 0;
	return count;
}

void table_sweep(struct table *t, pid_t owner)
{
	uint32_t i, used = used_slots(t);

	for (i = 0; i < used; i++)
		if (atomic_load(&t->shared->slots[i].owner) == (int32_t)owner &&
		    atomic_load(&t->shared->slots[i].pid) == 0)
			table_release(t, (int)i);
}

void table_signal(const struct table *t, int signal_number)
{
	uint32_t i, used = used_slots(t);

	for (i = 0; i < used; i++) {
		int32_t pid = atomic_load(&t->shared->slots[i].pid);

		if (pid > 0)
			(void)kill((pid_t)pid, signal_number);
	}
}
