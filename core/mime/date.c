/*
 * Dates. IMAP's own forms are read strictly; a Date header is read as leniently as a person would: RFC 5322
 * with its obsolete syntax, ctime and From-line order, ISO 8601, and the forms that old mailers wrote
 * (mm/dd/yy, dd-Mon-yy).
 */
#include "mime/mime.h"

#include "base/object.h"
#include "base/banned.h"

#define LOOKED_AT 160u /* octets of a Date header without comments; a longer one is no date */

static const char month_names[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct moment {
	int year, month, day; /* month 1…12 */
	int hour, minute, second;
	int zone; /* minutes east */
};

/* Days since 1970-01-01 of a date in the Gregorian calendar, extended to all years. */
static int64_t days_of(int64_t year, int month, int day)
{
	int64_t era, of_era, of_year;

	year -= month <= 2;
	era = (year >= 0 ? year : year - 399) / 400;
	of_era = year - era * 400;
	of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, struct moment *m)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, of_era = z - era * 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100), shifted = (5 * of_year + 2) / 153;

	m->day = (int)(of_year - (153 * shifted + 2) / 5 + 1);
	m->month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
	m->year = (int)(year + era * 400 + (m->month <= 2));
}

static int days_in(int year, int month)
{
	static const char lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return lengths[month - 1] + (month == 2 && leap);
}

static bool is_moment(const struct moment *m)
{
	return m->year >= 1 && m->year <= 9999 && m->month >= 1 && m->month <= 12 && m->day >= 1 &&
	       m->day <= days_in(m->year, m->month) && m->hour >= 0 && m->hour <= 23 && m->minute >= 0 &&
	       m->minute <= 59 && m->second >= 0 && m->second <= 60;
}

static int64_t seconds_of(const struct moment *m)
{
	return days_of(m->year, m->month, m->day) * 86400 + m->hour * 3600 + m->minute * 60 + m->second -
	       m->zone * 60;
}

static int month_of(struct str s)
{
	int i;

	for (i = 0; i < 12; i++)
		if (str_ieqc(s, month_names[i]))
			return i + 1;
	return 0;
}

/* ---- IMAP forms ---- */

/* Exactly n digits at s->p. */
static bool take_digits(struct str *s, size_t n, int *out)
{
	uint32_t v;

	if (s->n < n || !str_u32(str_sub(*s, 0, n), &v))
		return false;
	*out = (int)v;
	*s = str_from(*s, n);
	return true;
}

static bool take_char(struct str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = str_from(*s, 1);
	return true;
}

/* "-Mon-yyyy", which date and date-time share. */
static bool take_month_year(struct str *s, struct moment *m)
{
	if (!take_char(s, '-') || (m->month = month_of(str_sub(*s, 0, 3))) == 0)
		return false;
	*s = str_from(*s, 3);
	return take_char(s, '-') && take_digits(s, 4, &m->year);
}

