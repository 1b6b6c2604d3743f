#include <string.h>
#include <time.h>

#include "base/object.h"
#include "base/str.h"
#include "log/log.h"
#include "log/log_record.h"
#include "base/banned.h"

/* A bounded output that is cut, never overrun. */
struct out {
	char *p;
	size_t n, room; /* room leaves one octet for the NUL */
};

static void put(struct out *o, const char *p, size_t n)
{
	if (n > o->room - o->n)
		n = o->room - o->n;
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

static void puts_(struct out *o, const char *s)
{
	put(o, s, strlen(s));
}

static void putu(struct out *o, uint64_t v, unsigned width)
{
	char digits[24];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0 || sizeof(digits) - i < width);
	put(o, digits + i, sizeof(digits) - i);
}

/* Octets of the character at the head of s if it is safe to print, or 0. */
static size_t printable(struct str s)
{
	uint32_t c = 0;
	size_t n = str_utf8(s, &c);

	if (c < ' ' || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) ||
	    (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff)
		return 0;
	return n;
}

static void put_escaped(struct out *o, const char *in, size_t n, char quote)
{
	static const char digits[] = "0123456789abcdef";
	size_t i = 0;

	while (i < n) {
		unsigned char c = (unsigned char)in[i];
		size_t k = printable(str_mem(in + i, n - i));

		if (k != 0 && (quote == '\0' || c != (unsigned char)quote)) {
			if (k > o->room - o->n) /* never half a character */
				return;
			put(o, in + i, k);
			i += k;
		} else {
			char x[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};

			if (sizeof(x) > o->room - o->n)
				return;
			put(o, x, sizeof(x));
			i++;
		}
	}
}

size_t log_escape(char *out, size_t room, const char *in, size_t n)
{
	struct out o = {out, 0, room - 1};

	ASSERT(room > 0);
	put_escaped(&o, in, n, '\0');
	out[o.n] = '\0';
	return o.n;
}

const char *log_level_name(int level)
{
	return level <= LOG_LEVEL_ERROR  ? "error"
	       : level <= LOG_LEVEL_WARN ? "warning"
	       : level <= LOG_LEVEL_INFO ? "info"
	                                 : "debug";
}

static void put_field(struct out *o, const char *s, size_t limit)
{
	put(o, s, strnlen(s, limit));
	put(o, "", 1);
}

size_t log_record_encode(const struct log_record *r, char *out, size_t room)
{
	struct out o = {out, 0, room};

	put_field(&o, "1", 1);
	putu(&o, (uint64_t)r->level, 1);
	put(&o, "", 1);
	putu(&o, (uint64_t)r->number, 1);
	put(&o, "", 1);
	putu(&o, (uint64_t)r->time, 1);
	put(&o, "", 1);
	putu(&o, r->pid, 1);
	put(&o, "", 1);
	put_field(&o, r->role, LOG_FIELD_MAX);
	put_field(&o, r->session, LOG_FIELD_MAX);
	put_field(&o, r->user, LOG_FIELD_MAX);
	put_field(&o, r->mailbox, LOG_FIELD_MAX);
	put_field(&o, r->module, LOG_FIELD_MAX);
	put_field(&o, r->text, LOG_TEXT_MAX);
	return o.n;
}

/* The next field, or NULL when there is none or it is longer than limit. */
static const char *get_field(struct str *rest, size_t limit)
{
	size_t i = str_find(*rest, '\0');
	const char *p = rest->p;

	if (i == rest->n || i > limit)
		return NULL;
	*rest = str_from(*rest, i + 1);
	return p;
}

static bool get_number(struct str *rest, uint64_t max, uint64_t *v)
{
	const char *p = get_field(rest, 20);

	return p != NULL && str_u64(str_of(p), v) && *v <= max;
}

bool log_record_decode(struct log_record *r, const char *datagram, size_t n)
{
	struct str rest = {datagram, n};
	const char *version = get_field(&rest, 1);
	uint64_t level, number, when, pid;

	if (version == NULL || version[0] != '1' || version[1] != '\0')
		return false;
	if (!get_number(&rest, LOG_LEVEL_DEBUG, &level) || !get_number(&rest, 9999, &number) ||
	    !get_number(&rest, (uint64_t)1 << 52, &when) || !get_number(&rest, UINT32_MAX, &pid))
		return false;
	*r = (struct log_record){
	    .level = (int)level, .number = (int)number, .time = (int64_t)when, .pid = (uint32_t)pid};
	r->role = get_field(&rest, LOG_FIELD_MAX);
	r->session = get_field(&rest, LOG_FIELD_MAX);
	r->user = get_field(&rest, LOG_FIELD_MAX);
	r->mailbox = get_field(&rest, LOG_FIELD_MAX);
	r->module = get_field(&rest, LOG_FIELD_MAX);
	r->text = get_field(&rest, LOG_TEXT_MAX);
	return r->role != NULL && r->session != NULL && r->user != NULL && r->mailbox != NULL &&
	       r->module != NULL && r->text != NULL && rest.n == 0;
}

