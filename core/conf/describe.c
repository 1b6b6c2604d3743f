#include "conf/conf_int.h"
#include "conf/mdoc.h"
#include "base/banned.h"

/* Lines end with their sentence, or where they have become long. */
enum { LINE_WIDTH = 100 };

void mdoc_text(struct buf *out, const char *text)
{
	size_t i, start = out->n;

	for (i = 0; text[i] != '\0'; i++) {
		char c = text[i];

		if (c == '\\')
			buf_adds(out, "\\e");
		else if ((c == '.' || c == '\'') && (out->n == 0 || out->p[out->n - 1] == '\n'))
			buf_printf(out, "\\&%c", c);
		else if (c == '"')
			buf_adds(out, "\\(dq");
		else if (c == '-')
			buf_adds(out, "\\-");
		else if (c == ' ' &&
		         ((i > 0 && strchr(".!?", text[i - 1]) != NULL) || out->n - start > LINE_WIDTH)) {
			buf_addc(out, '\n');
			start = out->n;
		} else
			buf_addc(out, c);
	}
}

/* One argument of a macro, in quotes. */
static void mdoc_argument(struct buf *out, const char *text)
{
	buf_adds(out, " \"");
	if (strlen(text) <= 3) /* a name like "No" would be taken for a macro */
		buf_adds(out, "\\&");
	mdoc_text(out, text);
	buf_addc(out, '"');
}

void json_text(struct buf *out, const char *text)
{
	buf_addc(out, '"');
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < ' ')
			buf_printf(out, "\\u%04x", c);
		else
			buf_addc(out, (char)c);
	}
	buf_addc(out, '"');
}

static bool needs_quotes(const struct mortise_option *o, const char *text)
{
	size_t i;

	if (o->type == MORTISE_OPTION_BOOL)
		return false;
	if (!conf_type_is_number(o->type) || text[0] == '\0')
		return true;
	for (i = 0; text[i] != '\0'; i++)
		if (!ascii_digit(text[i]) && !(i == 0 && text[1] != '\0' && text[0] == '-'))
			return true;
	return false;
}

void conf_quote(struct buf *out, const char *text)
{
	buf_addc(out, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			buf_addc(out, '\\');
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			buf_printf(out, "\\x%02x", (unsigned char)*text);
		else
			buf_addc(out, *text);
	}
	buf_addc(out, '"');
}

void conf_write_value(const struct mortise_option *o, const char *text, struct buf *out)
{
	if (o->type == MORTISE_OPTION_LIST) {
		struct str rest = str_of(text);
		bool first = true;

		buf_addc(out, '[');
		while (rest.p != NULL) {
			struct str one = str_trim(str_cut(&rest, ','));
			struct buf item AUTO_BUF = BUF_INIT;

			if (one.n == 0)
				continue;
			buf_addstr(&item, one);
			buf_adds(out, first ? " " : ", ");
			conf_quote(out, buf_cstr(&item));
			first = false;
		}
		buf_adds(out, first ? "]" : " ]");
	} else if (o->type == MORTISE_OPTION_BOOL) {
		buf_adds(out, str_ieqc(str_of(text), "yes") || str_ieqc(str_of(text), "true") ||
		                      str_ieqc(str_of(text), "on")
		                  ? "true"
		                  : "false");
	} else if (needs_quotes(o, text)) {
		conf_quote(out, text);
	} else {
		buf_adds(out, text);
	}
}

static void value_names(const struct mortise_option *o, struct buf *out)
{
	const struct mortise_enum *v;

	for (v = o->values; v != NULL && v->name != NULL; v++)
		buf_printf(out, "%s%s", v == o->values ? "" : ", ", v->name);
}

/* The facts of one row in words: type, default, range, flags. */
static void facts(const struct mortise_option *o, struct buf *out)
{
	buf_adds(out, conf_type_name(o->type));
	if (o->type == MORTISE_OPTION_ENUM) {
		buf_adds(out, ": ");
		value_names(o, out);
	}
	if ((o->flags & MORTISE_OPTION_REQUIRED) != 0) {
		buf_adds(out, "; must be set");
	} else if (o->fallback != NULL && o->fallback[0] != '\0') {
		buf_adds(out, "; default ");
		conf_write_value(o, o->fallback, out);
	} else {
		buf_adds(out, "; no default");
	}
	if (o->min != NULL)
		buf_printf(out, "; from %s", o->min);
	if (o->max != NULL)
		buf_printf(out, "%s %s", o->min != NULL ? " to" : "; at most", o->max);
	if ((o->flags & MORTISE_OPTION_RELOADABLE) != 0)
		buf_adds(out, "; takes effect on reload");
	if ((o->flags & MORTISE_OPTION_PER_USER) != 0)
		buf_adds(out, "; may be set for one user");
	if ((o->flags & MORTISE_OPTION_DEPRECATED) != 0)
		buf_printf(out, "; old%s%s", o->instead != NULL ? ", use " : "",
		    o->instead != NULL ? o->instead : "");
	if (o->since != NULL)
		buf_printf(out, "; since %s", o->since);
}

