#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <mortise/driver.h>

#include "from.h"

#define REST_SIZE 13 /* a space and twelve digits */
#define PSEUDO_SUBJECT "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA"

static const struct {
	const char *name;
	size_t size;
	enum unix_field field;
} fields[] = {
    {"X-IMAP:", 7, UNIX_FIELD_IMAP},
    {"X-IMAPbase:", 11, UNIX_FIELD_BASE},
    {"Status:", 7, UNIX_FIELD_STATUS},
    {"X-Status:", 9, UNIX_FIELD_XSTATUS},
    {"X-Keywords:", 11, UNIX_FIELD_KEYWORDS},
    {"X-UID:", 6, UNIX_FIELD_UID},
    {"X-Expunged:", 11, UNIX_FIELD_EXPUNGED},
};

enum unix_field unix_field_of(const unsigned char *line, size_t size)
{
	/* Nearly every header line ends here. */
	if (size < 6 || (line[0] != 'X' && line[0] != 'S'))
		return UNIX_FIELD_NONE;
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (size >= fields[i].size && memcmp(line, fields[i].name, fields[i].size) == 0)
			return fields[i].field;
	return UNIX_FIELD_NONE;
}

bool unix_field_may_follow(const unsigned char *line, size_t size)
{
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (size < fields[i].size && strncasecmp((const char *)line, fields[i].name, size) == 0)
			return true;
	return false;
}

bool unix_field_reserved(const unsigned char *line, size_t size)
{
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (size >= fields[i].size &&
		    strncasecmp((const char *)line, fields[i].name, fields[i].size) == 0)
			return true;
	return false;
}

static const struct {
	unsigned letter;
	uint32_t flag;
} letter_flags[] = {
    {UNIX_LETTER_R, MORTISE_FLAG_SEEN},
    {UNIX_LETTER_D, MORTISE_FLAG_DELETED},
    {UNIX_LETTER_F, MORTISE_FLAG_FLAGGED},
    {UNIX_LETTER_A, MORTISE_FLAG_ANSWERED},
    {UNIX_LETTER_T, MORTISE_FLAG_DRAFT},
};

uint32_t unix_flags_of_letters(unsigned letters)
{
	uint32_t flags = letters & UNIX_LETTER_O ? 0 : MORTISE_FLAG_RECENT;

	for (size_t i = 0; i < sizeof letter_flags / sizeof *letter_flags; i++)
		if (letters & letter_flags[i].letter)
			flags |= letter_flags[i].flag;
	return flags;
}

unsigned unix_letters_of_flags(uint32_t flags)
{
	unsigned letters = 0;

	for (size_t i = 0; i < sizeof letter_flags / sizeof *letter_flags; i++)
		if (flags & letter_flags[i].flag)
			letters |= letter_flags[i].letter;
	return letters;
}

const char *unix_next_word(const char **list, const char *end, size_t *size)
{
	const char *word = *list, *stop;

	while (word < end && *word == ' ')
		word++;
	if (word == end)
		return NULL;
	stop = memchr(word, ' ', (size_t)(end - word));
	*list = stop != NULL ? stop : end;
	*size = (size_t)(*list - word);
	return word;
}

bool unix_keyword_valid(const char *name, size_t size)
{
	if (size == 0 || size > UNIX_KEYWORD_SIZE)
		return false;
	for (size_t i = 0; i < size; i++)
		if (name[i] <= ' ' || name[i] >= 127 || strchr("(){%*\"\\]", name[i]) != NULL)
			return false;
	return true;
}

int unix_keyword_find(const struct unix_keywords *k, const char *name, size_t size)
{
	if (size > UNIX_KEYWORD_SIZE)
		return -1;
	for (size_t i = 0; i < k->count; i++)
		if (strncasecmp(k->names[i], name, size) == 0 && k->names[i][size] == '\0')
			return (int)i;
	return -1;
}

int unix_keyword_add(struct unix_keywords *k, const char *name, size_t size, size_t limit)
{
	int bit = unix_keyword_find(k, name, size);

	if (bit >= 0)
		return bit;
	if (!unix_keyword_valid(name, size) || k->count >= limit || k->count >= UNIX_KEYWORDS_MAX)
		return -1;
	memcpy(k->names[k->count], name, size);
	k->names[k->count][size] = '\0';
	return (int)k->count++;
}

/* A text that is put together in a fixed buffer; what does not fit makes it `full`. */
struct text {
	char *out;
	size_t size, limit;
	bool full;
};

