/*
 * mortise/module.h: what a module file shows to the server.
 *
 * A module is a shared object NAME.so with one symbol, NAME_LTX_mortise_module: a constant descriptor, data
 * only. No constructor and no function of a module runs before the server has read the descriptor and found
 * every field right. A file with several modules exports NAME_LTX_mortise_modules instead, a NULL-terminated
 * array of pointers to descriptors. The name in the descriptor, the file's stem and the symbol's prefix must
 * agree (characters other than letters, digits and '_' become '_' in the symbol).
 *
 *     MORTISE_MODULE(maildirx,
 *             .kind = MORTISE_KIND_DRIVER, .api_major = MORTISE_DRIVER_MAJOR, .api_minor =
 * MORTISE_DRIVER_MINOR, .name = "maildirx", .version = "1.0", .summary = "…", .licence = "Apache-2.0", .url =
 * "https://…", .options = table, .option_count = 3, .instance_size = sizeof(struct my_options), .ops =
 * &my_ops);
 *
 * Version rules. The kind's major must be equal. `host_minor` is the least host table the module needs (the
 * macro puts the one compiled against). Op tables begin with their own size: a table shorter than the
 * server's is filled up with NULL and the server emulates; a longer one is cut. Structs only grow at their
 * end, enum values are spaced and never reused. While the major is 0 the interface may still change between
 * minor releases of Mortise.
 *
 * ABI log (append only)
 *   host 0.1       see host.h, each slot has its label
 *   driver 0.1     recognise, create, open, sync, read, append_*, set_flags, expunge, lock, close;
 *                  add_keyword, remove, rename, watch, seen_recent; traits
 *   password 0.1   verify, lookup, credentials
 *   sasl 0.1       mechanisms, start, step, dispose
 *   driver 0.2     trait own_names
 *   driver 0.3     cursors outlive boxes; message.identity_size, append_info.uid; append_commit_refs,
 *                  append_copy, adopt, checkpoint; "#" in own_names
 *   error 0.3      NOTEMPTY
 *   password 0.2   credential SCRAM_SHA512
 *   sasl 0.2       mechanism flag BINDING; conversation.exporter, endpoint
 *   host 0.2       sync_all
 *
 * What a module may not do, anywhere: fork without exec, install signal handlers, change uid, directory,
 * umask or locale, exit, write to stdin/stdout/stderr, register atexit or constructors, start threads before
 * `start`.
 */
#ifndef MORTISE_MODULE_H
#define MORTISE_MODULE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <mortise/error.h>
#include <mortise/host.h>
#include <mortise/option.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_MODULE_MAGIC 0x4d6f7274u /* "Mort" */

/* Kinds. */
#define MORTISE_KIND_DRIVER 100u   /* a mailbox format: driver.h */
#define MORTISE_KIND_PASSWORD 200u /* checks passwords, knows users: password.h */
#define MORTISE_KIND_SASL 300u     /* SASL mechanisms: sasl.h */

/* Facts that must be the same on both sides; every one that differs is named in the refusal. */
struct mortise_abi {
	uint32_t pointer_size; /* sizeof(void *) */
	uint32_t time_size;    /* sizeof(time_t) */
	uint32_t off_size;     /* sizeof(off_t) */
	uint32_t byte_order;   /* 0x01020304 as this machine reads 04 03 02 01 */
	char flavour[16];      /* "release" or "sanitizer" */
	char vendor[16];       /* "mortise" unless a distribution patches the contract */
};

#define MORTISE_BYTE_ORDER (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0x01020304u : 0x04030201u)
#ifndef MORTISE_FLAVOUR
#define MORTISE_FLAVOUR "release"
#endif
#define MORTISE_VENDOR "mortise"

struct mortise_lifecycle;

struct mortise_module {
	uint32_t magic;     /* MORTISE_MODULE_MAGIC */
	uint32_t size;      /* sizeof(struct mortise_module) it was compiled with */
	uint32_t kind;      /* MORTISE_KIND_… */
	uint32_t api_major; /* of that kind */
	uint32_t api_minor;
	uint32_t host_minor; /* least minor of the host table that is needed */
	struct mortise_abi abi;
	const char *name;    /* lower case letters, digits, '-', '_'; ≤ 32 octets */
	const char *version; /* the module's own */
	const char *summary; /* one line */
	const char *licence; /* SPDX identifier */
	const char *url;     /* who maintains it */
	uint64_t features;   /* kind-specific bits, 0 for none */
	const struct mortise_option *options;
	size_t option_count;
	size_t option_size;   /* sizeof(struct mortise_option) it was compiled with */
	size_t instance_size; /* of the struct that the options are written to; 0 without options */
	const struct mortise_lifecycle *lifecycle; /* or NULL */
	const void *ops;                           /* the kind's op table; begins with size_t size */
	const void *reserved[8];                   /* zero */
};

/*
 * Optional lifecycle. Each returns 0 or an error code (having called host->fault). Every step has the
 * instance's options ready in inst->options and may keep a pointer in inst->state.
 *
 *   check    any process, any uid, also under --check-config. Cross-checks options. No network, no writes.
 *   prepare  the role that loaded the module (spawner, auth), with its full privileges, before it serves.
 *            May open files that only this uid may read. Errors reach the terminal.
 *   start    the process that will serve (session or auth worker), after privileges were dropped. Threads and
 *            connections from here on.
 *   stop     the same process, before it ends. May not fail.
 */
struct mortise_lifecycle {
	size_t size;
	int (*check)(struct mortise_call *call, struct mortise_instance *inst);
	int (*prepare)(struct mortise_call *call, struct mortise_instance *inst);
	int (*start)(struct mortise_call *call, struct mortise_instance *inst);
	void (*stop)(struct mortise_call *call, struct mortise_instance *inst);
};

#define MORTISE_EXPORT __attribute__((visibility("default")))

#define MORTISE_MODULE_HEAD                                                   \
	.magic = MORTISE_MODULE_MAGIC, .size = sizeof(struct mortise_module), \
	.host_minor = MORTISE_HOST_MINOR,                                     \
	.abi = {.pointer_size = sizeof(void *),                               \
	    .time_size = sizeof(time_t),                                      \
	    .off_size = sizeof(off_t),                                        \
	    .byte_order = MORTISE_BYTE_ORDER,                                 \
	    .flavour = MORTISE_FLAVOUR,                                       \
	    .vendor = MORTISE_VENDOR},                                        \
	.option_size = sizeof(struct mortise_option)

#ifdef __cplusplus
#define MORTISE_EXTERN_C extern "C"
#else
#define MORTISE_EXTERN_C
#endif

/* The descriptor. `ident` is the module's name with every character that is not a letter, digit or '_' as
 * '_'. */
#define MORTISE_MODULE(ident, ...)                                                                     \
	MORTISE_EXTERN_C MORTISE_EXPORT extern const struct mortise_module ident##_LTX_mortise_module; \
	const struct mortise_module ident##_LTX_mortise_module = {MORTISE_MODULE_HEAD, __VA_ARGS__}

/* A file with several: pass pointers to `static const struct mortise_module` made with MORTISE_MODULE_HEAD.
 */
#define MORTISE_MODULES(ident, ...)                                        \
	MORTISE_EXTERN_C MORTISE_EXPORT extern const struct mortise_module \
	    *const ident##_LTX_mortise_modules[];                          \
	const struct mortise_module *const ident##_LTX_mortise_modules[] = {__VA_ARGS__, NULL}

#ifdef __cplusplus
}
#endif
#endif
