#include "scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "from.h"

/* "X-Keywords:" and c-client's padding when Status and X-Status are as long as they get. */
#define KEYWORDS_PADDED 24u

/* What is read first; doubled each time up to the window, so that one header costs one small read. */
#define UNIX_STEP 8192u

/* One line. `text` holds its first text_size octets without the line's end; size counts everything. */
struct line {
	uint64_t offset;
	const unsigned char *text;
	size_t text_size;
	uint64_t size;
	bool lf, cr;
};

/* Internal fields that follow each other. */
struct run {
	bool open, broken;
	uint64_t start, end;
	enum unix_field fields[7];
	size_t count;
	size_t keywords_size; /* of the X-Keywords line, when it was the last one */
	uint64_t uid_start;   /* of the X-UID line, when that came right behind X-Keywords */
	bool uid_padded;      /* and X-Keywords was padded */
};

struct header {
	struct unix_scanned *m;
	struct run run;
	size_t runs, uids;
	bool internal; /* the last field was */
	bool daemon;   /* it may be a pseudo-message */
	bool trace, subject;
	enum unix_field base;
};

/* FNV-1a. Not for secrets: two From lines of one second may be the same anyway. */
uint32_t unix_check(const unsigned char *p, size_t size)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

int unix_scan_open(
    struct unix_scanner *s, const struct unix_input *input, uint64_t offset, size_t window_size)
{
	memset(s, 0, sizeof *s);
	s->input = *input;
	s->window_size = window_size > 2 * UNIX_FROM_MAX ? window_size : 2 * UNIX_FROM_MAX;
	s->step = UNIX_STEP;
	s->window = malloc(s->window_size);
	s->base = offset;
	return s->window != NULL ? 0 : UNIX_SCAN_MEMORY;
}

void unix_scan_seek(struct unix_scanner *s, uint64_t offset)
{
	if (offset >= s->base && offset - s->base <= s->fill) {
		s->at = (size_t)(offset - s->base);
		return;
	}
	s->base = offset;
	s->fill = s->at = 0;
	s->zeros = false;
	s->step = UNIX_STEP;
}

const unsigned char *unix_scan_octets(const struct unix_scanner *s, uint64_t offset, size_t size)
{
	if (offset < s->base || offset - s->base > s->fill || size > s->fill - (size_t)(offset - s->base))
		return NULL;
	return s->window + (size_t)(offset - s->base);
}

void unix_scan_close(struct unix_scanner *s)
{
	free(s->window);
	s->window = NULL;
}

