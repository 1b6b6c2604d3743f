#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "log/log_int.h"
#include "base/banned.h"

struct log_state log_state = {.role = "mortise", .socket = -1, .least = LOG_LEVEL_INFO};

/* What was said and left out in the current second, by message number; the last slots are for modules. */
#define LIMITED 1024u
#define LIMITED_CORE 1000u
static struct limited {
	uint64_t second;
	uint32_t said, left_out;
} limited[LIMITED];
static uint32_t left_out_numbers; /* how many of them have left_out != 0 */

static enum log_level level_of(int id)
{
	switch (id) {
#define MSG(number, level, name, help) \
	case number:                   \
		return level;
#include "log/messages.def"
#undef MSG
	default:
		return LOG_LEVEL_ERROR;
	}
}

const char *log_help(enum log_id id)
{
	switch ((int)id) {
#define MSG(number, level, name, help) \
	case number:                   \
		return help;
#include "log/messages.def"
#undef MSG
	default:
		return "";
	}
}

/* Makes a value of the prefix: escaped, cut. */
static void keep(char *to, size_t room, const char *value)
{
	log_escape(to, room, value != NULL ? value : "", value != NULL ? strlen(value) : 0);
}

static void log_assert(const char *text)
{
	if (log_state.socket >= 0) /* otherwise assert_failed's own line is on standard error already */
		log_msg(MSG_ASSERT, "%s", text);
}

void log_start(const char *role)
{
	log_state.role = role;
	if (gethostname(log_state.host, sizeof(log_state.host) - 1) != 0)
		snprintf(log_state.host, sizeof(log_state.host), "localhost");
	log_state.host[strcspn(log_state.host, ".")] = '\0';
	tzset(); /* reads the zone's file now: later there may be no files */
	assert_hook = log_assert;
}

void log_use_socket(int fd)
{
	log_state.socket = fd;
}

void log_set_level(enum log_level least)
{
	log_state.least = least;
}

void log_set_debug(const char *areas)
{
	struct str rest = str_of(areas != NULL ? areas : "");
	size_t n = 1;

	log_state.debug[0] = ',';
	while (rest.p != NULL) {
		struct str one = str_trim(str_cut(&rest, ','));

		if (one.n == 0 || one.n > sizeof(log_state.debug) - n - 2)
			continue;
		memcpy(log_state.debug + n, one.p, one.n);
		n += one.n;
		log_state.debug[n++] = ',';
	}
	log_state.debug[n > 1 ? n : 0] = '\0';
}

bool log_debugging(const char *area)
{
	struct str list = str_of(log_state.debug);

	if (list.n == 0)
		return false;
	list = str_from(list, 1);
	while (list.n != 0) {
		struct str one = str_cut(&list, ',');

		if (str_eqc(one, area) || str_eqc(one, "all"))
			return true;
	}
	return false;
}

void log_set_session(const char *session)
{
	keep(log_state.session, sizeof(log_state.session), session);
}

void log_set_user(const char *user)
{
	keep(log_state.user, sizeof(log_state.user), user);
}

void log_set_mailbox(const char *mailbox)
{
	keep(log_state.mailbox, sizeof(log_state.mailbox), mailbox);
}