static void put_time(struct out *o, int64_t when)
{
	time_t t = (time_t)(when / 1000);
	struct tm tm;
	long zone;

	if (localtime_r(&t, &tm) == NULL)
		return;
	zone = tm.tm_gmtoff / 60;
	putu(o, (uint64_t)(tm.tm_year + 1900), 4);
	puts_(o, "-");
	putu(o, (uint64_t)(tm.tm_mon + 1), 2);
	puts_(o, "-");
	putu(o, (uint64_t)tm.tm_mday, 2);
	puts_(o, "T");
	putu(o, (uint64_t)tm.tm_hour, 2);
	puts_(o, ":");
	putu(o, (uint64_t)tm.tm_min, 2);
	puts_(o, ":");
	putu(o, (uint64_t)tm.tm_sec, 2);
	puts_(o, ".");
	putu(o, (uint64_t)(when % 1000), 3);
	puts_(o, zone < 0 ? "-" : "+");
	zone = zone < 0 ? -zone : zone;
	putu(o, (uint64_t)(zone / 60), 2);
	puts_(o, ":");
	putu(o, (uint64_t)(zone % 60), 2);
}

static bool put_part(struct out *o, const char *name, const char *value, bool first)
{
	if (value[0] == '\0')
		return first;
	puts_(o, first ? " " : ", ");
	puts_(o, name);
	puts_(o, " \"");
	put_escaped(o, value, strnlen(value, LOG_FIELD_MAX), '"');
	puts_(o, "\"");
	return false;
}

/* "MRT-0213 ", or a module's own "UNIX-017 " from the head of its text; octets of the text thereby used. */
static size_t put_number(struct out *o, const struct log_record *r)
{
	const char *t = r->text;
	size_t n = 1;

	if (r->number != 0) {
		puts_(o, "MRT-");
		putu(o, (uint64_t)r->number, 4);
		puts_(o, " ");
		return 0;
	}
	if (r->module[0] == '\0' || t[0] != '[')
		return 0;
	while ((t[n] >= 'A' && t[n] <= 'Z') || ascii_digit(t[n]) || t[n] == '-')
		n++;
	if (n < 2 || n > 32 || t[n] != ']' || t[n + 1] != ' ')
		return 0;
	put(o, t + 1, n - 1);
	puts_(o, " ");
	return n + 2;
}

size_t log_record_line(
    const struct log_record *r, enum log_line_style style, const char *host, char *out, size_t room)
{
	struct out o = {out, 0, room - 2};
	bool first = true;
	size_t skip;

	ASSERT(room > 2);
	if (style == LOG_LINE_FULL) {
		put_time(&o, r->time);
		puts_(&o, " ");
		put_escaped(&o, host, strlen(host), '\0');
		puts_(&o, " ");
	}
	if (style != LOG_LINE_TEXT) {
		put_escaped(&o, r->role, strnlen(r->role, LOG_FIELD_MAX), '\0');
		puts_(&o, "[");
		putu(&o, r->pid, 1);
		puts_(&o, "]:");
	}
	first = put_part(&o, "session", r->session, first);
	first = put_part(&o, "user", r->user, first);
	first = put_part(&o, "mailbox", r->mailbox, first);
	first = put_part(&o, "module", r->module, first);
	puts_(&o, first ? " " : ": ");
	skip = put_number(&o, r);
	puts_(&o, log_level_name(r->level));
	puts_(&o, ": ");
	put_escaped(&o, r->text + skip, strnlen(r->text + skip, LOG_TEXT_MAX), '\0');
	if (style == LOG_LINE_TEXT && out[0] == ' ') {
		memmove(out, out + 1, o.n - 1);
		o.n--;
	}
	out[o.n] = '\n';
	out[o.n + 1] = '\0';
	return o.n + 1;
}
