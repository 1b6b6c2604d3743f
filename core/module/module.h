/*
 * module.h: finding, probing and loading modules, and calling into them.
 *
 * A module is code of somebody else in our process. This room makes that as safe as it can be:
 *   - it is looked for in one place only: the list of built-in modules, then exactly MODULEDIR/NAME.so, or an
 * absolute path from the main configuration file. No environment, no .la, no directory scan.
 *   - the file and every directory above it must be root's (or the configured owner's) and not writable by
 * others.
 *   - it is first loaded in a probe child with a deadline, so a constructor that crashes or hangs costs a
 * child. The child also fills the options and runs `check`. Only then does this process load it.
 *   - dlopen(RTLD_NOW | RTLD_LOCAL) comes first because it tells the truth; libltdl then takes its reference
 *     (its own message is "file not found" whatever the cause). Resident: nothing is ever unloaded.
 *   - every field of the descriptor is compared and every difference is named in one refusal.
 * A refused module disables its instances, loudly, and the service starts all the same, unless the
 * configuration says `required`. Loading happens once, before the role serves.
 */
#ifndef MORTISE_MODULE_MODULE_H
#define MORTISE_MODULE_MODULE_H

#include <stdbool.h>

#include <mortise/module.h>

#include "base/arena.h"
#include "base/err.h"
#include "conf/conf.h"

#define MODULE_NAME_MAX 32

struct registry;

/* 1 to MODULE_NAME_MAX lower case letters, digits, '-', '_'. */
bool module_name_valid(struct str name);

/* conf group "module_loader". */
struct module_options {
	const char *path;       /* MODULEDIR */
	bool check_owner;       /* refuse files others could have written (off only for tests) */
	const char *owner;      /* a uid besides root that may own modules; "" none */
	uint64_t probe_timeout; /* milliseconds a probe child may take */
};
extern const struct conf_group module_conf_group;

/* A configured use of a module. */
struct instance {
	uint32_t magic;
	struct mortise_instance pub;
	const struct mortise_module *module;
	const void *ops;     /* the op table copied to our full size, missing slots NULL */
	bool suspect;        /* crashed too often; calls answer UNAVAILABLE */
	struct arena *arena; /* MORTISE_LIFE_INSTANCE */
};

/*
 * Loads what the instance lists of these kinds name (drivers: MORTISE_KIND_DRIVER, passwords: …_PASSWORD,
 * sasl: …_SASL). Problems go into the report: errors for required modules, warnings for others. `probe` false
 * when a parent process has just done so. Lists not in the configuration get the defaults of registry.c
 * (drivers: unix; passwords: pam or, unprivileged, file; sasl: cyrus).
 */
struct registry *registry_load(struct conf *c, const struct module_options *o, const uint32_t *kinds,
    size_t kind_count, bool probe, struct conf_report *r);
void registry_free(struct registry **rp); /* memory only; code stays loaded */
/* Instances of a kind in configured order; refused ones are not among them. */
struct instance *const *registry_instances(const struct registry *g, uint32_t kind, size_t *count);
struct instance *registry_find(const struct registry *g, uint32_t kind, const char *name);
/* Instance for code linked into the program itself (unit tests, tools): no file, no probe. */
struct instance *instance_builtin(struct arena *a, const struct mortise_module *m, const char *name);
/* It crashed too often: from now on new work with it answers UNAVAILABLE (its op table is changed). */
void instance_suspect(struct instance *i);
/* lifecycle->prepare / start of every instance of the kind; a failure disables the instance and is logged. */
void registry_prepare(struct registry *g, uint32_t kind);
void registry_start(struct registry *g, uint32_t kind);
/* lifecycle->stop of every instance of the kind, last one first, before the process ends. */
void registry_stop(struct registry *g, uint32_t kind);
/*
 * The modules that are part of this program. A program with built-in modules is linked with
 * $(BUILTIN_LDFLAGS) and says in main(), before anything else of this room:
 *
 *     LTDL_SET_PRELOADED_SYMBOLS();
 *     module_set_builtin(lt_preloaded_symbols);         // <ltdl.h>
 *
 * Without it there are none.
 */
void module_set_builtin(const void *symbols);

/*
 * One call into a module. The caller keeps it on the stack, and env (NULL: nothing to say) with it:
 *
 *     struct call c;
 *     call_begin(&c, inst, &env, "append");
 *     r = ops->append_begin(&c.pub, box, &tx);
 *     r = call_end(&c, r, e);          // moves the module's error into e, clears the call's memory, returns
 * r
 *
 * call_end turns an unknown negative code into INTERNAL and makes sure that a failure has a text; the admin's
 * text begins with instance and op. A positive result (MORTISE_DAMAGED, MORTISE_AUTH_TEMP) with a text puts
 * the text into e too, and is returned as it is: look at the result first. Calls may nest; they end in
 * reverse order. call_end_keep leaves the CALL memory (results that the caller still reads) until call_clear.
 */
struct call_env {
	struct arena *box;      /* MORTISE_LIFE_BOX; may be NULL when the op's contract does not use it */
	uint64_t deadline;      /* monotonic ms, 0 none */
	int (*stop)(void *arg); /* 0 or the code should_stop answers; may be NULL */
	void *stop_arg;
	int journal_dir; /* directory descriptor for rewrite journals, or -1 */
	bool unconfined; /* links below a root may lead out of it (store's confine = false) */
};

#define CALL_JOURNALS 4

struct call {
	struct mortise_call pub; /* first */
	uint32_t magic;
	struct call *outer;          /* the call this one was made from, in this thread */
	struct arena *call, *secret; /* NULL until the module asks for memory */
	const struct call_env *env;
	const char *op;
	struct journal *journals[CALL_JOURNALS];
	struct err err; /* last */
};

void call_begin(struct call *c, struct instance *i, const struct call_env *env, const char *op);
int call_end(struct call *c, int result, struct err *e);
int call_end_keep(struct call *c, int result, struct err *e);
void call_clear(struct call *c);

/*
 * Replays a rewrite journal left by a crash for the file behind `target` (by device and inode) if there is
 * one in journal_dir; the caller holds the mailbox's exclusive lock. 1 replayed, 0 none, or a code.
 */
int journal_replay(int journal_dir, int target, struct err *e);
/* Whether there is one: costs two stats, needs no lock. */
bool journal_waiting(int journal_dir, int target);

/*
 * For mortise-module: what a file says about itself, found in a probe child. `type` is a name or the whole
 * path of a file. format: option tables are described in it. output: what it wrote to its standard output.
 */
struct module_facts {
	const char *name, *kind, *version, *summary, *licence, *url;
	uint32_t api_major, api_minor, host_minor;
	const char *options; /* as conf_describe prints them, "" without any */
};
int module_inspect(const char *type, const struct module_options *o, enum conf_format format, struct arena *a,
    struct module_facts **facts, size_t *count, struct buf *output, struct err *e);
/* "NAME" of the built-in modules, in order; NULL behind the last. */
const char *module_builtin(struct arena *a, size_t index);

#endif
