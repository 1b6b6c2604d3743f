#include <grp.h>
#include <pwd.h>

#include "conf/conf_int.h"
#include "base/banned.h"

/* One row a type: everything that is not its parser. */
static const struct type {
	uint32_t type;
	size_t size;
	bool number;
	const char *name, *hint;
} types[] = {
    {MORTISE_OPTION_BOOL, sizeof(bool), false, "bool", "yes or no (or true, false, on, off)"},
    {MORTISE_OPTION_INT, sizeof(int64_t), true, "integer", "a decimal number"},
    {MORTISE_OPTION_UINT, sizeof(uint64_t), true, "number", "a decimal number that is not negative"},
    {MORTISE_OPTION_SIZE, sizeof(uint64_t), true, "size", "octets, as digits and an optional k, M, G or T"},
    {MORTISE_OPTION_DURATION, sizeof(uint64_t), true, "duration",
        "digits and ms, s, m, h or d (seconds when bare)"},
    {MORTISE_OPTION_OCTAL, sizeof(uint32_t), true, "mode", "octal digits, as for chmod"},
    {MORTISE_OPTION_STRING, sizeof(const char *), false, "string", "UTF-8 text without control characters"},
    {MORTISE_OPTION_ENUM, sizeof(int), false, "choice", "one of its values"},
    {MORTISE_OPTION_PATH, sizeof(const char *), false, "path",
        "a path; a relative one starts at the configuration's folder"},
    {MORTISE_OPTION_USER, sizeof(const char *), false, "user", "a user's name or number"},
    {MORTISE_OPTION_GROUP, sizeof(const char *), false, "group", "a group's name or number"},
    {MORTISE_OPTION_HOSTPORT, sizeof(const char *), false, "address",
        "HOST:PORT, [IPV6]:PORT, *:PORT or unix:/path"},
    {MORTISE_OPTION_URL, sizeof(const char *), false, "URL", "scheme:rest"},
    {MORTISE_OPTION_LIST, sizeof(struct mortise_list), false, "list", "a list of strings: [ \"a\", \"b\" ]"},
    {MORTISE_OPTION_SECRET, sizeof(struct mortise_secret), false, "secret",
        "\"file:/path\" or \"fd:N\"; never the secret itself"},
};

static const struct type *find_type(uint32_t type)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == type)
			return &types[i];
	return NULL;
}

const char *conf_type_name(uint32_t type)
{
	const struct type *t = find_type(type);

	return t != NULL ? t->name : "unknown";
}

const char *conf_type_article(uint32_t type)
{
	const char *name = conf_type_name(type);

	return name[0] == 'a' || name[0] == 'i' ? "an" : "a";
}

const char *conf_type_hint(uint32_t type)
{
	const struct type *t = find_type(type);

	return t != NULL ? t->hint : "unknown";
}

size_t conf_type_size(uint32_t type)
{
	const struct type *t = find_type(type);

	return t != NULL ? t->size : 0;
}

bool conf_type_is_number(uint32_t type)
{
	const struct type *t = find_type(type);

	return t != NULL && t->number;
}

bool conf_good_text(struct str s)
{
	while (s.n != 0) {
		uint32_t c;
		size_t n = str_utf8(s, &c);

		if (n == 0 || c < ' ' || (c >= 0x7f && c < 0xa0))
			return false;
		s = str_from(s, n);
	}
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {{"", 1}, {"k", 1ull << 10}, {"K", 1ull << 10}, {"M", 1ull << 20},
    {"G", 1ull << 30}, {"T", 1ull << 40}, {NULL, 0}};
static const struct unit duration_units[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};

/* Digits and a unit. NULL, or what is wrong. */
static const char *parse_units(struct str text, const struct unit *units, uint64_t *out)
{
	size_t n = 0;
	struct str unit;
	uint64_t v;

	while (n < text.n && ascii_digit(text.p[n]))
		n++;
	if (n == 0)
		return "";
	unit = str_trim(str_from(text, n));
	for (; units->name != NULL; units++)
		if (str_eqc(unit, units->name)) {
			if (!str_u64(str_sub(text, 0, n), &v) ||
			    __builtin_mul_overflow(v, units->factor, out))
				return "is too large a number";
			return NULL;
		}
	return "";
}

static const char *parse_int(struct str text, int64_t *out)
{
	bool negative = text.n != 0 && text.p[0] == '-';
	uint64_t v;

	if (text.n != 0 && (text.p[0] == '-' || text.p[0] == '+'))
		text = str_from(text, 1);
	if (!str_u64(text, &v)) {
		size_t i;

		for (i = 0; i < text.n; i++)
			if (!ascii_digit(text.p[i]))
				return "";
		return text.n == 0 ? "" : "is too large a number";
	}
	if (v > (uint64_t)INT64_MAX + negative)
		return "is too large a number";
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return NULL;
}

static const char *parse_uint(struct str text, uint64_t *out)
{
	size_t i;

	for (i = 0; i < text.n; i++)
		if (!ascii_digit(text.p[i]))
			return "";
	return text.n == 0 ? "" : str_u64(text, out) ? NULL : "is too large a number";
}

static const char *parse_octal(struct str text, uint32_t *out)
{
	uint32_t v = 0;
	size_t i;

	for (i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '7')
			return "";
		v = v * 8 + (uint32_t)(text.p[i] - '0');
		if (v > 07777)
			return "is more than 07777";
	}
	*out = v;
	return text.n == 0 ? "" : NULL;
}