static bool take_zone(struct str *s, int *zone)
{
	int sign, hours, minutes;

	if (take_char(s, '+'))
		sign = 1;
	else if (take_char(s, '-'))
		sign = -1;
	else
		return false;
	if (!take_digits(s, 2, &hours) || !take_digits(s, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*zone = sign * (hours * 60 + minutes);
	return true;
}

static struct str unquoted(struct str s)
{
	return s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? str_sub(s, 1, s.n - 2) : s;
}

bool imap_date_time(struct str s, int64_t *when, int *zone)
{
	struct moment m = {0};

	s = unquoted(s);
	if (!(take_char(&s, ' ') ? take_digits(&s, 1, &m.day) : take_digits(&s, 2, &m.day)) ||
	    !take_month_year(&s, &m) || !take_char(&s, ' ') || !take_digits(&s, 2, &m.hour) ||
	    !take_char(&s, ':') || !take_digits(&s, 2, &m.minute) || !take_char(&s, ':') ||
	    !take_digits(&s, 2, &m.second) || !take_char(&s, ' ') || !take_zone(&s, &m.zone) || s.n != 0 ||
	    !is_moment(&m))
		return false;
	*when = seconds_of(&m);
	*zone = m.zone;
	return true;
}

void imap_date_time_write(struct buf *out, int64_t when, int zone)
{
	static const int64_t first = -62135596800, last = 253402300799; /* years 1 and 9999 */
	struct moment m = {0};
	int64_t local, day, rest;

	if (zone < -1439 || zone > 1439)
		zone = 0;
	local = when < first ? first : when > last ? last : when;
	local += (int64_t)zone * 60;
	local = local < first ? first : local > last ? last : local;
	day = (local >= 0 ? local : local - 86399) / 86400;
	rest = local - day * 86400;
	date_of(day, &m);
	buf_printf(out, "%2d-%s-%04d %02d:%02d:%02d %c%02d%02d", m.day, month_names[m.month - 1], m.year,
	    (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60), zone < 0 ? '-' : '+',
	    (zone < 0 ? -zone : zone) / 60, (zone < 0 ? -zone : zone) % 60);
}

bool imap_date(struct str s, int64_t *day)
{
	struct moment m = {0};

	s = unquoted(s);
	if (!take_digits(&s, s.n > 1 && ascii_digit(s.p[1]) ? 2 : 1, &m.day) || !take_month_year(&s, &m) ||
	    s.n != 0 || !is_moment(&m))
		return false;
	*day = days_of(m.year, m.month, m.day);
	return true;
}

/* ---- Date headers ---- */

/* What has been understood so far; -1 for nothing. */
struct reading {
	struct moment m;
	bool have_time, have_zone;
	int afternoon; /* 1 PM, 0 AM, -1 neither */
};

/* Copies s without comments (RFC 5322 §3.2.2); false when too much is left for a date. */
static bool strip_comments(struct str s, char out[LOOKED_AT], size_t *n)
{
	size_t i, depth = 0;

	*n = 0;
	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '(') {
			depth++;
			c = ' ';
		} else if (c == ')' && depth != 0) {
			depth--;
			continue;
		} else if (c == '\\' && depth != 0) {
			i++;
			continue;
		} else if (depth != 0) {
			continue;
		}
		if (c == ' ' && *n != 0 && out[*n - 1] == ' ')
			continue;
		if (*n == LOOKED_AT)
			return false;
		out[(*n)++] = c;
	}
	return true;
}

static size_t run_of(struct str s, bool (*is)(char))
{
	size_t i = 0;

	while (i < s.n && is(s.p[i]))
		i++;
	return i;
}

/* RFC 5322 §4.3: two digits are 1950 to 2049, three count from 1900. */
static int year_of(int year, size_t digits)
{
	if (digits <= 2)
		return year + (year < 50 ? 2000 : 1900);
	return digits == 3 ? year + 1900 : year;
}

static bool set_date(struct reading *r, int year, int month, int day)
{
	if (r->m.year >= 0 || r->m.month >= 0 || r->m.day >= 0)
		return false;
	r->m.year = year;
	r->m.month = month;
	r->m.day = day;
	return true;
}

/* Number, separator, number, separator, number: yyyy-mm-dd or mm/dd/yy. `first` and its separator are taken.
 */
static bool numeric_date(struct reading *r, struct str *s, int first, size_t digits, char separator)
{
	size_t n = run_of(*s, ascii_digit), n3;
	int second, third;

	if (n == 0 || n > 2 || !take_digits(s, n, &second) || !take_char(s, separator))
		return false;
	n3 = run_of(*s, ascii_digit);
	if (n3 == 0 || n3 > 4 || !take_digits(s, n3, &third))
		return false;
	if (digits > 2)
		return set_date(r, first, second, third);
	if (separator == '/')
		return set_date(r, year_of(third, n3), first, second);
	return set_date(r, year_of(third, n3), second, first);
}

static bool take_time(struct reading *r, struct str *s, int hour)
{
	size_t n = run_of(*s, ascii_digit);

	if (r->have_time || n == 0 || n > 2 || !take_digits(s, n, &r->m.minute))
		return false;
	r->m.hour = hour;
	r->m.second = 0;
	if (s->n > 1 && (s->p[0] == ':' || s->p[0] == '.') && ascii_digit(s->p[1])) {
		*s = str_from(*s, 1);
		n = run_of(*s, ascii_digit);
		if (n > 2 || !take_digits(s, n, &r->m.second))
			return false;
		if (s->n > 1 && (s->p[0] == '.' || s->p[0] == ',') && ascii_digit(s->p[1]))
			*s = str_from(*s, 1 + run_of(str_from(*s, 1), ascii_digit));
	}
	r->have_time = true;
	return true;
}

/* A number that stands alone: the day first, then the year; whatever is clearly a year is one. */
static bool lone_number(struct reading *r, int v, size_t digits)
{
	if (digits == 8 && r->m.year < 0)
		return set_date(r, v / 10000, v / 100 % 100, v % 100);
	if (digits > 4)
		return false;
	if (r->m.day < 0 && digits <= 2)
		r->m.day = v;
	else if (r->m.year < 0)
		r->m.year = year_of(v, digits);
	else
		return false;
	return true;
}

