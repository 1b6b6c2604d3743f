/*
 * A record's first line:
 *
 *     " 5-Jan-2024 10:20:30 +0100,186;00000000001d-00000001" CRLF
 *
 * Date, size of the text, keywords (8 hex digits), flags (4), UID (8). The fields from the keywords on are
 * found from the line's end.
 */
#include "box.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DATE_SIZE 26u

static const char months[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

bool mbx_hex(const unsigned char *p, size_t size, uint64_t *out)
{
	uint64_t v = 0;

	for (size_t i = 0; i < size; i++) {
		unsigned c = p[i], digit;
		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			digit = (c | 32) - 'a' + 10;
		else
			return false;
		v = v << 4 | digit;
	}
	*out = v;
	return true;
}

static int number(const unsigned char *p, size_t size)
{
	int v = 0;

	for (size_t i = 0; i < size; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v;
}

/* Days since 1970 of a day in the Gregorian calendar (the year begins in March here). */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = month < 3 ? year - 1 : year, m = month < 3 ? month + 9 : month - 3;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static bool date_parse(const unsigned char *p, struct mbx_record *out)
{
	static const char shape[] = "dd-mmm-yyyy hh:mm:ss +zzzz";
	int day = p[0] == ' ' ? number(p + 1, 1) : number(p, 2), year = number(p + 7, 4), month = 0;
	int hour = number(p + 12, 2), minute = number(p + 15, 2), second = number(p + 18, 2);
	int zone_hour = number(p + 22, 2), zone_minute = number(p + 24, 2);

	for (size_t i = 0; i < DATE_SIZE; i++)
		if ((shape[i] == '-' || shape[i] == ' ' || shape[i] == ':') && p[i] != shape[i])
			return false;
	while (month < 12 && strncasecmp((const char *)p + 3, months[month], 3) != 0)
		month++;
	if (month == 12 || day < 1 || day > 31 || year < 1 || hour < 0 || hour > 23 || minute < 0 ||
	    minute > 59 || second < 0 || second > 60 || (p[21] != '+' && p[21] != '-') || zone_hour < 0 ||
	    zone_hour > 24 || zone_minute < 0 || zone_minute > 59)
		return false;
	out->zone = (int16_t)((zone_hour * 60 + zone_minute) * (p[21] == '-' ? -1 : 1));
	out->date = days_of(year, month + 1, day) * 86400 + hour * 3600 + minute * 60 + second -
	            (int64_t)out->zone * 60;
	return true;
}

int mbx_record_parse(const unsigned char *p, size_t size, struct mbx_record *out, unsigned *bad)
{
	size_t most = size < MBX_LINE_MAX ? size : MBX_LINE_MAX;
	const unsigned char *cr = most < DATE_SIZE ? NULL : memchr(p, '\r', most - 1);
	uint64_t keywords, flags, uid;
	unsigned line, at = DATE_SIZE + 1;

	if (!(*bad = 0, size >= DATE_SIZE) || !date_parse(p, out))
		return -1;
	*bad = DATE_SIZE;
	if (cr == NULL || cr[1] != '\n' || p[DATE_SIZE] != ',')
		return -1;
	line = (unsigned)(cr - p) + 2;
	*bad = line;
	if (line < DATE_SIZE + 1 + 1 + 1 + MBX_TAIL)
		return -1;
	for (out->size = 0; (*bad = at) < line - MBX_TAIL - 1; at++) {
		if (p[at] < '0' || p[at] > '9')
			return -1;
		out->size = out->size * 10 + (unsigned)(p[at] - '0'); /* 13 digits at most in such a line */
	}
	if (p[at++] != ';')
		return -1;
	if ((*bad = at, !mbx_hex(p + at, 8, &keywords)) || (*bad = at + 8, !mbx_hex(p + at + 8, 4, &flags)) ||
	    (*bad = at + 12, p[at + 12] != '-') || (*bad = at + 13, !mbx_hex(p + at + 13, 8, &uid)))
		return -1;
	out->keywords = (uint32_t)keywords;
	out->flags = (uint16_t)flags;
	out->uid = (uint32_t)uid;
	out->line = (uint8_t)line;
	return 0;
}

void mbx_record_print_tail(char out[MBX_LINE_MAX], const struct mbx_record *r)
{
	snprintf(out, MBX_LINE_MAX, "%08x%04x-%08x", r->keywords, r->flags, r->stored_uid);
}

size_t mbx_record_print(char out[MBX_LINE_MAX], const struct mbx_record *r)
{
	int zone = r->zone < 0 ? -r->zone : r->zone;
	int64_t local = r->date + (int64_t)r->zone * 60, days, rest, era, of_era, year, of_year, month;

	/* What the format can say: years of four digits, zones of two. */
	if (local < days_of(1, 1, 1) * 86400)
		local = days_of(1, 1, 1) * 86400;
	if (local >= days_of(10000, 1, 1) * 86400)
		local = days_of(10000, 1, 1) * 86400 - 1;
	days = local / 86400 - (local % 86400 < 0);
	rest = local - days * 86400;
	days += 719468;
	era = days / 146097;
	of_era = days - era * 146097;
	year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year = of_era - (365 * year + year / 4 - year / 100);
	month = (5 * of_year + 2) / 153;
	return (size_t)snprintf(out, MBX_LINE_MAX,
	    "%2u-%s-%04u %02u:%02u:%02u %c%02u%02u,%llu;%08x%04x-%08x\r\n",
	    (unsigned)(of_year - (153 * month + 2) / 5 + 1) % 100,
	    months[month < 10 ? month + 2 : month - 10], (unsigned)(year + era * 400 + (month >= 10)) % 10000,
	    (unsigned)(rest / 3600) % 100, (unsigned)(rest / 60 % 60), (unsigned)(rest % 60),
	    r->zone < 0 ? '-' : '+', (unsigned)(zone / 60) % 100, (unsigned)(zone % 60),
	    (unsigned long long)r->size % (MBX_SIZE_MAX + 1), r->keywords, r->flags, r->uid);
}

static const struct {
	uint16_t bit;
	uint32_t flag;
} flag_table[] = {{MBX_SEEN, MORTISE_FLAG_SEEN}, {MBX_DELETED, MORTISE_FLAG_DELETED},
    {MBX_FLAGGED, MORTISE_FLAG_FLAGGED}, {MBX_ANSWERED, MORTISE_FLAG_ANSWERED},
    {MBX_DRAFT, MORTISE_FLAG_DRAFT}};

uint16_t mbx_flags_of(uint32_t flags)
{
	uint16_t bits = 0;

	for (size_t i = 0; i < sizeof flag_table / sizeof *flag_table; i++)
		if (flags & flag_table[i].flag)
			bits |= flag_table[i].bit;
	return bits;
}

uint32_t mbx_flags_from(uint16_t bits)
{
	uint32_t flags = bits & MBX_OLD ? 0 : MORTISE_FLAG_RECENT;

	for (size_t i = 0; i < sizeof flag_table / sizeof *flag_table; i++)
		if (bits & flag_table[i].bit)
			flags |= flag_table[i].flag;
	return flags;
}
