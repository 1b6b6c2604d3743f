/* module_int.h: what the files of this room share. */
#ifndef MORTISE_MODULE_MODULE_INT_H
#define MORTISE_MODULE_MODULE_INT_H

#include "module/module.h"

#define CALL_MAGIC 0x4d43616cu
#define INSTANCE_MAGIC 0x4d496e73u

/* host.c */
extern const struct mortise_host module_host;
/* A code from a module, INTERNAL for one that error.h does not know. */
int module_known_code(int code);

/* kind.c */
struct module_op {
	const char *name;
	size_t offset; /* of a pointer in the op table */
};

struct module_kind {
	uint32_t kind;
	const char *name; /* "driver" */
	const char *list; /* of instances in the configuration: "drivers" */
	uint32_t major, minor;
	size_t size;                 /* of the op table */
	const struct module_op *ops; /* those that must be there */
	size_t count;
	void (*suspect)(void *ops); /* makes new work answer UNAVAILABLE */
};
extern const struct module_kind module_kinds[];
extern const size_t module_kind_count;
const struct module_kind *module_kind_of(uint32_t kind); /* NULL: not known */
/* A table of full size: a shorter one filled up with zeros, a longer one cut. */
void *module_copy_ops(struct arena *a, const struct module_kind *kind, const void *ops);
bool module_has_op(const void *ops, const struct module_op *op);

/* instance.c */
struct instance *instance_new(
    struct arena *a, const struct mortise_module *m, const char *name, void *options);

#endif
