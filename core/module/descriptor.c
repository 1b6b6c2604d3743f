/*
 * descriptor.c: whether a descriptor can be trusted to mean what we read in it.
 *
 * Every field that differs is named, in one refusal: an administrator who rebuilds a module wants to know all
 * that was wrong with it, not the first of five things.
 */
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "module/module_int.h"
#include "base/banned.h"

/* What descriptors and tables of 0.1 have at least. They only grow. */
#define DESCRIPTOR_SIZE_0_1 offsetof(struct mortise_module, reserved[8])
#define OPTION_SIZE_0_1 (offsetof(struct mortise_option, instead) + sizeof(const char *))
#define LIFECYCLE_SIZE_0_1 (offsetof(struct mortise_lifecycle, stop) + sizeof(void *))
#define TABLE_SIZE_MAX 65536u
#define OPTIONS_MAX 1000u
#define INSTANCE_SIZE_MAX (1u << 20)

static void say(struct buf *why, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct buf *why, const char *format, ...)
{
	va_list ap;

	if (why->n > 0)
		buf_adds(why, "; ");
	va_start(ap, format);
	buf_vprintf(why, format, ap);
	va_end(ap);
}

static void differ(struct buf *why, const char *field, uint64_t ours, uint64_t theirs)
{
	if (ours != theirs)
		say(why, "imapd has %s %llu, module has %llu", field, (unsigned long long)ours,
		    (unsigned long long)theirs);
}

static void differ_text(struct buf *why, const char *field, const char *ours, const char theirs[16])
{
	if (strncmp(ours, theirs, 16) != 0)
		say(why, "imapd has %s %s, module has %.16s", field, ours, theirs);
}

static void check_abi(const struct mortise_module *m, struct buf *why)
{
	differ(why, "pointers of", sizeof(void *), m->abi.pointer_size);
	differ(why, "time_t", sizeof(time_t), m->abi.time_size);
	differ(why, "off_t", sizeof(off_t), m->abi.off_size);
	if (m->abi.byte_order != MORTISE_BYTE_ORDER)
		say(why, "imapd has byte order %08x, module has %08x", MORTISE_BYTE_ORDER, m->abi.byte_order);
	differ_text(why, "flavour", MORTISE_FLAVOUR, m->abi.flavour);
	differ_text(why, "vendor", MORTISE_VENDOR, m->abi.vendor);
}

static const struct module_kind *check_version(const struct mortise_module *m, struct buf *why)
{
	const struct module_kind *kind = module_kind_of(m->kind);

	if (kind == NULL)
		say(why, "kind %u is not known", m->kind);
	else if (kind->major != m->api_major)
		say(why, "imapd has %s API %u.%u, module has %u.%u", kind->name, kind->major, kind->minor,
		    m->api_major, m->api_minor);
	if (m->host_minor > MORTISE_HOST_MINOR)
		say(why, "imapd has host API %u.%u, module needs %u.%u", MORTISE_HOST_MAJOR,
		    MORTISE_HOST_MINOR, MORTISE_HOST_MAJOR, m->host_minor);
	return kind;
}

bool module_name_valid(struct str name)
{
	if (name.n == 0 || name.n > MODULE_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!(c >= 'a' && c <= 'z') && !ascii_digit(c) && c != '-' && c != '_')
			return false;
	}
	return true;
}

static void check_texts(const struct mortise_module *m, struct buf *why)
{
	const struct {
		const char *field, *text;
	} texts[] = {
	    {"version", m->version}, {"summary", m->summary}, {"licence", m->licence}, {"url", m->url}};

	if (m->name == NULL)
		say(why, "it has no name");
	else if (!module_name_valid(str_mem(m->name, strnlen(m->name, MODULE_NAME_MAX + 1))))
		say(why, "its name \"%.40s\" is not 1 to %d lower case letters, digits, '-' and '_'", m->name,
		    MODULE_NAME_MAX);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].text == NULL || texts[i].text[0] == '\0')
			say(why, "it has no %s", texts[i].field);
	for (size_t i = 0; i < ARRAY_LEN(m->reserved); i++)
		if (m->reserved[i] != NULL) {
			say(why, "reserved field %zu is not zero", i);
			break;
		}
}

static void check_ops(const struct mortise_module *m, const struct module_kind *kind, struct buf *why)
{
	size_t size;

	if (m->ops == NULL) {
		say(why, "it has no table of callbacks");
		return;
	}
	memcpy(&size, m->ops, sizeof(size));
	if (size < sizeof(size) + sizeof(void *) || size > TABLE_SIZE_MAX) {
		say(why, "its table of callbacks says it has %zu octets", size);
		return;
	}
	for (size_t i = 0; i < kind->count; i++)
		if (kind->ops[i].offset + sizeof(void *) > size || !module_has_op(m->ops, &kind->ops[i]))
			say(why, "%s, which every %s needs, is missing", kind->ops[i].name, kind->name);
}

static void check_lifecycle(const struct mortise_module *m, struct buf *why)
{
	if (m->lifecycle != NULL &&
	    (m->lifecycle->size < LIFECYCLE_SIZE_0_1 || m->lifecycle->size > TABLE_SIZE_MAX))
		say(why, "its lifecycle table says it has %zu octets", m->lifecycle->size);
}

static void check_options(const struct mortise_module *m, struct buf *why)
{
	struct err e = ERR_INIT;

	if (m->option_count == 0)
		return;
	if (m->options == NULL || m->option_count > OPTIONS_MAX)
		say(why, "it has %zu options in %s", m->option_count,
		    m->options == NULL ? "no table" : "its table");
	else if (m->option_size < OPTION_SIZE_0_1 || m->option_size > TABLE_SIZE_MAX)
		say(why, "imapd has option rows of %zu octets, module has %zu", sizeof(struct mortise_option),
		    m->option_size);
	else if (m->instance_size == 0 || m->instance_size > INSTANCE_SIZE_MAX)
		say(why, "its options have a struct of %zu octets", m->instance_size);
	else if (conf_check_table(m->options, m->option_count, m->option_size, m->instance_size, &e) != 0)
		say(why, "option table: %s", e.admin);
}

int descriptor_check(const struct mortise_module *m, struct err *e)
{
	AUTO_BUF struct buf why = {.limit = 4096};
	const struct module_kind *kind;

	if (m->magic != MORTISE_MODULE_MAGIC)
		return err_fault(e, MORTISE_E_INVALID, "its descriptor begins with %08x, not with %08x",
		    m->magic, MORTISE_MODULE_MAGIC);
	if (m->size < DESCRIPTOR_SIZE_0_1 || m->size > TABLE_SIZE_MAX)
		return err_fault(e, MORTISE_E_INVALID,
		    "its descriptor says it has %u octets, imapd knows %zu", m->size, sizeof(*m));
	check_abi(m, &why);
	kind = check_version(m, &why);
	/* With another layout nothing behind this point can be read. */
	if (m->abi.pointer_size == sizeof(void *) && m->abi.byte_order == MORTISE_BYTE_ORDER) {
		check_texts(m, &why);
		if (kind != NULL && kind->major == m->api_major)
			check_ops(m, kind, &why);
		check_lifecycle(m, &why);
		check_options(m, &why);
	}
	if (why.n == 0)
		return 0;
	return err_fault(e, MORTISE_E_INVALID, "%s", buf_cstr(&why));
}