static bool take_number(struct reading *r, struct str *s)
{
	size_t digits = run_of(*s, ascii_digit);
	int v;

	if (digits > 8 || !take_digits(s, digits, &v))
		return false;
	if (s->n > 1 && s->p[0] == ':' && digits <= 2) {
		*s = str_from(*s, 1);
		return take_time(r, s, v);
	}
	if (s->n > 1 && (s->p[0] == '-' || s->p[0] == '/') && ascii_digit(s->p[1]) && r->m.day < 0 &&
	    digits <= 4) {
		char separator = s->p[0];

		*s = str_from(*s, 1);
		return numeric_date(r, s, v, digits, separator);
	}
	return lone_number(r, v, digits);
}

/* "+hhmm", "+hh:mm", "+hh"; what cannot be a zone is taken as +0000. */
static void take_offset(struct reading *r, struct str *s)
{
	int sign = s->p[0] == '-' ? -1 : 1, hours = 0, minutes = 0;
	size_t n;

	*s = str_from(*s, 1);
	n = run_of(*s, ascii_digit);
	if (n == 4) {
		take_digits(s, 2, &hours);
		take_digits(s, 2, &minutes);
	} else if (n == 2 || n == 1) {
		take_digits(s, n, &hours);
		if (s->n > 2 && s->p[0] == ':' && run_of(str_from(*s, 1), ascii_digit) == 2) {
			*s = str_from(*s, 1);
			take_digits(s, 2, &minutes);
		}
	} else {
		*s = str_from(*s, n);
	}
	if (!r->have_zone && hours <= 23 && minutes <= 59)
		r->m.zone = sign * (hours * 60 + minutes);
	r->have_zone = true;
}

static const struct {
	char name[5];
	int hours;
} zones[] = {{"UT", 0}, {"GMT", 0}, {"UTC", 0}, {"Z", 0}, {"EST", -5}, {"EDT", -4}, {"CST", -6}, {"CDT", -5},
    {"MST", -7}, {"MDT", -6}, {"PST", -8}, {"PDT", -7}, {"WET", 0}, {"WEST", 1}, {"CET", 1}, {"MET", 1},
    {"CEST", 2}, {"MEST", 2}, {"EET", 2}, {"EEST", 3}, {"BST", 1}, {"MSK", 3}, {"JST", 9}};

/* Weekdays and everything unknown are passed over; a zone that is not known is +0000 (RFC 5322 §4.3). */
static bool take_word(struct reading *r, struct str *s)
{
	size_t n = run_of(*s, ascii_alpha), i;
	struct str word = str_sub(*s, 0, n);
	int month = n >= 3 ? month_of(str_sub(word, 0, 3)) : 0;

	*s = str_from(*s, n);
	if (month != 0 && r->m.month < 0) {
		r->m.month = month;
		return true;
	}
	if (str_ieqc(word, "AM") || str_ieqc(word, "PM"))
		r->afternoon = ascii_lower(word.p[0]) == 'p';
	for (i = 0; i < ARRAY_LEN(zones) && r->have_time && !r->have_zone; i++) {
		if (str_ieqc(word, zones[i].name)) {
			r->m.zone = zones[i].hours * 60;
			r->have_zone = true;
		}
	}
	return true;
}

static bool take_token(struct reading *r, struct str *s)
{
	char c = s->p[0];

	if (ascii_digit(c))
		return take_number(r, s);
	if (ascii_alpha(c))
		return take_word(r, s);
	/* "GMT+0200" is an offset too: it is what the sender's clock really was. */
	if ((c == '+' || c == '-') && r->have_time && s->n > 1 && ascii_digit(s->p[1])) {
		r->have_zone = r->have_zone && r->m.zone != 0;
		take_offset(r, s);
	} else {
		*s = str_from(*s, 1);
	}
	return true;
}

bool mime_date(struct str value, int64_t *when, int *zone)
{
	struct reading r = {{-1, -1, -1, 0, 0, 0, 0}, false, false, -1};
	char plain[LOOKED_AT];
	struct str s = {plain, 0};

	if (!strip_comments(value, plain, &s.n))
		return false;
	while (s.n != 0)
		if (!take_token(&r, &s))
			return false;
	if (r.afternoon == 1 && r.m.hour < 12)
		r.m.hour += 12;
	else if (r.afternoon == 0 && r.m.hour == 12)
		r.m.hour = 0;
	if (!is_moment(&r.m))
		return false;
	*when = seconds_of(&r.m);
	*zone = r.m.zone;
	return true;
}