static const char *parse_number(uint32_t type, void *out, struct str text)
{
	switch (type) {
	case MORTISE_OPTION_INT:
		return parse_int(text, out);
	case MORTISE_OPTION_UINT:
		return parse_uint(text, out);
	case MORTISE_OPTION_SIZE:
		return parse_units(text, size_units, out);
	case MORTISE_OPTION_DURATION:
		return parse_units(text, duration_units, out);
	default:
		return parse_octal(text, out);
	}
}

static int compare_number(uint32_t type, const void *pa, const void *pb)
{
	if (type == MORTISE_OPTION_INT) {
		int64_t a = *(const int64_t *)pa, b = *(const int64_t *)pb;

		return a < b ? -1 : a > b;
	} else if (type == MORTISE_OPTION_OCTAL) {
		uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

		return a < b ? -1 : a > b;
	} else {
		uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

		return a < b ? -1 : a > b;
	}
}

static int refuse(const struct mortise_option *o, const char *what, struct err *e)
{
	if (what[0] != '\0')
		return err_fault(e, MORTISE_E_INVALID, "%s", what);
	return err_fault(e, MORTISE_E_INVALID, "is not %s %s: %s", conf_type_article(o->type),
	    conf_type_name(o->type), conf_type_hint(o->type));
}

static int set_number(const struct mortise_option *o, void *field, struct str text, struct err *e)
{
	uint64_t value = 0, bound = 0; /* room for any number type */
	const char *wrong = parse_number(o->type, &value, text);

	if (wrong != NULL)
		return refuse(o, wrong, e);
	if (o->min != NULL && parse_number(o->type, &bound, str_of(o->min)) == NULL &&
	    compare_number(o->type, &value, &bound) < 0)
		return err_fault(e, MORTISE_E_LIMIT, "is less than the minimum, %s", o->min);
	if (o->max != NULL && parse_number(o->type, &bound, str_of(o->max)) == NULL &&
	    compare_number(o->type, &value, &bound) > 0)
		return err_fault(e, MORTISE_E_LIMIT, "is more than the maximum, %s", o->max);
	memcpy(field, &value, conf_type_size(o->type)); /* only now: a refused value leaves the default */
	return 0;
}

static int set_bool(const struct mortise_option *o, bool *field, struct str text, struct err *e)
{
	static const char *const yes[] = {"yes", "true", "on"}, *const no[] = {"no", "false", "off"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(yes); i++) {
		if (str_ieqc(text, yes[i])) {
			*field = true;
			return 0;
		}
		if (str_ieqc(text, no[i])) {
			*field = false;
			return 0;
		}
	}
	return refuse(o, "", e);
}

static int set_enum(const struct mortise_option *o, int *field, struct str text, struct err *e)
{
	const struct mortise_enum *v;
	char names[300];
	size_t n = 0;

	for (v = o->values; v->name != NULL; v++)
		if (str_eqc(text, v->name)) {
			*field = v->value;
			return 0;
		}
	names[0] = '\0';
	for (v = o->values; v->name != NULL && n < sizeof(names) - 1; v++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n == 0 ? "" : ", ", v->name);
	return err_fault(e, MORTISE_E_INVALID, "is none of: %s", names);
}

static bool good_port(struct str port)
{
	uint32_t n;

	return port.n <= 5 && str_u32(port, &n) && n <= 65535;
}

