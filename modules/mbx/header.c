/*
 * The file's header: read, and written from the octets that were read, so that what we do not know stays.
 */
#include "box.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void mbx_header_new(char out[MBX_HEADER], uint32_t uidvalidity)
{
	int at = snprintf(out, MBX_HEADER, "*mbx*\r\n%08x%08x\r\n", uidvalidity, 0u);

	memset(out + at, 0, MBX_HEADER - (size_t)at);
	for (unsigned i = 0; i < MBX_KEYWORDS; i++, at += 2)
		memcpy(out + at, "\r\n", 2);
}

/* Rises, also when mailboxes are made and removed faster than seconds pass. */
uint32_t mbx_uidvalidity_new(struct mbx_state *s, uint32_t old)
{
	uint32_t now = (uint32_t)time(NULL);

	if (now <= old)
		now = old + 1;
	s->uidvalidity = now > s->uidvalidity ? now : s->uidvalidity + 1;
	if (s->uidvalidity == 0)
		s->uidvalidity = 1;
	return s->uidvalidity;
}

/* ---- keywords ---- */

/* What may be a keyword: an atom, as c-client sees it. */
static bool keyword_valid(const char *p, size_t size)
{
	if (size == 0 || size > MBX_KEYWORD_MAX)
		return false;
	for (size_t i = 0; i < size; i++)
		if (p[i] <= ' ' || p[i] == 0x7f || (p[i] & 0x80) != 0 || strchr("(){%*\"\\]", p[i]) != NULL)
			return false;
	return true;
}

/* Lines that are no keyword, or one that was there before, keep their place and have no name. */
static void read_keywords(struct mbx_header *h, const char *p)
{
	const char *end = p + MBX_PID, *line = p + MBX_PREFIX, *cr;

	h->keyword_count = 0;
	for (h->used_slots = 0; h->used_slots < MBX_KEYWORDS; h->used_slots++, line = cr + 2) {
		size_t size;
		bool known = false;
		cr = memmem(line, (size_t)(end - line), "\r\n", 2);
		if (cr == NULL || cr == line)
			return;
		size = (size_t)(cr - line);
		if (!keyword_valid(line, size))
			continue;
		for (size_t i = 0; i < h->keyword_count; i++)
			known =
			    known || (strncasecmp(h->names[i], line, size) == 0 && h->names[i][size] == '\0');
		if (known)
			continue;
		h->slots[h->keyword_count] = (uint8_t)h->used_slots;
		memcpy(h->names[h->keyword_count], line, size);
		h->names[h->keyword_count++][size] = '\0';
	}
}

int mbx_keyword(struct mbx_box *b, const char *name, bool add)
{
	struct mbx_header *h = &b->header;
	size_t size = strlen(name);

	for (size_t i = 0; i < h->keyword_count; i++)
		if (strcasecmp(h->names[i], name) == 0)
			return (int)i;
	if (!add || !keyword_valid(name, size) || h->keyword_count >= b->options->keyword_limit ||
	    h->used_slots >= MBX_KEYWORDS)
		return -1;
	h->slots[h->keyword_count] = (uint8_t)h->used_slots++;
	memcpy(h->names[h->keyword_count], name, size + 1);
	return (int)h->keyword_count++;
}

uint32_t mbx_keyword_bits(const struct mbx_header *h)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < h->keyword_count; i++)
		bits |= UINT32_C(1) << h->slots[i];
	return bits;
}

/* Only the lines from the first new one on: those before stay as they are, whatever they are. */
int mbx_header_put_keywords(struct mortise_call *call, struct mbx_box *b)
{
	struct mbx_header *h = &b->header;
	char *p = (char *)h->raw;
	unsigned slot = 0;
	size_t at = MBX_PREFIX;

	for (; slot < h->used_slots; slot++) {
		const char *cr = memmem(p + at, MBX_TRAIL - at, "\r\n", 2);
		if (cr == NULL || cr == p + at)
			break;
		at = (size_t)(cr - p) + 2;
	}
	for (size_t i = 0; i < h->keyword_count; i++)
		if (h->slots[i] >= slot) {
			size_t size = strlen(h->names[i]);
			if (at + size + 2 + 2 * (MBX_KEYWORDS - slot) > MBX_TRAIL)
				return call->host->fail(
				    call, MORTISE_E_LIMIT, "There is no room for another keyword");
			memcpy(p + at, h->names[i], size);
			memcpy(p + at + size, "\r\n", 2);
			at += size + 2;
			slot++;
		}
	for (; slot < MBX_KEYWORDS && at + 2 <= MBX_TRAIL; slot++, at += 2)
		memcpy(p + at, "\r\n", 2);
	memset(p + at, 0, MBX_TRAIL - at);
	return 0;
}

/* ---- trail and note ---- */

