/*
 * entry.c: the messages of a loaded maildir.
 *
 * Names are many and small, so they lie one behind the other in blocks; dovecot-uidlist's text is such a
 * block, cut into lines where it stands. A name that was replaced is waste until there is more of that than
 * of anything else; then all is copied once.
 */
#include <stdlib.h>
#include <string.h>

#include "box.h"

#define BLOCK 65536
#define NAME_TYPICAL 100 /* octets of a name and what belongs to it */

struct maildir_block {
	struct maildir_block *next;
	size_t used, size;
	char octets[];
};

char *maildir_room(struct maildir_box *b, size_t size)
{
	struct maildir_block *block = b->pool;

	if (block == NULL || block->size - block->used < size) {
		size_t room = size > BLOCK ? size : BLOCK;

		block = malloc(sizeof(*block) + room);
		if (block == NULL)
			return NULL;
		*block = (struct maildir_block){.next = b->pool, .size = room};
		b->pool = block;
	}
	block->used += size;
	return block->octets + block->used - size;
}

char *maildir_keep(struct maildir_box *b, const char *text, size_t size)
{
	char *copy = maildir_room(b, size + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, text, size);
	copy[size] = '\0';
	return copy;
}

static void free_blocks(struct maildir_block *block)
{
	while (block != NULL) {
		struct maildir_block *next = block->next;

		free(block);
		block = next;
	}
}

int maildir_tidy(struct mortise_call *call, struct maildir_box *b)
{
	struct maildir_block *old = b->pool;
	size_t i;

	if (b->waste < BLOCK || b->waste < b->count * NAME_TYPICAL)
		return 0;
	b->pool = NULL;
	for (i = 0; i < b->count; i++) {
		struct maildir_entry *e = &b->entries[i];
		const char *name = maildir_keep(b, e->name, strlen(e->name));
		const char *extra = e->extra[0] != '\0' ? maildir_keep(b, e->extra, strlen(e->extra)) : "";

		if (name == NULL || extra == NULL) {
			struct maildir_block *last = b->pool;

			/* Some names are in the new blocks: both stay. */
			while (last != NULL && last->next != NULL)
				last = last->next;
			if (last != NULL)
				last->next = old;
			else
				b->pool = old;
			return call->host->fault_errno(call, "%zu messages", b->count);
		}
		e->name = name;
		e->extra = extra;
	}
	free_blocks(old);
	b->waste = 0;
	return 0;
}

/* ---- by base ---- */

