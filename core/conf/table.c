#include "conf/conf_int.h"
#include "base/banned.h"

static bool good_name(const char *name)
{
	size_t i;

	if (name == NULL || name[0] < 'a' || name[0] > 'z' || strlen(name) > 64)
		return false;
	for (i = 0; name[i] != '\0'; i++)
		if (!(name[i] >= 'a' && name[i] <= 'z') && !ascii_digit(name[i]) && name[i] != '_')
			return false;
	return true;
}

/* How far a value of this type is from the start of the struct, and what it must be aligned to. */
static size_t alignment_of(uint32_t type)
{
	switch (type) {
	case MORTISE_OPTION_BOOL:
		return _Alignof(bool);
	case MORTISE_OPTION_OCTAL:
		return _Alignof(uint32_t);
	case MORTISE_OPTION_ENUM:
		return _Alignof(int);
	default:
		return _Alignof(void *) > _Alignof(uint64_t) ? _Alignof(uint64_t) : _Alignof(void *);
	}
}

static int check_shape(const struct mortise_option *o, size_t i, size_t instance_size, struct err *e)
{
	size_t size;

	if (!good_name(o->name))
		return err_fault(e, MORTISE_E_INVALID, "option %zu: a name is lower case, digits and _", i);
	if (strcmp(o->name, "type") == 0 || strcmp(o->name, "name") == 0)
		return err_fault(
		    e, MORTISE_E_INVALID, "option \"%s\": the name is the server's own", o->name);
	size = conf_type_size(o->type);
	if (size == 0)
		return err_fault(e, MORTISE_E_INVALID, "option \"%s\": unknown type %u", o->name, o->type);
	if (o->offset > instance_size || size > instance_size - o->offset ||
	    o->offset % alignment_of(o->type) != 0)
		return err_fault(e, MORTISE_E_INVALID,
		    "option \"%s\": its field is outside the struct of %zu octets", o->name, instance_size);
	if (o->help == NULL || o->help[0] == '\0')
		return err_fault(e, MORTISE_E_INVALID, "option \"%s\" has no help", o->name);
	if (o->type == MORTISE_OPTION_ENUM && (o->values == NULL || o->values[0].name == NULL))
		return err_fault(e, MORTISE_E_INVALID, "option \"%s\" has no values to choose from", o->name);
	if ((o->min != NULL || o->max != NULL) && !conf_type_is_number(o->type))
		return err_fault(e, MORTISE_E_INVALID, "option \"%s\": only a number has a range", o->name);
	if ((o->flags & MORTISE_OPTION_REQUIRED) != 0 && o->fallback != NULL)
		return err_fault(
		    e, MORTISE_E_INVALID, "option \"%s\" is required and has a default", o->name);
	return 0;
}

/* Whether `text` parses by itself; `what` names it. */
static int check_text(const struct mortise_option *o, const struct mortise_option *as, const char *text,
    const char *what, struct arena *a, struct err *e)
{
	struct err why = ERR_INIT;
	union {
		uint64_t number;
		struct mortise_list list;
		struct mortise_secret secret;
		const char *text;
	} field = {0};

	if (text == NULL || conf_set(as, &field, str_of(text), a, &why) == 0)
		return 0;
	return err_fault(
	    e, MORTISE_E_INVALID, "option \"%s\": its %s \"%.80s\" %s", o->name, what, text, why.admin);
}

static int check_values(const struct mortise_option *o, struct arena *a, struct err *e)
{
	struct mortise_option bare = *o, bounded = *o;

	bare.offset = bounded.offset = 0;
	bare.min = bare.max = NULL;
	/* A bound that does not parse would be ignored, so the bounds come first. */
	if (check_text(o, &bare, o->min, "minimum", a, e) != 0 ||
	    check_text(o, &bare, o->max, "maximum", a, e) != 0)
		return e->code;
	bounded.max = NULL;
	if (o->min != NULL && o->max != NULL && check_text(o, &bounded, o->max, "maximum", a, e) != 0)
		return e->code;
	bounded.max = o->max;
	return check_text(o, &bounded, o->fallback, "default", a, e);
}

int conf_check_table(const struct mortise_option *options, size_t count, size_t option_size,
    size_t instance_size, struct err *e)
{
	struct arena *a AUTO_ARENA = arena_new("table");
	const struct mortise_option *rows;
	size_t i, k;

	if (count > 1000 || option_size < offsetof(struct mortise_option, since) || option_size > 4096)
		return err_fault(
		    e, MORTISE_E_INVALID, "an option table of %zu rows of %zu octets", count, option_size);
	if (count != 0 && options == NULL)
		return err_fault(
		    e, MORTISE_E_INVALID, "an option table of %zu rows that is not there", count);
	rows = conf_table(options, count, option_size, a);
	for (i = 0; i < count; i++) {
		if (check_shape(&rows[i], i, instance_size, e) != 0)
			return e->code;
		for (k = 0; k < i; k++)
			if (strcmp(rows[k].name, rows[i].name) == 0)
				return err_fault(e, MORTISE_E_INVALID, "option \"%s\" is in the table twice",
				    rows[i].name);
		if (check_values(&rows[i], a, e) != 0)
			return e->code;
	}
	return 0;
}
