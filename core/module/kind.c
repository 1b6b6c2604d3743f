/*
 * kind.c: the kinds of modules, as tables: version, op table, what in it must be there.
 *
 * Also what calls get once an instance is suspect: a table of the same shape in which every op says
 * UNAVAILABLE, so that no caller has to ask before a call.
 */
#include <stddef.h>
#include <string.h>

#include <mortise/driver.h>
#include <mortise/password.h>
#include <mortise/sasl.h>

#include "base/arena.h"
#include "module/module_int.h"
#include "base/banned.h"

#define OP(type, field)                                         \
	{                                                       \
		.name = #field, .offset = offsetof(type, field) \
	}

static const struct module_op driver_ops[] = {
    OP(struct mortise_driver_ops, traits),
    OP(struct mortise_driver_ops, recognise),
    OP(struct mortise_driver_ops, create),
    OP(struct mortise_driver_ops, open),
    OP(struct mortise_driver_ops, sync),
    OP(struct mortise_driver_ops, read),
    OP(struct mortise_driver_ops, append_begin),
    OP(struct mortise_driver_ops, append_message),
    OP(struct mortise_driver_ops, append_write),
    OP(struct mortise_driver_ops, append_commit),
    OP(struct mortise_driver_ops, append_abort),
    OP(struct mortise_driver_ops, set_flags),
    OP(struct mortise_driver_ops, expunge),
    OP(struct mortise_driver_ops, lock),
    OP(struct mortise_driver_ops, close),
};

static const struct module_op password_ops[] = {
    OP(struct mortise_password_ops, verify),
};

static const struct module_op sasl_ops[] = {
    OP(struct mortise_sasl_ops, mechanisms),
    OP(struct mortise_sasl_ops, start),
    OP(struct mortise_sasl_ops, step),
    OP(struct mortise_sasl_ops, dispose),
};

/* ---- suspect instances ---- */

static int refuse(struct mortise_call *call)
{
	return call->host->fault(call, MORTISE_E_UNAVAILABLE, "switched off: it crashed too often");
}

static int no_recognise(struct mortise_call *call, const struct mortise_probe *probe)
{
	(void)probe;
	return refuse(call);
}

static int no_place(struct mortise_call *call, const struct mortise_place *place)
{
	(void)place;
	return refuse(call);
}

static int no_open(struct mortise_call *call, const struct mortise_place *place, uint32_t flags,
    struct mortise_box_info *info, void **box)
{
	(void)place, (void)flags, (void)info;
	*box = NULL;
	return refuse(call);
}

static int no_rename(
    struct mortise_call *call, const struct mortise_place *from, const struct mortise_place *to)
{
	(void)from, (void)to;
	return refuse(call);
}

static int no_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	(void)attempt, (void)user;
	(void)refuse(call);
	return MORTISE_AUTH_TEMP;
}

static int no_lookup(
    struct mortise_call *call, const char *user, uint32_t credential, struct mortise_user *record)
{
	(void)user, (void)credential, (void)record;
	(void)refuse(call);
	return MORTISE_AUTH_TEMP;
}

static int no_conversation(struct mortise_call *call, struct mortise_conversation *conv,
    struct mortise_octets in, struct mortise_octets *out)
{
	(void)conv, (void)in;
	*out = (struct mortise_octets){NULL, 0};
	(void)refuse(call);
	return MORTISE_SASL_TEMP;
}

/* What works on an open box or conversation stays the module's own: those were opened before. */
static void suspect_driver(void *ops)
{
	struct mortise_driver_ops *o = ops;

	o->recognise = no_recognise;
	o->create = no_place;
	o->open = no_open;
	if (o->remove != NULL)
		o->remove = no_place;
	if (o->rename != NULL)
		o->rename = no_rename;
}

static void suspect_password(void *ops)
{
	struct mortise_password_ops *o = ops;

	o->verify = no_verify;
	if (o->lookup != NULL)
		o->lookup = no_lookup;
}

static void suspect_sasl(void *ops)
{
	struct mortise_sasl_ops *o = ops;

	o->start = no_conversation;
	o->step = no_conversation;
}

const struct module_kind module_kinds[] = {
    {.kind = MORTISE_KIND_DRIVER,
        .name = "driver",
        .list = "drivers",
        .major = MORTISE_DRIVER_MAJOR,
        .minor = MORTISE_DRIVER_MINOR,
        .size = sizeof(struct mortise_driver_ops),
        .ops = driver_ops,
        .count = ARRAY_LEN(driver_ops),
        .suspect = suspect_driver},
    {.kind = MORTISE_KIND_PASSWORD,
        .name = "password",
        .list = "passwords",
        .major = MORTISE_PASSWORD_MAJOR,
        .minor = MORTISE_PASSWORD_MINOR,
        .size = sizeof(struct mortise_password_ops),
        .ops = password_ops,
        .count = ARRAY_LEN(password_ops),
        .suspect = suspect_password},
    {.kind = MORTISE_KIND_SASL,
        .name = "sasl",
        .list = "sasl",
        .major = MORTISE_SASL_MAJOR,
        .minor = MORTISE_SASL_MINOR,
        .size = sizeof(struct mortise_sasl_ops),
        .ops = sasl_ops,
        .count = ARRAY_LEN(sasl_ops),
        .suspect = suspect_sasl},
};
const size_t module_kind_count = ARRAY_LEN(module_kinds);

const struct module_kind *module_kind_of(uint32_t kind)
{
	for (size_t i = 0; i < module_kind_count; i++)
		if (module_kinds[i].kind == kind)
			return &module_kinds[i];
	return NULL;
}

void *module_copy_ops(struct arena *a, const struct module_kind *kind, const void *ops)
{
	size_t theirs;
	void *own = arena_alloc(a, kind->size);

	memcpy(&theirs, ops, sizeof(theirs));
	memcpy(own, ops, theirs < kind->size ? theirs : kind->size);
	memcpy(own, &kind->size, sizeof(kind->size));
	return own;
}

bool module_has_op(const void *ops, const struct module_op *op)
{
	static const unsigned char zero[sizeof(void *)];

	return memcmp((const char *)ops + op->offset, zero, sizeof(void *)) != 0;
}