static bool good_host(struct str host, bool bracketed)
{
	size_t i;

	for (i = 0; i < host.n; i++) {
		char c = host.p[i];

		if (!ascii_alpha(c) && !ascii_digit(c) && strchr(bracketed ? ":.%" : ".-_", c) == NULL)
			return false;
	}
	return host.n != 0 && host.n <= 255;
}

static bool good_hostport(struct str text)
{
	size_t i;

	if (str_starts(text, STR("unix:")))
		return text.n > 6 && text.p[5] == '/';
	if (text.n != 0 && text.p[0] == '[') {
		i = str_find(text, ']');
		return i + 1 < text.n && text.p[i + 1] == ':' && good_host(str_sub(text, 1, i - 1), true) &&
		       good_port(str_from(text, i + 2));
	}
	i = str_find(text, ':');
	return i < text.n &&
	       (str_eq(str_sub(text, 0, i), STR("*")) || good_host(str_sub(text, 0, i), false)) &&
	       good_port(str_from(text, i + 1));
}

static bool good_url(struct str text)
{
	size_t i, colon = str_find(text, ':');

	if (colon == 0 || colon + 1 >= text.n || !ascii_alpha(text.p[0]))
		return false;
	for (i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == ' ' || (i < colon && !ascii_alpha(c) && !ascii_digit(c) && strchr("+-.", c) == NULL))
			return false;
	}
	return true;
}

static int set_account(const struct mortise_option *o, const char **field, struct str text, bool look_up,
    struct arena *a, struct err *e)
{
	const char *what = o->type == MORTISE_OPTION_USER ? "user" : "group";
	char *name = arena_strndup(a, text.p, text.n);
	uint64_t id;

	*field = name;
	if (text.n == 0)
		return 0;
	if (ascii_digit(text.p[0]) || text.p[0] == '-') {
		if (!str_u64(text, &id) || id >= UINT32_MAX)
			return refuse(o, "", e);
		return 0;
	}
	if (!look_up)
		return 0;
	if (o->type == MORTISE_OPTION_USER ? getpwnam(name) == NULL : getgrnam(name) == NULL)
		return err_fault(e, MORTISE_E_NOTFOUND, "there is no such %s", what);
	return 0;
}

static const char *absolute(struct str text, const char *folder, struct arena *a)
{
	if (text.n == 0 || text.p[0] == '/' || str_starts(text, STR("~/")) || str_eqc(text, "~"))
		return arena_strndup(a, text.p, text.n);
	return arena_printf(a, "%s/%.*s", strcmp(folder, "/") == 0 ? "" : folder, STR_FMT(text));
}

static int set_list(struct mortise_list *field, struct str text, struct arena *a)
{
	struct str rest = text;
	size_t n = 1, i;
	const char **items;

	for (i = 0; i < text.n; i++)
		n += text.p[i] == ',';
	items = arena_array(a, n, sizeof(*items));
	for (n = 0; rest.p != NULL;) {
		struct str one = str_trim(str_cut(&rest, ','));

		if (one.n != 0)
			items[n++] = arena_strndup(a, one.p, one.n);
	}
	*field = (struct mortise_list){items, n};
	return 0;
}

static int set_text(const struct mortise_option *o, const char **field, struct str text,
    const struct value_context *v, struct arena *a, struct err *e)
{
	switch (o->type) {
	case MORTISE_OPTION_PATH:
		if (text.n > 4000)
			return err_fault(e, MORTISE_E_LIMIT, "is too long for a path");
		*field = absolute(text, v->folder, a);
		return 0;
	case MORTISE_OPTION_USER:
	case MORTISE_OPTION_GROUP:
		return set_account(o, field, text, v->look_up, a, e);
	case MORTISE_OPTION_HOSTPORT:
		if (text.n != 0 && !good_hostport(text))
			return refuse(o, "", e);
		break;
	case MORTISE_OPTION_URL:
		if (text.n != 0 && !good_url(text))
			return refuse(o, "", e);
		break;
	default:
		break;
	}
	*field = arena_strndup(a, text.p, text.n);
	return 0;
}

int conf_value(const struct mortise_option *o, void *out, struct str text, const struct value_context *v,
    struct arena *a, struct err *e)
{
	void *field = (char *)out + o->offset;