static const char *help_of(const struct mortise_option *o)
{
	return o->help != NULL ? o->help : "";
}

static void describe_text(const struct mortise_option *o, struct buf *out)
{
	buf_printf(out, "  %s\n      %s\n      ", o->name, help_of(o));
	facts(o, out);
	buf_addc(out, '\n');
	if (o->detail != NULL)
		buf_printf(out, "      %s\n", o->detail);
}

static void describe_mdoc(const struct mortise_option *o, struct buf *out)
{
	struct buf f AUTO_BUF = BUF_INIT;
	const char *help = help_of(o);

	facts(o, &f);
	buf_adds(out, ".It Va");
	mdoc_argument(out, o->name);
	buf_addc(out, '\n');
	if (help[0] != '\0') {
		struct buf head AUTO_BUF = BUF_INIT;

		buf_printf(&head, "%c%s.", ascii_upper(help[0]), help + 1);
		mdoc_text(out, buf_cstr(&head));
		buf_addc(out, '\n');
	}
	if (o->detail != NULL) {
		mdoc_text(out, o->detail);
		buf_addc(out, '\n');
	}
	buf_adds(out, "(");
	mdoc_text(out, buf_cstr(&f));
	buf_adds(out, ")\n");
}

static void json_member(struct buf *out, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_printf(out, ", \"%s\": ", name);
	json_text(out, value);
}

static void describe_json(const struct mortise_option *o, struct buf *out)
{
	const struct mortise_enum *v;

	buf_adds(out, "{\"name\": ");
	json_text(out, o->name);
	json_member(out, "type", conf_type_name(o->type));
	json_member(out, "default", o->fallback);
	json_member(out, "min", o->min);
	json_member(out, "max", o->max);
	json_member(out, "since", o->since);
	json_member(out, "help", o->help);
	json_member(out, "detail", o->detail);
	json_member(out, "instead", o->instead);
	if (o->type == MORTISE_OPTION_ENUM && o->values != NULL) {
		buf_adds(out, ", \"values\": [");
		for (v = o->values; v->name != NULL; v++) {
			buf_adds(out, v == o->values ? "" : ", ");
			json_text(out, v->name);
		}
		buf_addc(out, ']');
	}
	buf_printf(out, ", \"required\": %s, \"per_user\": %s, \"reloadable\": %s, \"deprecated\": %s}",
	    (o->flags & MORTISE_OPTION_REQUIRED) != 0 ? "true" : "false",
	    (o->flags & MORTISE_OPTION_PER_USER) != 0 ? "true" : "false",
	    (o->flags & MORTISE_OPTION_RELOADABLE) != 0 ? "true" : "false",
	    (o->flags & MORTISE_OPTION_DEPRECATED) != 0 ? "true" : "false");
}

static void describe_sample(const struct mortise_option *o, struct buf *out)
{
	if ((o->flags & MORTISE_OPTION_DEPRECATED) != 0)
		return;
	buf_printf(out, "\t# %s (%s)\n", help_of(o), conf_type_hint(o->type));
	buf_printf(out, "\t%s%s = ", (o->flags & MORTISE_OPTION_REQUIRED) != 0 ? "" : "# ", o->name);
	if (o->fallback == NULL && conf_type_is_number(o->type))
		buf_addc(out, '0');
	else
		conf_write_value(o, o->fallback != NULL ? o->fallback : "", out);
	buf_adds(out, ";\n");
}

void conf_describe(const char *group, const struct mortise_option *options, size_t count, size_t option_size,
    enum conf_format format, struct buf *out)
{
	struct arena *a AUTO_ARENA = arena_new("describe");
	const struct mortise_option *rows = conf_table(options, count, option_size, a);
	size_t i;
	bool first = true;

	if (format == CONF_TEXT)
		buf_printf(out, "%s\n", group);
	else if (format == CONF_SAMPLE)
		buf_printf(out, "%s = {\n", group);
	else if (format == CONF_MDOC)
		buf_adds(out, ".Bl -tag -width Ds\n");
	else {
		buf_adds(out, "{\"group\": ");
		json_text(out, group);
		buf_adds(out, ", \"options\": [");
	}
	for (i = 0; i < count; i++) {
		const struct mortise_option *o = &rows[i];

		if ((o->flags & MORTISE_OPTION_HIDDEN) != 0)
			continue;
		if (format == CONF_TEXT)
			describe_text(o, out);
		else if (format == CONF_MDOC)
			describe_mdoc(o, out);
		else if (format == CONF_SAMPLE)
			describe_sample(o, out);
		else {
			buf_adds(out, first ? "\n  " : ",\n  ");
			describe_json(o, out);
		}
		first = false;
	}
	buf_adds(out, format == CONF_SAMPLE ? "};\n"
	              : format == CONF_MDOC ? ".El\n"
	              : format == CONF_JSON ? "\n]}\n"
	                                    : "");
}