static void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void text_add(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->out + t->size, t->limit - t->size, format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->limit - t->size) {
		t->full = true;
		return;
	}
	t->size += (size_t)n;
}

static void text_spaces(struct text *t, size_t n)
{
	if (n >= t->limit - t->size) {
		t->full = true;
		return;
	}
	memset(t->out + t->size, ' ', n);
	t->size += n;
}

/* `columns`: each letter has its place, so that one that comes or goes moves nothing. */
static void text_letters(
    struct text *t, const char *names, const unsigned *bits, unsigned letters, bool columns)
{
	for (; *names != '\0'; names++, bits++)
		if (letters & *bits)
			text_add(t, "%c", *names);
		else if (columns)
			text_add(t, " ");
}

uint32_t unix_gone_code(uint32_t uidvalidity, uint32_t uid)
{
	uint32_t h = uidvalidity;

	/* MurmurHash3's last step: every bit depends on every other. */
	h = (h ^ h >> 16) * 0x85ebca6bu;
	h = (h ^ h >> 13) * 0xc2b2ae35u;
	return (h ^ h >> 16) ^ uid;
}

/* How much room a block takes; the first one that fits is taken. */
enum tightness {
	IN_COLUMNS, /* each letter in its place */
	TIGHT,
	BARE, /* gone: without Status */
};

/* Everything before the padding. */
static void block_text(struct text *t, const struct unix_block *b, enum tightness tight)
{
	const bool columns = tight == IN_COLUMNS && !b->gone;
	const unsigned letters = b->letters | (b->gone ? UNIX_LETTER_O | UNIX_LETTER_D : 0);
	static const unsigned status[] = {UNIX_LETTER_R, UNIX_LETTER_O};
	static const unsigned xstatus[] = {UNIX_LETTER_D, UNIX_LETTER_F, UNIX_LETTER_A, UNIX_LETTER_T};

	if (b->base) {
		text_add(
		    t, columns ? "X-IMAPbase: %010u %010u" : "X-IMAPbase: %u %u", b->uidvalidity, b->uidlast);
		for (size_t i = 0; i < b->table->count; i++)
			text_add(t, " %s", b->table->names[i]);
		text_add(t, "\n");
	}
	if (tight != BARE) {
		text_add(t, "Status: ");
		text_letters(t, "RO", status, letters, columns);
		text_add(t, "\n");
	}
	text_add(t, "X-Status: ");
	text_letters(t, "DFAT", xstatus, letters, columns);
	if (b->base && b->token != 0)
		text_add(t, " %06u", b->token);
	if (b->mark != 0)
		text_add(t, " %010u", b->mark);
	if (b->rest != 0)
		text_add(t, " %012llu", (unsigned long long)b->rest);
	if (b->gone) {
		text_add(t, "\nX-Expunged: %08x", unix_gone_code(b->uidvalidity, b->uid));
		return;
	}
	text_add(t, "\nX-Keywords:");
	for (size_t i = 0; i < b->table->count; i++)
		if (b->keywords >> i & 1)
			text_add(t, " %s", b->table->names[i]);
}

size_t unix_block_write(char *out, struct unix_block *b, size_t want)
{
	char uid[32];
	/* The digits of the rest come on top, so that there is room when they are dropped. */
	const size_t unit = b->base ? 80 : 50, extra = b->rest != 0 ? REST_SIZE : 0;
	int uid_size = b->uid != 0 ? snprintf(uid, sizeof uid, "\nX-UID: %u\n", b->uid)
	                           : snprintf(uid, sizeof uid, "\n");

	for (enum tightness tight = IN_COLUMNS;;) {
		struct text t = {.out = out, .limit = UNIX_BLOCK_MAX};
		size_t pad;

		block_text(&t, b, tight);
		if (want == 0)
			pad = (unit - (t.size - extra) % unit) % unit;
		else if (t.size + (size_t)uid_size <= want)
			pad = want - (size_t)uid_size - t.size;
		else if (tight < (b->gone ? BARE : TIGHT)) {
			tight++;
			continue;
		} else if (b->base && b->token != 0) {
			b->token = 0;
			tight = IN_COLUMNS;
			continue;
		} else
			return 0;
		text_spaces(&t, pad);
		text_add(&t, "%s", uid);
		return t.full ? 0 : t.size;
	}
}

