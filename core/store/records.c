/*
 * records.c: the memory of message records.
 *
 * Records are cut from slabs and never move, so a view can hold pointers while the mailbox is synced. What is
 * let go is used again; slabs are given back when the mailbox is closed.
 */
#include "store/mailbox_int.h"
#include "base/banned.h"

struct record *record_new(struct mailbox *m)
{
	struct record *r = m->spare;

	if (r != NULL) {
		memcpy(&m->spare, r, sizeof(void *));
		memset(r, 0, sizeof(*r));
		return r;
	}
	if (m->slabs == NULL || m->slab_used == RECORDS_A_SLAB) {
		struct slab *s = mem_new(struct slab);

		s->next = m->slabs;
		m->slabs = s;
		m->slab_used = 0;
	}
	return &m->slabs->r[m->slab_used++];
}

void record_free(struct mailbox *m, struct record *r)
{
	ASSERT(r->views == 0);
	memset(r, 0, sizeof(*r));
	memcpy(r, &m->spare, sizeof(void *));
	m->spare = r;
}

void record_leave(struct mailbox *m, struct record *r)
{
	ASSERT(r->views > 0);
	if (--r->views == 0 && r->m.expunged)
		record_free(m, r);
}

size_t record_position(const struct mailbox *m, uint32_t uid)
{
	size_t low = 0, high = m->records.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->records.v[mid]->m.uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct record *record_find(const struct mailbox *m, uint32_t uid)
{
	size_t i = record_position(m, uid);

	return i < m->records.n && m->records.v[i]->m.uid == uid ? m->records.v[i] : NULL;
}

void records_drop_expunged(struct mailbox *m)
{
	size_t i, kept = 0;

	for (i = 0; i < m->records.n; i++) {
		struct record *r = m->records.v[i];

		if (!r->m.expunged) {
			m->records.v[kept++] = r;
			continue;
		}
		if (r->measured) {
			r->measured = false;
			m->measured--;
		}
		if (r->views == 0)
			record_free(m, r);
	}
	m->records.n = kept;
}

struct mortise_ref record_ref(const struct record *r)
{
	struct mortise_ref ref = {.uid = r->m.uid, .locator_size = r->m.locator_size};

	memcpy(ref.locator, r->m.locator, r->m.locator_size);
	return ref;
}