static int input_read(struct unix_scanner *s, unsigned char *p, size_t size, uint64_t offset, size_t *got)
{
	ssize_t n;

	if (s->input.fd < 0) {
		memcpy(p, s->input.memory + offset, size);
		*got = size;
		return 0;
	}
	do
		n = pread(s->input.fd, p, size, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return UNIX_SCAN_IO;
	if (n == 0) {
		s->position = offset;
		return UNIX_SCAN_SHORT;
	}
	*got = (size_t)n;
	return 0;
}

/* Makes room and reads on. 1: there is more, 0: the end (or no room: see window_full), or a code. */
static int more(struct unix_scanner *s)
{
	uint64_t from;
	size_t room, got = 0;
	int r;

	if (s->at > 0) {
		memmove(s->window, s->window + s->at, s->fill - s->at);
		s->base += s->at;
		s->fill -= s->at;
		s->at = 0;
	}
	from = s->base + s->fill;
	room = s->window_size - s->fill;
	if (room == 0 || from >= s->input.end)
		return 0;
	if (s->input.stop != NULL && (r = s->input.stop(s->input.stop_arg)) != 0)
		return r;
	if (room > s->step)
		room = s->step;
	if (room > s->input.end - from)
		room = (size_t)(s->input.end - from);
	if (s->step < s->window_size)
		s->step *= 2;
	if ((r = input_read(s, s->window + s->fill, room, from, &got)) != 0)
		return r;
	s->zeros = s->fill == 0 && got >= UNIX_FROM_MAX && s->window[0] == 0 &&
	           memcmp(s->window, s->window + 1, got - 1) == 0;
	s->fill += got;
	return 1;
}

/*
 * With the window used up and having been all NUL: jumps over a hole in the file, which may be terabytes.
 * Returns how many octets that was; they are NUL, so they end no line.
 */
static uint64_t skip_hole(struct unix_scanner *s)
{
	uint64_t from = s->base + s->fill, skipped;
	off_t data;

	if (!s->zeros || s->at < s->fill || s->input.fd < 0 || from >= s->input.end)
		return 0;
	data = lseek(s->input.fd, (off_t)from, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		data = (off_t)s->input.end;
	if (data < 0 || (uint64_t)data <= from)
		return 0;
	skipped = ((uint64_t)data < s->input.end ? (uint64_t)data : s->input.end) - from;
	s->base = from + skipped;
	s->fill = s->at = 0;
	return skipped;
}

/* At least `size` octets in the window, unless the file ends before. */
static int need(struct unix_scanner *s, size_t size)
{
	while (s->fill - s->at < size) {
		int r = more(s);
		if (r <= 0)
			return r;
	}
	return 1;
}

/* The rest of a line that is longer than the window; its head is kept at the window's beginning. */
static int long_line(struct unix_scanner *s, struct line *l, unsigned char *head)
{
	unsigned char last = s->window[s->fill - 1];

	memcpy(head, s->window, UNIX_LINE_HEAD);
	l->text = head;
	l->text_size = UNIX_LINE_HEAD;
	l->size = s->fill;
	s->at = s->fill;
	for (;;) {
		const unsigned char *lf;
		size_t n;
		int r;

		l->size += skip_hole(s);
		if ((r = more(s)) <= 0)
			return r;
		lf = memchr(s->window, '\n', s->fill);
		n = lf != NULL ? (size_t)(lf - s->window) : s->fill;
		if (n > 0)
			last = s->window[n - 1];
		l->size += n;
		s->at = n;
		if (lf != NULL) {
			l->lf = true;
			l->cr = last == '\r';
			l->size++;
			s->at++;
			return 0;
		}
	}
}

/* The line at the scanner's offset, which moves behind it. 1, 0 at the end, or a code. */
static int next_line(struct unix_scanner *s, struct line *l, unsigned char *head)
{
	size_t searched = 0;
	const unsigned char *p, *lf;
	int r;

	memset(l, 0, sizeof *l);
	if (s->at == s->fill && (r = more(s)) <= 0)
		return r;
	l->offset = s->base + s->at;
	for (;;) {
		size_t have = s->fill - s->at;
		p = s->window + s->at;
		lf = memchr(p + searched, '\n', have - searched);
		if (lf != NULL)
			break;
		searched = have;
		r = more(s);
		if (r < 0)
			return r;
		if (r == 0 && s->fill == s->window_size) {
			r = long_line(s, l, head);
			return r < 0 ? r : 1;
		}
		if (r == 0) {
			l->text = s->window + s->at;
			l->text_size = (size_t)(l->size = s->fill - s->at);
			s->at = s->fill;
			return 1;
		}
	}
	l->lf = true;
	l->text = p;
	l->text_size = (size_t)(lf - p);
	l->size = l->text_size + 1;
	l->cr = l->text_size > 0 && lf[-1] == '\r';
	l->text_size -= l->cr;
	s->at += (size_t)l->size;
	return 1;
}

int unix_scan_begin(struct unix_scanner *s)
{
	bool skipped = false, line = false;

	for (;;) {
		int r = need(s, 1);
		unsigned char c;

		if (r < 0)
			return r;
		if (r == 0 || (c = s->window[s->at], c != '\r' && c != '\n' && c != ' ' && c != '\t'))
			break;
		line = c == '\n';
		skipped = true;
		s->at++;
	}
	s->position = s->base + s->at;
	return !skipped || line ? 0 : UNIX_SCAN_BAD;
}

/* ---- header fields ---- */

/* Decimal up to 2³²-1 at *p; moves on. -1: none, or too large. */
static int64_t take_number(const char **p, const char *end)
{
	const char *q = *p;
	uint64_t v = 0;

	while (q < end && *q == ' ')
		q++;
	if (q == end || *q < '0' || *q > '9')
		return -1;
	for (; q < end && *q >= '0' && *q <= '9'; q++)
		if ((v = v * 10 + (uint64_t)(*q - '0')) > UINT32_MAX)
			return -1;
	*p = q;
	return (int64_t)v;
}

static bool add_words(char *out, size_t *size, const char *p, const char *end)
{
	size_t n = (size_t)(end - p);

	if (n + 1 > UNIX_WORDS_MAX - *size)
		return false;
	out[(*size)++] = ' ';
	memcpy(out + *size, p, n);
	*size += n;
	return true;
}

/* Twelve digits. */
static uint64_t take_rest(const char *p)
{
	uint64_t v = 0;

	for (size_t i = 0; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return 0;
		v = v * 10 + (uint64_t)(p[i] - '0');
	}
	return v;
}

/* Behind the letters: the token, six digits where V and L are; the mark, ten; the rest, twelve. */
static void take_digits(struct header *h, const char *p, const char *end, bool head)
{
	bool base =
	    h->run.count > 0 && (h->run.fields[0] == UNIX_FIELD_BASE || h->run.fields[0] == UNIX_FIELD_IMAP);

	while (p < end) {
		const char *word = p, *stop;
		int64_t v;

		while (word < end && *word == ' ')
			word++;
		for (stop = word; stop < end && *stop != ' ';)
			stop++;
		p = word;
		v = take_number(&p, stop);
		if (p == stop && stop - word == 6 && base && v > 0)
			h->m->token = (uint32_t)v;
		else if (p == stop && stop - word == 10 && v > 0)
			h->m->mark = (uint32_t)v;
		else if (stop - word == 12 && head)
			h->m->rest = take_rest(word);
		p = stop;
	}
}

static void take_letters(struct header *h, const char *p, const char *end, bool head)
{
	static const char names[] = "RODFAT";
	unsigned letters = 0;

	for (const char *q = p; q < end; q++) {
		const char *at = *q != '\0' ? strchr(names, *q) : NULL;
		if (at != NULL)
			letters |= 1u << (at - names);
	}
	h->m->letters |= letters;
	if (head)
		h->m->head_letters |= letters;
	take_digits(h, p, end, head);
}

static void take_base(struct header *h, enum unix_field field, const char *p, const char *end, bool head)
{
	struct unix_scanned *m = h->m;
	int64_t v, l;

	if (h->base != UNIX_FIELD_NONE)
		return;
	v = take_number(&p, end);
	l = v > 0 ? take_number(&p, end) : -1;
	if (v <= 0 || l < 0)
		return;
	h->base = field;
	m->uidvalidity = (uint32_t)v;
	m->uidlast = (uint32_t)l;
	m->base_place = head ? UNIX_PLACE_HEAD : UNIX_PLACE_LOOSE;
	m->base_words_size = 0;
	add_words(m->base_words, &m->base_words_size, p, end);
}

/* Eight digits, hexadecimal. */
static void take_gone(struct header *h, const char *p, const char *end)
{
	uint32_t v = 0;
	size_t n = 0;

	for (; p < end && *p == ' '; p++)
		;
	for (; p < end && n < 8; p++, n++) {
		const char *digits = "0123456789abcdef", *at = *p != '\0' ? strchr(digits, *p) : NULL;
		if (at == NULL)
			return;
		v = v << 4 | (uint32_t)(at - digits);
	}
	for (; p < end && *p == ' '; p++)
		;
	if (n < 8 || p < end || h->m->gone)
		return;
	h->m->gone = true;
	h->m->gone_code = v;
}

static void take_uid(struct header *h, const char *p, const char *end, bool head)
{
	struct run *run = &h->run;
	int64_t uid = take_number(&p, end);

	while (p < end && *p == ' ')
		p++;
	if (h->uids++ > 0) {
		/* Which of two is right cannot be known, unless one is where only we write. */
		if (h->m->uid_place != UNIX_PLACE_HEAD)
			h->m->uid_place = UNIX_PLACE_LOOSE;
		return;
	}
	if (uid <= 0 || p != end) {
		h->m->uid_place = UNIX_PLACE_LOOSE;
		return;
	}
	if (run->count > 0 && run->fields[run->count - 1] == UNIX_FIELD_KEYWORDS) {
		run->uid_start = run->end;
		run->uid_padded = run->keywords_size >= KEYWORDS_PADDED;
	}
	h->m->uid = (uint32_t)uid;
	h->m->uid_place = head ? UNIX_PLACE_HEAD : run->uid_padded ? UNIX_PLACE_TAIL : UNIX_PLACE_LOOSE;
}

static const struct {
	enum unix_field fields[5];
	size_t count;
	bool base, uid;
} block_forms[] = {
    {{UNIX_FIELD_STATUS, UNIX_FIELD_XSTATUS, UNIX_FIELD_KEYWORDS, UNIX_FIELD_UID}, 4, false, true},
    {{UNIX_FIELD_BASE, UNIX_FIELD_STATUS, UNIX_FIELD_XSTATUS, UNIX_FIELD_KEYWORDS, UNIX_FIELD_UID}, 5, true,
        true},
    {{UNIX_FIELD_STATUS, UNIX_FIELD_XSTATUS, UNIX_FIELD_KEYWORDS}, 3, false, false},
    {{UNIX_FIELD_BASE, UNIX_FIELD_STATUS, UNIX_FIELD_XSTATUS, UNIX_FIELD_KEYWORDS}, 4, true, false},
    {{UNIX_FIELD_IMAP, UNIX_FIELD_STATUS}, 2, true, false},
};

/* Status to X-Keywords are as long as the padding makes them. */
static bool block_padded(const struct run *run, bool base)
{
	return run->uid_start > run->start && run->uid_start - 1 - run->start >= (base ? 80 : 50);
}

static bool is_form(const struct run *run, size_t i)
{
	return !run->broken && run->count == block_forms[i].count &&
	       memcmp(run->fields, block_forms[i].fields, run->count * sizeof *run->fields) == 0 &&
	       run->end - run->start <= UNIX_BLOCK_MAX;
}

/* The block of a message that is gone, in one of the ways to say so. */
static bool is_gone_form(const struct run *run)
{
	static const enum unix_field order[] = {
	    UNIX_FIELD_BASE, UNIX_FIELD_STATUS, UNIX_FIELD_XSTATUS, UNIX_FIELD_EXPUNGED, UNIX_FIELD_KEYWORDS};
	size_t i = 0;
	bool gone = false;

	if (run->broken || run->count < 2 || run->count > sizeof order / sizeof *order + 1 ||
	    run->end - run->start > UNIX_BLOCK_MAX || run->fields[run->count - 1] != UNIX_FIELD_UID)
		return false;
	for (size_t n = 0; n < run->count - 1; n++, i++) {
		while (i < sizeof order / sizeof *order && order[i] != run->fields[n])
			i++;
		if (i == sizeof order / sizeof *order)
			return false;
		gone = gone || order[i] == UNIX_FIELD_EXPUNGED;
	}
	return gone;
}

/* A run is over: is it a block? */
static void end_run(struct header *h)
{
	struct run *run = &h->run;
	struct unix_scanned *m = h->m;
	size_t i = 0;

	if (!run->open)
		return;
	run->open = false;
	if (is_gone_form(run) && !m->block) {
		m->block = m->block_uid = true;
		m->base_block = run->fields[0] == UNIX_FIELD_BASE;
		m->block_start = run->start;
		m->block_size = (uint32_t)(run->end - run->start);
		return;
	}
	while (i < sizeof block_forms / sizeof *block_forms && !is_form(run, i))
		i++;
	if (i < sizeof block_forms / sizeof *block_forms && block_forms[i].uid && h->uids == 1 &&
	    block_padded(run, block_forms[i].base)) {
		run->uid_padded = true;
		if (m->uid_place == UNIX_PLACE_LOOSE && m->uid != 0)
			m->uid_place = UNIX_PLACE_TAIL;
	}
	if (m->base_place == UNIX_PLACE_LOOSE && run->fields[0] == UNIX_FIELD_BASE && run->uid_padded)
		m->base_place = UNIX_PLACE_TAIL;
	if (m->block || i == sizeof block_forms / sizeof *block_forms) {
		m->strays = true;
		return;
	}
	m->block = true;
	m->block_uid = block_forms[i].uid;
	m->base_block = block_forms[i].base;
	m->block_start = run->start;
	m->block_size = (uint32_t)(run->end - run->start);
}

static void internal_field(struct header *h, const struct line *l, enum unix_field field)
{
	struct unix_scanned *m = h->m;
	struct run *run = &h->run;
	/* Every name ends at its colon, which is there. */
	const char *end = (const char *)l->text + l->text_size;
	const char *p = (const char *)memchr(l->text, ':', l->text_size) + 1;
	bool head;

	if (!run->open) {
		memset(run, 0, sizeof *run);
		run->open = true;
		run->start = l->offset;
		h->runs++;
	}
	head = run->start == m->start + m->from_size;
	if (field == UNIX_FIELD_STATUS || field == UNIX_FIELD_XSTATUS)
		take_letters(h, p, end, head);
	else if (field == UNIX_FIELD_UID)
		take_uid(h, p, end, head);
	else if (field == UNIX_FIELD_EXPUNGED)
		take_gone(h, p, end);
	else if (field == UNIX_FIELD_KEYWORDS) {
		while (end > p && end[-1] == ' ')
			end--;
		if (!add_words(m->words, &m->words_size, p, end))
			m->words_lost = true;
		if (head)
			m->head_words_size = m->words_size;
		run->keywords_size = l->text_size;
	} else
		take_base(h, field, p, end, head);
	if (run->count < sizeof run->fields / sizeof *run->fields)
		run->fields[run->count++] = field;
	if (!l->lf || l->size > l->text_size + 2)
		run->broken = true;
	run->end = l->offset + l->size;
}

static bool begins(const struct line *l, const char *name)
{
	size_t n = strlen(name);

	return l->text_size >= n && strncasecmp((const char *)l->text, name, n) == 0;
}

/* What only matters when a pseudo-message is to be told from mail that claims to be one. */
static void other_field(struct header *h, const struct line *l)
{
	if (begins(l, "Received:") || begins(l, "Return-Path:") || begins(l, "Delivered-To:") ||
	    begins(l, "X-Original-To:") || begins(l, "Envelope-To:"))
		h->trace = true;
	else if (begins(l, "Subject:") && memmem(l->text, l->text_size, "FOLDER INTERNAL DATA",
	                                      sizeof "FOLDER INTERNAL DATA" - 1) != NULL)
		h->subject = true;
}

static void cut(struct unix_scanner *s, const struct line *l)
{
	if (s->cut != NULL)
		s->cut(s->cut_arg, l->offset, l->size);
}

/* One header line; false at the empty one. */
static bool header_line(struct unix_scanner *s, struct header *h, const struct line *l)
{
	enum unix_field field;

	if (l->text_size == 0 && l->lf && l->size <= 2) {
		h->m->octets += 2;
		return false;
	}
	if ((l->text[0] == ' ' || l->text[0] == '\t') && h->internal) {
		/* A continuation of an internal field: nobody's. */
		h->run.broken = true;
		h->run.end = l->offset + l->size;
		cut(s, l);
		return true;
	}
	field = unix_field_of(l->text, l->text_size);
	if (field == UNIX_FIELD_EXPUNGED &&
	    (h->run.open ? h->run.start : l->offset) != h->m->start + h->m->from_size)
		field = UNIX_FIELD_NONE;
	h->internal = field != UNIX_FIELD_NONE;
	if (h->internal) {
		internal_field(h, l, field);
		cut(s, l);
		return true;
	}
	end_run(h);
	h->m->octets += l->size + (l->lf && !l->cr);
	if (h->daemon && l->text[0] != ' ' && l->text[0] != '\t')
		other_field(h, l);
	return true;
}

/* It is in the window as it is, and not too long to be looked at as a From line. */
static bool whole_line(const struct line *l)
{
	return l->text_size == l->size - l->lf - l->cr && l->size <= UNIX_FROM_MAX;
}

static int from_line(struct unix_scanner *s, struct unix_scanned *m, unsigned char *head, bool *daemon)
{
	struct unix_from from;
	struct line l;
	int r = next_line(s, &l, head);

	if (r <= 0)
		return r;
	if (!whole_line(&l) || !unix_from_parse(l.text, l.text_size + l.cr, &from)) {
		s->position = l.offset;
		return UNIX_SCAN_BAD;
	}
	m->start = l.offset;
	m->from_size = (uint32_t)l.size;
	m->time = from.time;
	m->zone = from.zone;
	m->date_valid = from.date_valid;
	m->ends_line = l.lf;
	m->from_check = unix_check(l.text, l.text_size < 256 ? l.text_size : 256);
	*daemon = l.text_size > 19 && memcmp(l.text, "From MAILER-DAEMON ", 19) == 0;
	return 1;
}

int unix_scan_header(struct unix_scanner *s, struct unix_scanned *m)
{
	unsigned char head[UNIX_LINE_HEAD];
	struct header h = {.m = m};
	struct line l;
	int r;

	/* The words are not cleared: they are long, and their sizes say that nothing is there. */
	memset(m, 0, offsetof(struct unix_scanned, words));
	m->words_size = m->head_words_size = m->base_words_size = 0;
	m->words_lost = m->pseudo = m->base_block = false;
	m->base_place = UNIX_PLACE_NONE;
	m->uidvalidity = m->uidlast = m->token = m->mark = 0;
	if ((r = from_line(s, m, head, &h.daemon)) <= 0)
		return r;
	for (;;) {
		if ((r = next_line(s, &l, head)) < 0)
			return r;
		if (r == 0)
			break;
		m->ends_line = l.lf;
		if (!header_line(s, &h, &l)) {
			m->header_closed = true;
			break;
		}
	}
	end_run(&h);
	m->header_end = s->base + s->at;
	m->pseudo = h.base == UNIX_FIELD_IMAP && h.daemon && h.subject && !h.trace;
	if (m->base_block && h.base == UNIX_FIELD_NONE)
		m->base_block = false;
	return 1;
}

/* ---- text ---- */

/* The text's last line so far. */
struct text {
	bool begun; /* within a line: its first octet was seen */
	uint64_t size;
	unsigned char last;
	bool empty; /* the last whole line was */
};

/* Octets that are looked at together. A machine without such long registers takes them in pieces. */
typedef unsigned char octets __attribute__((vector_size(32), aligned(1), may_alias));
#define STRIDE sizeof(octets)
#define STRIDES 4u
#define BLOCK (STRIDES * STRIDE)
#define COUNT_MAX (256u - STRIDES) /* that a count of eight bits can take */
#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE const octets *octets_at(const unsigned char *p)
{
	return (const octets *)(const void *)p;
}

static ALWAYS_INLINE size_t sum(const octets *v)
{
	size_t n = 0;

	for (size_t i = 0; i < sizeof *v; i++)
		n += (*v)[i];
	return n;
}

static ALWAYS_INLINE bool any(const octets *v)
{
	uint64_t part[sizeof *v / sizeof(uint64_t)];

	memcpy(part, v, sizeof part);
	return (part[0] | part[1] | part[2] | part[3]) != 0;
}

/*
 * Passes over octets without a line that begins with "Fr", a block at a time; p[-1] is there. How many lines
 * end among them, and how many of these with CR LF. Stops at a block with such a line, or where fewer octets
 * are left.
 */
static ALWAYS_INLINE const unsigned char *pass_blocks(
    const unsigned char *p, const unsigned char *end, size_t *lines, size_t *with_cr)
{
	bool found = false;

	*lines = *with_cr = 0;
	while (!found && (size_t)(end - p) >= BLOCK + 2) {
		octets lf = {0}, crlf = {0};

		for (unsigned i = 0; i < COUNT_MAX && (size_t)(end - p) >= BLOCK + 2;
		     i += STRIDES, p += BLOCK) {
			octets before = lf, crlf_before = crlf, from = {0};

			for (size_t at = 0; at < BLOCK; at += STRIDE) {
				octets ends = (octets)(*octets_at(p + at) == '\n');

				from |= ends & (octets)(*octets_at(p + at + 1) == 'F') &
				        (octets)(*octets_at(p + at + 2) == 'r');
				lf -= ends;
				crlf -= ends & (octets)(*octets_at(p + at - 1) == '\r');
			}
			found = any(&from);
			if (found) {
				lf = before;
				crlf = crlf_before;
				break;
			}
		}
		*lines += sum(&lf);
		*with_cr += sum(&crlf);
	}
	return p;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static const unsigned char *pass_wide(
    const unsigned char *p, const unsigned char *end, size_t *lines, size_t *with_cr)
{
	return pass_blocks(p, end, lines, with_cr);
}
#endif

static const unsigned char *pass_lines(
    const unsigned char *p, const unsigned char *end, size_t *lines, size_t *with_cr)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return pass_wide(p, end, lines, with_cr);
#endif
	return pass_blocks(p, end, lines, with_cr);
}

/* Many lines at once, as far as they are not to be looked at one by one. */
static const unsigned char *many_lines(
    struct unix_scanned *m, struct text *t, const unsigned char *p, const unsigned char *end)
{
	size_t lines, with_cr;
	const unsigned char *stop = pass_lines(p, end, &lines, &with_cr), *lf;
	bool cr;

	if (stop == p)
		return p;
	m->octets += (uint64_t)(stop - p) + lines - with_cr;
	if (!t->begun)
		t->size = 0;
	if (lines == 0) {
		t->size += (uint64_t)(stop - p);
		t->empty = false;
	} else {
		lf = memrchr(p, '\n', (size_t)(stop - p));
		cr = lf[-1] == '\r';
		/* The one line that ends here may have begun before. */
		t->empty = lines > 1 ? lf[-1 - cr] == '\n' : t->size + (uint64_t)(lf - p) == cr;
		t->size = lf + 1 < stop ? (uint64_t)(stop - (lf + 1)) : t->size;
		if (lf + 1 == stop)
			t->size = 1u + cr; /* what matters only when it is empty */
	}
	t->begun = stop[-1] != '\n';
	t->empty = t->empty && !t->begun;
	t->last = stop[-1];
	m->ends_line = !t->begun;
	return stop;
}

/* As much of the text as the window holds, up to a line that may be a From line. */
static void window_text(struct unix_scanner *s, struct unix_scanned *m, struct text *t)
{
	const unsigned char *p = s->window + s->at, *end = s->window + s->fill;

	while (p < end) {
		const unsigned char *lf;
		bool cr;

		if (!t->begun && *p == 'F' && (end - p < 5 || memcmp(p, "From ", 5) == 0))
			break;
		if (p > s->window && (p = many_lines(m, t, p, end)) == end)
			break;
		if (!t->begun && *p == 'F' && (end - p < 5 || memcmp(p, "From ", 5) == 0))
			break;
		lf = memchr(p, '\n', (size_t)(end - p));
		if (!t->begun)
			t->size = 0;
		if (lf == NULL) {
			t->begun = true;
			t->empty = false;
			t->size += (uint64_t)(end - p);
			t->last = end[-1];
			m->octets += (uint64_t)(end - p);
			m->ends_line = false;
			p = end;
			break;
		}
		cr = lf > p ? lf[-1] == '\r' : t->begun && t->last == '\r';
		t->size += (uint64_t)(lf - p) + 1;
		t->empty = t->size == 1u + cr;
		t->begun = false;
		m->octets += (uint64_t)(lf - p) + 1 + !cr;
		m->ends_line = true;
		p = lf + 1;
	}
	s->at = (size_t)(p - s->window);
}

/* At a line that begins with "From ", or may: 1 it begins a message, 0 it is text (and was passed), or a
 * code. */
static int maybe_from(struct unix_scanner *s, struct unix_scanned *m, struct text *t)
{
	unsigned char head[UNIX_LINE_HEAD];
	struct line l;
	int r = need(s, 5);

	if (r < 0)
		return r;
	if ((r = next_line(s, &l, head)) < 0)
		return r;
	if (whole_line(&l) && unix_from_valid(l.text, l.text_size + l.cr)) {
		unix_scan_seek(s, l.offset);
		return 1;
	}
	t->begun = !l.lf;
	t->size = l.size;
	t->last = 0;
	t->empty = false;
	m->octets += l.size + (l.lf && !l.cr);
	m->ends_line = l.lf;
	return 0;
}

int unix_scan_next(struct unix_scanner *s, struct unix_scanned *m)
{
	struct text t = {.begun = false};
	int r = unix_scan_header(s, m);

	if (r <= 0)
		return r;
	for (;;) {
		if (s->at == s->fill) {
			uint64_t hole = t.begun ? skip_hole(s) : 0;
			t.size += hole;
			m->octets += hole;
			if ((r = more(s)) < 0)
				return r;
			if (r == 0)
				break;
		}
		window_text(s, m, &t);
		if (s->at == s->fill)
			continue;
		if ((r = maybe_from(s, m, &t)) < 0)
			return r;
		if (r == 1)
			break;
	}
	m->next = s->base + s->at;
	m->text_end = m->next;
	if (t.empty) {
		m->separated = true;
		m->text_end -= t.size;
		m->octets -= 2;
	}
	return 1;
}