static size_t hash(const struct maildir_box *b, const char *name, size_t base)
{
	/* Seeded by an address: names come from outside. */
	uint64_t h = (uint64_t)(uintptr_t)b * UINT64_C(0x9e3779b97f4a7c15), word;

	for (; base >= sizeof(word); base -= sizeof(word), name += sizeof(word)) {
		memcpy(&word, name, sizeof(word));
		h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
		h ^= h >> 32;
	}
	for (; base > 0; base--, name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
	return (size_t)(h ^ h >> 29) & (b->table_size - 1);
}

static bool same_base(const struct maildir_entry *e, const char *name, size_t base)
{
	return e->base == base && memcmp(e->name, name, base) == 0;
}

static void table_put(struct maildir_box *b, size_t index)
{
	const struct maildir_entry *e = &b->entries[index];
	size_t at = hash(b, e->name, e->base);

	while (b->table[at] != 0 && !same_base(&b->entries[b->table[at] - 1], e->name, e->base))
		at = (at + 1) & (b->table_size - 1);
	b->table[at] = (uint32_t)index + 1;
}

static int table_make(struct mortise_call *call, struct maildir_box *b)
{
	size_t i;

	free(b->table);
	for (b->table_size = 64; b->table_size < b->room * 2; b->table_size *= 2)
		continue;
	b->table = calloc(b->table_size, sizeof(*b->table));
	if (b->table == NULL)
		return call->host->fault_errno(call, "%zu messages", b->count);
	for (i = 0; i < b->count; i++)
		table_put(b, i);
	return 0;
}

struct maildir_entry *maildir_by_base(const struct maildir_box *b, const char *name, size_t base)
{
	size_t at;

	if (b->table == NULL)
		return NULL;
	for (at = hash(b, name, base); b->table[at] != 0; at = (at + 1) & (b->table_size - 1))
		if (same_base(&b->entries[b->table[at] - 1], name, base))
			return &b->entries[b->table[at] - 1];
	return NULL;
}

struct maildir_entry *maildir_by_uid(const struct maildir_box *b, uint32_t uid)
{
	size_t low = 0, high = b->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (b->entries[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < b->count && b->entries[low].uid == uid ? &b->entries[low] : NULL;
}

/* ---- changes ---- */

int maildir_entry_add(struct mortise_call *call, struct maildir_box *b, uint32_t uid, const char *name,
    size_t base, const char *extra, struct maildir_entry **out)
{
	struct maildir_entry *more;

	if (b->count == b->room) {
		size_t room = b->room * 2 + 64;

		more = room < UINT32_MAX / 2 ? realloc(b->entries, room * sizeof(*more)) : NULL;
		if (more == NULL)
			return call->host->fault_errno(call, "%zu messages", b->count);
		b->entries = more;
		b->room = room;
		if (table_make(call, b) != 0)
			return MORTISE_E_INTERNAL;
	}
	b->entries[b->count] = (struct maildir_entry){
	    .name = name, .extra = extra, .uid = uid, .base = (uint8_t)base, .octets = MORTISE_SIZE_UNKNOWN};
	table_put(b, b->count);
	if (out != NULL)
		*out = &b->entries[b->count];
	b->count++;
	return 0;
}

int maildir_entry_rename(
    struct mortise_call *call, struct maildir_box *b, struct maildir_entry *e, bool in_new, const char *name)
{
	if (strcmp(e->name, name) != 0) {
		const char *copy = maildir_keep(b, name, strlen(name));

		if (copy == NULL)
			return call->host->fault_errno(call, "%s", name);
		b->waste += strlen(e->name) + 1;
		e->name = copy;
		e->dirty = true;
	}
	e->dirty = e->dirty || e->in_new != in_new;
	e->in_new = in_new;
	return 0;
}

int maildir_entry_gone(struct mortise_call *call, struct maildir_box *b, const struct maildir_entry *e)
{
	uint32_t *more;

	if (!e->told)
		return 0;
	if (b->gone_count == b->gone_room) {
		more = realloc(b->gone, (b->gone_room * 2 + 64) * sizeof(*more));
		if (more == NULL)
			return call->host->fault_errno(call, "%zu messages", b->gone_count);
		b->gone = more;
		b->gone_room = b->gone_room * 2 + 64;
	}
	b->gone[b->gone_count++] = e->uid;
	return 0;
}

static void table_again(struct maildir_box *b)
{
	size_t i;

	memset(b->table, 0, b->table_size * sizeof(*b->table));
	for (i = 0; i < b->count; i++)
		table_put(b, i);
}

int maildir_drop_missing(struct mortise_call *call, struct maildir_box *b)
{
	size_t i, kept = 0;

	for (i = 0; i < b->count; i++) {
		struct maildir_entry *e = &b->entries[i];

		if (!e->present && maildir_entry_gone(call, b, e) != 0)
			return MORTISE_E_INTERNAL;
		e->told = e->told && e->present; /* not twice, should this fail half way */
	}
	for (i = 0; i < b->count; i++) {
		if (b->entries[i].present)
			b->entries[kept++] = b->entries[i];
		else
			b->waste += strlen(b->entries[i].name) + 1;
	}
	if (kept == b->count)
		return 0;
	b->count = kept;
	table_again(b);
	return 0;
}

void maildir_entries_cut(struct maildir_box *b, uint32_t uidnext)
{
	size_t count = b->count;

	while (count > 0 && b->entries[count - 1].uid >= uidnext)
		count--;
	if (count < b->count) {
		b->count = count;
		table_again(b);
	}
	b->uidnext = uidnext;
}

void maildir_entries_free(struct maildir_box *b)
{
	free(b->entries);
	free(b->table);
	free(b->gone);
	free_blocks(b->pool);
	b->entries = NULL;
	b->table = NULL;
	b->gone = NULL;
	b->pool = NULL;
	b->count = b->room = b->table_size = b->gone_count = b->gone_room = b->waste = 0;
}