/* The line that begins with `name`, its LF left out; NULL: there is none. */
static char *line_of(char *block, size_t size, const char *name, size_t *length)
{
	size_t n = strlen(name);

	for (char *p = block, *lf; (lf = memchr(p, '\n', size - (size_t)(p - block))) != NULL; p = lf + 1)
		if ((size_t)(lf - p) >= n && memcmp(p, name, n) == 0) {
			*length = (size_t)(lf - p);
			return p;
		}
	return NULL;
}

bool unix_block_gone(char *block, size_t size, uint32_t code, unsigned way)
{
	char text[sizeof "X-Expunged: 00000000"];
	size_t n = sizeof text - 1, status, xstatus, keywords, room;
	char *s = line_of(block, size, "Status:", &status);
	char *x = line_of(block, size, "X-Status:", &xstatus);
	char *k = line_of(block, size, "X-Keywords:", &keywords), *at;
	/* Digits behind the letters that are not the rest: the mark, the token. */
	bool digits = false;

	if (way >= UNIX_GONE_WAYS || s == NULL || x != s + status + 1 || k != x + xstatus + 1)
		return false;
	for (char *p = x, *stop; p < x + xstatus; p = stop) {
		p += strspn(p, " ");
		stop = p + strcspn(p, " \n");
		digits = digits || (*p >= '0' && *p <= '9' && stop - p != REST_SIZE - 1);
		stop += stop == p;
	}
	at = way == 0 ? k : way == 1 ? s : x;
	room = way == 0 ? keywords : way == 1 ? status + 1 + xstatus : xstatus;
	if (room < n || (way > 0 && digits))
		return false;
	snprintf(text, sizeof text, "X-Expunged: %08x", code);
	memcpy(at, text, n);
	memset(at + n, ' ', room - n);
	return true;
}

size_t unix_pseudo_fields(char *out, struct unix_block *b, size_t want)
{
	struct text t = {.out = out, .limit = UNIX_BLOCK_MAX};
	char status[64];
	int tail;

	text_add(&t, "X-IMAP: %010u %010u", b->uidvalidity, b->uidlast);
	for (size_t i = 0; i < b->table->count; i++)
		text_add(&t, " %s", b->table->names[i]);
	for (;;) {
		char token[16] = "", mark[16] = "";

		if (b->token != 0)
			snprintf(token, sizeof token, " %06u", b->token);
		if (b->mark != 0)
			snprintf(mark, sizeof mark, " %010u", b->mark);
		tail = snprintf(status, sizeof status, "\nStatus: RO%s%s\n", token, mark);
		if (want == 0 || t.size + (size_t)tail <= want)
			break;
		if (b->token == 0)
			return 0;
		b->token = 0;
	}
	if (want != 0)
		text_spaces(&t, want - (size_t)tail - t.size);
	text_add(&t, "%s", status);
	return t.full ? 0 : t.size;
}

size_t unix_pseudo_write(char *out, struct unix_block *b, int64_t now)
{
	struct text t = {.out = out, .limit = UNIX_BLOCK_MAX};
	char host[128] = "localhost", date[64] = "";
	char fields_text[UNIX_BLOCK_MAX];
	size_t size;
	struct tm tm;
	time_t when = (time_t)now;

	if (gethostname(host, sizeof host - 1) != 0)
		memcpy(host, "localhost", sizeof "localhost");
	host[sizeof host - 1] = '\0';
	localtime_r(&when, &tm);
	strftime(date, sizeof date, "%d %b %Y %H:%M:%S %z", &tm);
	t.size = unix_from_write_ctime(out, "MAILER-DAEMON", now);
	size = unix_pseudo_fields(fields_text, b, 0);
	if (b->table->count > 0 && size > 0)
		size = unix_pseudo_fields(fields_text, b, size + UNIX_PSEUDO_SLACK);
	if (size == 0)
		return 0;
	text_add(&t,
	    "Date: %s\n"
	    "From: Mail System Internal Data <MAILER-DAEMON@%s>\n"
	    "Subject: " PSEUDO_SUBJECT "\n"
	    "Message-ID: <%lld@%s>\n"
	    "%s\n"
	    "This is the mailbox's own record, not a message. It holds the numbers and names that\n"
	    "keep its messages known to mail programs. Programs that know it do not show it; if\n"
	    "yours does, leave it where it is. Deleting it loses no mail, but every program will\n"
	    "have to learn the mailbox anew.\n\n",
	    date, host, (long long)now, host, fields_text);
	return t.full ? 0 : t.size;
}
