#include "from.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define REMOTE " remote from "

static const char month_names[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

/* Zone names that mean one thing. Others stand for local time. */
static const struct {
	char name[4];
	int minutes;
} zone_names[] = {
    {"UTC", 0},
    {"GMT", 0},
    {"WET", 0},
    {"BST", 60},
    {"CET", 60},
    {"MET", 60},
    {"EET", 120},
    {"JST", 540},
    {"EDT", -240},
    {"EST", -300},
    {"CDT", -300},
    {"CST", -360},
    {"MDT", -360},
    {"MST", -420},
    {"PDT", -420},
    {"PST", -480},
};

/* Where the pieces are, as offsets into the line. */
struct shape {
	size_t date; /* weekday */
	size_t time; /* hh */
	bool seconds;
	size_t year;
	size_t zone; /* 0: none */
	size_t zone_size;
};

static bool sign(unsigned char c)
{
	return c == '+' || c == '-';
}

/* " remote from WORD" is cut off a line that is long enough to have it. */
static size_t without_remote(const unsigned char *line, size_t size)
{
	const size_t mark = sizeof REMOTE - 1;
	size_t space = size;

	if (size < 41)
		return size;
	while (space > 0 && line[space - 1] != ' ')
		space--;
	if (space < mark + 5 || memcmp(line + space - mark, REMOTE, mark) != 0)
		return size;
	return space - mark;
}

/* What follows the time: the offset of the space behind it, or 0. */
static size_t tail_shape(const unsigned char *line, size_t n, struct shape *s)
{
	s->zone = s->zone_size = 0;
	s->year = n - 4;
	if (line[n - 5] == ' ') {
		if (line[n - 8] == ':')
			return n - 5;
		if (line[n - 9] == ' ') {
			s->zone = n - 8;
			s->zone_size = 3;
			return n - 9;
		}
		if (line[n - 11] == ' ' && sign(line[n - 10])) {
			s->zone = n - 10;
			s->zone_size = 5;
			return n - 11;
		}
		return 0;
	}
	if (line[n - 4] == ' ' && line[n - 9] == ' ') {
		s->year = n - 8;
		s->zone = n - 3;
		s->zone_size = 3;
		return n - 9;
	}
	if (line[n - 6] == ' ' && line[n - 11] == ' ' && sign(line[n - 5])) {
		s->year = n - 10;
		s->zone = n - 5;
		s->zone_size = 5;
		return n - 11;
	}
	return 0;
}

static bool from_shape(const unsigned char *line, size_t size, struct shape *s)
{
	size_t end, before;

	if (size > 0 && line[size - 1] == '\r')
		size--;
	if (size < 5 || size > UNIX_FROM_MAX || memcmp(line, "From ", 5) != 0)
		return false;
	size = without_remote(line, size);
	if (size < 27)
		return false;
	end = tail_shape(line, size, s);
	if (end < 5 + 9 || line[end - 3] != ':')
		return false;
	s->seconds = line[end - 6] == ':';
	before = end - (s->seconds ? 9 : 6);
	/* The space that "From " ends with may be the one before the weekday: an empty sender. */
	if (before < 4 + 11)
		return false;
	if (line[before] != ' ' || line[before - 3] != ' ' || line[before - 7] != ' ' ||
	    line[before - 11] != ' ')
		return false;
	s->time = before + 1;
	s->date = before - 10;
	return true;
}

bool unix_from_valid(const unsigned char *line, size_t size)
{
	struct shape s;

	return from_shape(line, size, &s);
}

/* Decimal digits only; a leading space counts as 0 where `padded`. */
static int number(const unsigned char *p, size_t n, bool padded)
{
	int value = 0;

	for (size_t i = 0; i < n; i++) {
		if (padded && i == 0 && p[i] == ' ')
			continue;
		if (p[i] < '0' || p[i] > '9')
			return -1;
		value = value * 10 + (p[i] - '0');
	}
	return value;
}

/* Minutes east of UTC; false: local time. */
static bool zone_minutes(const unsigned char *p, size_t n, int *minutes)
{
	if (n == 5) {
		int h = number(p + 1, 2, false), m = number(p + 3, 2, false);
		if (h < 0 || h > 24 || m < 0 || m > 59)
			return false;
		*minutes = (h * 60 + m) * (p[0] == '-' ? -1 : 1);
		return true;
	}
	for (size_t i = 0; n == 3 && i < sizeof zone_names / sizeof *zone_names; i++)
		if (strncasecmp((const char *)p, zone_names[i].name, 3) == 0) {
			*minutes = zone_names[i].minutes;
			return true;
		}
	return false;
}

/* As mktime, which asks the file system for the time zone at every call. */
static time_t local_time(struct tm *tm, int *minutes)
{
	time_t utc = timegm(tm), when = utc;
	struct tm local;

	/* The second time with the offset of the right side of a change of summer time. */
	for (int i = 0; i < 2; i++) {
		localtime_r(&when, &local);
		when = utc - local.tm_gmtoff;
	}
	*minutes = (int)(local.tm_gmtoff / 60);
	return when;
}

static bool from_date(const unsigned char *line, const struct shape *s, struct unix_from *from)
{
	struct tm tm = {.tm_isdst = 0};
	const unsigned char *t = line + s->time;
	int minutes = 0, month = 0;
	time_t when;

	while (month < 12 && strncasecmp((const char *)line + s->date + 4, month_names[month], 3) != 0)
		month++;
	tm.tm_mon = month;
	tm.tm_mday = number(line + s->date + 8, 2, true);
	tm.tm_hour = number(t, 2, true);
	tm.tm_min = number(t + 3, 2, false);
	tm.tm_sec = s->seconds ? number(t + 6, 2, false) : 0;
	tm.tm_year = number(line + s->year, 4, false) - 1900;
	if (month == 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_hour > 23 ||
	    tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60 || tm.tm_year < 70)
		return false;
	if (s->zone != 0 && zone_minutes(line + s->zone, s->zone_size, &minutes)) {
		when = timegm(&tm) - (time_t)minutes * 60;
	} else {
		when = local_time(&tm, &minutes);
	}
	from->time = when;
	from->zone = minutes;
	return true;
}

bool unix_from_parse(const unsigned char *line, size_t size, struct unix_from *from)
{
	struct shape s;

	memset(from, 0, sizeof *from);
	if (!from_shape(line, size, &s))
		return false;
	from->date = s.date;
	from->date_valid = from_date(line, &s, from);
	return true;
}

/* The sender must not be able to end the line or to look like a date. */
static void clean_sender(char *out, size_t size, const char *sender)
{
	size_t n = 0;

	for (; *sender != '\0' && n + 1 < size; sender++)
		if (*sender > ' ' && *sender < 127)
			out[n++] = *sender;
	if (n == 0)
		out[n++] = '-';
	out[n] = '\0';
}

/* Years 1970 to 9999, which is what the line has columns for. */
static int64_t clamp(int64_t time)
{
	const int64_t latest = INT64_C(253402214400);

	return time < 0 ? 0 : time > latest ? latest : time;
}

size_t unix_from_write(char *out, const char *sender, int64_t time, int32_t zone)
{
	char who[256];
	struct tm tm;
	time_t local;

	if (zone < -24 * 60 || zone > 24 * 60)
		zone = 0;
	local = (time_t)clamp(clamp(time) + (int64_t)zone * 60);
	clean_sender(who, sizeof who, sender);
	gmtime_r(&local, &tm);
	return (size_t)snprintf(out, UNIX_FROM_WRITE_MAX, "From %s %s %s %2d %02d:%02d:%02d %4d %c%02d%02d\n",
	    who, day_names[tm.tm_wday], month_names[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
	    tm.tm_year + 1900, zone < 0 ? '-' : '+', (zone < 0 ? -zone : zone) / 60,
	    (zone < 0 ? -zone : zone) % 60);
}

size_t unix_from_write_ctime(char *out, const char *sender, int64_t time)
{
	char who[256];
	struct tm tm;
	time_t t = (time_t)clamp(time);

	clean_sender(who, sizeof who, sender);
	localtime_r(&t, &tm);
	return (size_t)snprintf(out, UNIX_FROM_WRITE_MAX, "From %s %s %s %2d %02d:%02d:%02d %4d\n", who,
	    day_names[tm.tm_wday], month_names[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
	    tm.tm_year + 1900);
}
