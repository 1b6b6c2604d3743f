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

/* descriptor.c */
/* 0, or a code with every difference named. */
int descriptor_check(const struct mortise_module *m, struct err *e);

/* loader.c */
struct module_file {
	const char *stem;  /* "unix" */
	const char *ident; /* as in its symbol */
	const char *path;  /* or "built in" */
	bool builtin;
	const struct mortise_module **modules; /* count, after module_open */
	size_t count;
};
/* Where the module `type` (a name, or the whole path of a file) is, and whether others could have changed it.
 */
int module_find(const char *type, const struct module_options *o, struct arena *a, struct module_file **out,
    struct err *e);
/* Loads it into this process and checks its descriptors. */
int module_open(struct module_file *f, struct arena *a, struct err *e);
/* "NAME.a" of the built-in modules of this program, in order; NULL behind the last. */
const char *module_builtin_name(size_t index);

/* probe.c */
typedef int probe_fn(void *arg, struct err *e);
/*
 * Runs work(arg) in a child until o->probe_timeout. Its error, or what became of the child, is in e;
 * `subject` begins that sentence. told: what it said with probe_tell (NULL: nothing is wanted); output: what
 * was written to its stdout and stderr, the beginning of it.
 */
int probe_run(const struct module_options *o, const char *subject, probe_fn *work, void *arg,
    struct buf *told, struct buf *output, struct err *e);
void probe_tell(struct str octets);
/* What is about to be done with the module; nothing happens outside a probe child. */
void module_step(const char *what);

/* instance.c */
struct instance *instance_new(
    struct arena *a, const struct mortise_module *m, const char *name, void *options);
/* Frees the arena that it was made in, and everything with it. */
void instance_free(struct instance **ip);

#endif
