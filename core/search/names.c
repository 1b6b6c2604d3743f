#include "search/names.h"

#include "base/mem.h"
#include "base/banned.h"

struct name_entry {
	uint64_t hash;
	struct str name;
	uint32_t number;
};

static void place(struct names *n, uint32_t entry)
{
	size_t at = n->entries[entry].hash & (n->place_count - 1);

	while (n->places[at] != 0)
		at = (at + 1) & (n->place_count - 1);
	n->places[at] = entry + 1;
}

/* At most half of the places are taken. */
static void grow(struct names *n)
{
	size_t i;

	n->room = n->room != 0 ? n->room * 2 : 64;
	n->entries = mem_grow(n->entries, n->room, sizeof(*n->entries));
	mem_free(n->places);
	n->place_count = n->room * 2;
	n->places = mem_array(n->place_count, sizeof(*n->places));
	for (i = 0; i < n->count; i++)
		place(n, (uint32_t)i);
}

uint32_t *names_number(struct names *n, struct str name)
{
	uint64_t hash = str_hash(name);
	size_t at;

	if (n->count == n->room)
		grow(n);
	for (at = hash & (n->place_count - 1); n->places[at] != 0; at = (at + 1) & (n->place_count - 1)) {
		struct name_entry *x = &n->entries[n->places[at] - 1];

		if (x->hash == hash && str_eq(x->name, name))
			return &x->number;
	}
	n->entries[n->count] = (struct name_entry){hash, arena_str(n->arena, name), 0};
	n->places[at] = (uint32_t)++n->count;
	return &n->entries[n->count - 1].number;
}

void names_free(struct names *n)
{
	mem_free(n->entries);
	mem_free(n->places);
	n->entries = NULL;
	n->places = NULL;
	n->count = n->room = n->place_count = 0;
}