	if (o->type == MORTISE_OPTION_SECRET) /* first: nothing of it may reach an error text */
		return conf_secret(field, text, a, e);
	if (!conf_good_text(text))
		return err_fault(e, MORTISE_E_INVALID, "has a control character or is not UTF-8");
	switch (o->type) {
	case MORTISE_OPTION_BOOL:
		return set_bool(o, field, text, e);
	case MORTISE_OPTION_INT:
	case MORTISE_OPTION_UINT:
	case MORTISE_OPTION_SIZE:
	case MORTISE_OPTION_DURATION:
	case MORTISE_OPTION_OCTAL:
		return set_number(o, field, text, e);
	case MORTISE_OPTION_ENUM:
		return set_enum(o, field, text, e);
	case MORTISE_OPTION_LIST:
		return set_list(field, text, a);
	default:
		if (conf_type_size(o->type) == 0)
			return err_fault(e, MORTISE_E_INVALID, "has the unknown type %u", o->type);
		return set_text(o, field, text, v, a, e);
	}
}

int conf_value_list(
    const struct mortise_option *o, void *out, const struct conf_node *n, struct arena *a, struct err *e)
{
	struct mortise_list *field = (struct mortise_list *)((char *)out + o->offset);
	const struct conf_node *item;
	const char **items;
	size_t count = 0;

	for (item = n->first; item != NULL; item = item->next)
		count++;
	items = arena_array(a, count, sizeof(*items));
	count = 0;
	for (item = n->first; item != NULL; item = item->next) {
		if (item->kind != NODE_TEXT && item->kind != NODE_NUMBER)
			return err_fault(e, MORTISE_E_INVALID, "has an item that is not a string");
		if (!conf_good_text(item->text))
			return err_fault(e, MORTISE_E_INVALID, "has a control character or is not UTF-8");
		items[count++] = arena_strndup(a, item->text.p, item->text.n);
	}
	*field = (struct mortise_list){items, count};
	return 0;
}

int conf_set(const struct mortise_option *o, void *out, struct str text, struct arena *a, struct err *e)
{
	static const struct value_context v = {.folder = MORTISE_CONFDIR, .look_up = false};

	return conf_value(o, out, text, &v, a, e);
}

static void unit_text(uint64_t v, const struct unit *units, struct buf *out)
{
	const struct unit *best = NULL;

	for (; units->name != NULL; units++)
		if (units->name[0] != '\0' && v != 0 && v % units->factor == 0 &&
		    (best == NULL || units->factor > best->factor))
			best = units;
	buf_addu(out, best != NULL ? v / best->factor : v);
	buf_adds(out, best != NULL ? best->name : "");
}

static void enum_text(const struct mortise_option *o, int value, struct buf *out)
{
	const struct mortise_enum *v;

	for (v = o->values; v->name != NULL; v++)
		if (v->value == value) {
			buf_adds(out, v->name);
			return;
		}
}

void conf_value_text(const struct mortise_option *o, const void *in, struct buf *out)
{
	const void *field = (const char *)in + o->offset;
	const struct mortise_list *list = field;
	const char *text;
	size_t i;

	switch (o->type) {
	case MORTISE_OPTION_BOOL:
		buf_adds(out, *(const bool *)field ? "true" : "false");
		break;
	case MORTISE_OPTION_INT:
		buf_printf(out, "%lld", (long long)*(const int64_t *)field);
		break;
	case MORTISE_OPTION_UINT:
		buf_addu(out, *(const uint64_t *)field);
		break;
	case MORTISE_OPTION_SIZE:
		unit_text(*(const uint64_t *)field, size_units, out);
		break;
	case MORTISE_OPTION_DURATION:
		unit_text(*(const uint64_t *)field, duration_units, out);
		break;
	case MORTISE_OPTION_OCTAL:
		buf_printf(out, "%04o", *(const uint32_t *)field);
		break;
	case MORTISE_OPTION_ENUM:
		enum_text(o, *(const int *)field, out);
		break;
	case MORTISE_OPTION_LIST:
		for (i = 0; i < list->count; i++)
			buf_printf(out, "%s%s", i == 0 ? "" : ", ", list->items[i]);
		break;
	case MORTISE_OPTION_SECRET:
		buf_adds(out, ((const struct mortise_secret *)field)->size != 0 ? "(set)" : "");
		break;
	default:
		memcpy(&text, field, sizeof(text));
		buf_adds(out, text != NULL ? text : "");
		break;
	}
}