int64_t log_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool log_emit(const struct log_record *r)
{
	char out[LOG_RECORD_MAX];
	size_t n;

	if (log_state.socket < 0) {
		/* A crash may be in localtime itself, which has a lock, so its line has no time. */
		n = log_record_line(r, r->number == MSG_CRASH ? LOG_LINE_BARE : LOG_LINE_FULL, log_state.host,
		    out, sizeof(out));
		(void)io_write(STDERR_FILENO, out, n); /* there is nowhere to complain to */
		return true;
	}
	n = log_record_encode(r, out, sizeof(out));
	for (;;) {
		if (send(log_state.socket, out, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return true;
		if (errno != EINTR)
			return false;
	}
}

void log_fill(struct log_record *r, int level, int number, const char *text)
{
	*r = (struct log_record){.level = level,
	    .number = number,
	    .time = log_now(),
	    .pid = (uint32_t)getpid(),
	    .role = log_state.role,
	    .session = log_state.session,
	    .user = log_state.user,
	    .mailbox = log_state.mailbox,
	    .module = "",
	    .text = text};
}

/* A line about the log itself: no prefix, no limit. */
static bool note(int number, const char *text)
{
	struct log_record r;

	log_fill(&r, level_of(number), number, text);
	r.session = r.user = r.mailbox = r.module = "";
	return log_emit(&r);
}

static void send_record(const struct log_record *r)
{
	if (log_state.dropped != 0) {
		char text[80];

		snprintf(text, sizeof(text), "%llu lines were dropped: the log was not read fast enough",
		    (unsigned long long)log_state.dropped);
		if (!note(MSG_LOG_DROPPED, text)) {
			log_state.dropped++;
			return;
		}
		log_state.dropped = 0;
	}
	if (!log_emit(r))
		log_state.dropped++;
}

static void report_left_out(uint64_t second)
{
	size_t i;

	for (i = 0; left_out_numbers != 0 && i < LIMITED; i++) {
		struct limited *l = &limited[i];
		char text[80];

		if (l->left_out == 0 || l->second == second)
			continue;
		if (i < LIMITED_CORE)
			snprintf(text, sizeof(text), "%u more like MRT-%04zu were left out", l->left_out, i);
		else
			snprintf(text, sizeof(text), "%u more lines of modules were left out", l->left_out);
		l->left_out = 0;
		left_out_numbers--;
		note(MSG_LOG_LEFT_OUT, text);
	}
}

/* Whether one more line of this number may be written now. Module lines share slots by a hash. */
static bool within_rate(size_t slot)
{
	uint64_t second = clock_ms() / 1000;
	struct limited *l = &limited[slot % LIMITED];

	if (left_out_numbers != 0)
		report_left_out(second);
	if (l->second != second) {
		l->second = second;
		l->said = 0;
	}
	if (l->said < LOG_RATE) {
		l->said++;
		return true;
	}
	if (l->left_out++ == 0)
		left_out_numbers++;
	return false;
}

static void format_text(char *out, size_t room, const char *format, va_list ap) PRINTF_LIKE(3, 0);
static void format_text(char *out, size_t room, const char *format, va_list ap)
{
	char raw[LOG_TEXT_MAX];
	int n = vsnprintf(raw, sizeof(raw), format, ap);

	log_escape(out, room, raw, n < 0 ? 0 : (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1);
}

void log_vmsg(enum log_id id, const char *format, va_list ap)
{
	int saved = errno;
	char text[LOG_TEXT_MAX];
	struct log_record r;

	if (level_of((int)id) <= log_state.least && within_rate((size_t)id)) {
		errno = saved;
		format_text(text, sizeof(text), format, ap);
		log_fill(&r, level_of((int)id), (int)id, text);
		send_record(&r);
	}
	errno = saved;
}

void log_msg(enum log_id id, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_vmsg(id, format, ap);
	va_end(ap);
}

static const char *code_name(int code)
{
	static const struct {
		int code;
		const char *name;
	} names[] = {{MORTISE_E_NOTFOUND, "NOTFOUND"}, {MORTISE_E_EXISTS, "EXISTS"},
	    {MORTISE_E_NOTEMPTY, "NOTEMPTY"}, {MORTISE_E_PERM, "PERM"}, {MORTISE_E_QUOTA, "QUOTA"},
	    {MORTISE_E_INUSE, "INUSE"}, {MORTISE_E_EXPUNGED, "EXPUNGED"}, {MORTISE_E_CORRUPT, "CORRUPT"},
	    {MORTISE_E_LIMIT, "LIMIT"}, {MORTISE_E_TOOBIG, "TOOBIG"}, {MORTISE_E_UNSUPPORTED, "UNSUPPORTED"},
	    {MORTISE_E_INVALID, "INVALID"}, {MORTISE_E_TEMP, "TEMP"}, {MORTISE_E_UNAVAILABLE, "UNAVAILABLE"},
	    {MORTISE_E_CANCELLED, "CANCELLED"}, {MORTISE_E_IO, "IO"}};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].code == code)
			return names[i].name;
	return "INTERNAL";
}

void log_err(enum log_id id, const struct err *e, const char *doing)
{
	log_msg(id, "%s: %s (%s)", doing, e->admin[0] != '\0' ? e->admin : mortise_error_text(e->code),
	    code_name(e->code));
}

void log_debug(const char *area, const char *format, ...)
{
	int saved = errno;
	char text[LOG_TEXT_MAX];
	struct log_record r;
	va_list ap;
	size_t n;

	if (!log_debugging(area))
		return;
	n = log_escape(text, sizeof(text) / 2, area, strlen(area));
	text[n++] = ':';
	text[n++] = ' ';
	errno = saved;
	va_start(ap, format);
	format_text(text + n, sizeof(text) - n, format, ap);
	va_end(ap);
	log_fill(&r, LOG_LEVEL_DEBUG, 0, text);
	send_record(&r);
	errno = saved;
}

void log_module(const char *instance, int level, const char *format, va_list ap)
{
	int saved = errno;
	char text[LOG_TEXT_MAX], name[64];
	struct log_record r;
	struct str number;

	if (level >= LOG_LEVEL_DEBUG ? !log_debugging(instance) : level > (int)log_state.least)
		return;
	format_text(text, sizeof(text), format, ap);
	/* "[UNIX-017] text": that number is limited by itself; others by instance and level. */
	number = str_of(text);
	number = number.n != 0 && number.p[0] == '[' ? str_sub(number, 0, str_find(number, ']'))
	                                             : str_of(instance);
	if (level < LOG_LEVEL_DEBUG &&
	    !within_rate((size_t)str_hash(number) % (LIMITED - LIMITED_CORE) + LIMITED_CORE)) {
		errno = saved;
		return;
	}
	keep(name, sizeof(name), instance);
	log_fill(&r, level, 0, text);
	r.module = name;
	send_record(&r);
	errno = saved;
}