static void read_trail(struct mbx_header *h)
{
	const unsigned char *p = h->raw + MBX_TRAIL;
	struct mbx_trail *t = &h->trail;
	uint64_t mtime, note_uid;

	*t = (struct mbx_trail){.epoch = 0};
	if (p[0] == 'T' && mbx_hex(p + 17, 16, &mtime) && mbx_hex(p + 33, 16, &t->size) &&
	    mbx_hex(p + 49, 16, &t->dead) && mbx_hex(p + 65, 16, &t->dead_from) &&
	    mbx_hex(p + 81, 8, &t->count) && mbx_hex(p + 1, 16, &t->epoch))
		t->mtime = (int64_t)mtime;
	p = h->raw + MBX_NOTE;
	h->note = (char)p[0];
	if ((p[0] != MBX_APPENDING && p[0] != MBX_NUMBERING) || !mbx_hex(p + 1, 16, &h->note_at) ||
	    !mbx_hex(p + 17, 8, &note_uid) || h->note_at < MBX_HEADER)
		h->note = '\0';
	else
		h->note_uid = (uint32_t)note_uid;
}

static void put_trail(struct mbx_header *h)
{
	char *p = (char *)h->raw;
	const struct mbx_trail *t = &h->trail;

	memset(p + MBX_TRAIL, 0, MBX_PID - MBX_TRAIL);
	if (t->epoch != 0)
		snprintf(p + MBX_TRAIL, MBX_NOTE - MBX_TRAIL, "T%016llx%016llx%016llx%016llx%016llx%08x",
		    (unsigned long long)t->epoch, (unsigned long long)t->mtime, (unsigned long long)t->size,
		    (unsigned long long)t->dead, (unsigned long long)t->dead_from, (uint32_t)t->count);
	if (h->note != '\0')
		snprintf(p + MBX_NOTE, MBX_PID - MBX_NOTE, "%c%016llx%08x", h->note,
		    (unsigned long long)h->note_at, h->note_uid);
}

bool mbx_trail_holds(const struct mbx_header *h, const struct mbx_print *now)
{
	const struct mbx_trail *t = &h->trail;

	return t->epoch != 0 && h->note == '\0' && t->mtime == now->mtime && t->size == now->size &&
	       t->dead <= t->size && t->dead_from <= t->size - t->dead;
}

/* ---- all of it ---- */

/* An empty file is an empty mailbox, and the first change writes its header. Until then it is as old as it
 * is. */
static void begin_header(struct mbx_box *b, const struct mbx_print *now)
{
	uint32_t seconds = (uint32_t)(now->ctime / 1000000000);

	b->header.unwritten = true;
	mbx_header_new((char *)b->header.raw, seconds != 0 ? seconds : 1);
}

int mbx_header_read(struct mortise_call *call, struct mbx_box *b)
{
	struct mbx_header *h = &b->header;
	unsigned char *p = h->raw;
	uint64_t uidvalidity, uidlast;
	struct mbx_print now;
	int r = mbx_print_of(call, b, &now);

	if (r != 0)
		return r;
	h->unwritten = false;
	if (now.size == 0)
		begin_header(b, &now);
	else if ((r = mbx_pread(call, b, p, MBX_HEADER, 0)) != 0)
		return r;
	if (memcmp(p, "*mbx*\r\n", MBX_UIDS) != 0 || !mbx_hex(p + MBX_UIDS, 8, &uidvalidity) ||
	    !mbx_hex(p + MBX_UIDS + 8, 8, &uidlast) || memcmp(p + MBX_PREFIX - 2, "\r\n", 2) != 0)
		return call->host->fault(call, MORTISE_E_CORRUPT,
		    "%s: the first %u octets are not those of an mbx file", b->place->name, MBX_PREFIX);
	h->uidvalidity = (uint32_t)uidvalidity;
	h->uidlast = (uint32_t)uidlast;
	read_trail(h);
	read_keywords(h, (const char *)p);
	return 0;
}

int mbx_header_write(struct mortise_call *call, struct mbx_box *b)
{
	struct mbx_header *h = &b->header;
	char text[32];
	int r;

	snprintf(text, sizeof text, "%08x%08x", b->uidvalidity, b->uidlast);
	memcpy(h->raw + MBX_UIDS, text, 16);
	put_trail(h);
	if ((r = mbx_pwrite(call, b, h->raw, MBX_HEADER, 0)) != 0)
		return r;
	h->unwritten = false;
	h->uidvalidity = b->uidvalidity;
	h->uidlast = b->uidlast;
	return 0;
}

int mbx_header_write_end(struct mortise_call *call, struct mbx_box *b)
{
	put_trail(&b->header);
	return mbx_pwrite(call, b, b->header.raw + MBX_TRAIL, MBX_HEADER - MBX_TRAIL, MBX_TRAIL);
}
