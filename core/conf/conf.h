/*
 * conf.h: imapd.conf, as typed values.
 *
 * A configuration is libconfig text: one main file and the files `imapd.conf.d/[*].conf` beside it, merged in
 * sorted order. libconfig 1.5 cannot include a directory and cuts numbers to 32 bits, so merging, numbers,
 * units and types are ours, and @include, which could lead anywhere and for ever, is refused. Later files win
 * setting by setting. The instance lists (modules, drivers, passwords, sasl) of several files are joined in
 * that order, so that a package's one file can add its module; an entry with the name of an earlier one
 * replaces it in place. No file at all is a valid configuration. Started as root, only files that root owns
 * and nobody else can write are read.
 *
 * Rooms and modules describe their settings with option tables (<mortise/option.h>); conf_fill turns one
 * group into one struct. Every problem is collected, with file and line, into a report: the administrator
 * sees all of them at once, in order.
 *
 * Shape:
 *
 *     log = { level = "info"; };              a core group: conf_group "log"
 *     drivers = ( "unix" );                   instances in order; a bare name has the defaults
 *     passwords = ( "pam", { type = "file"; name = "staff"; path = "passwd"; } );
 *     sasl = ( "cyrus" );
 *     modules = ( { load = "unix"; required = true; } );
 *     module = { unix = { … }; };             options of every instance of a module
 *
 * A secret never stands in the text: an option of that type names a file or a descriptor, which is read when
 * the option is filled, into the caller's arena (let it be a secret one). So a role fills such groups before
 * it gives up its rights.
 *
 * Between roles the merged configuration travels as text with origins in a sealed memory file (conf_seal):
 * every role sees what the master checked, and roles without file access need none.
 */
#ifndef MORTISE_CONF_CONF_H
#define MORTISE_CONF_CONF_H

#include <stdbool.h>
#include <stdio.h>

#include <mortise/option.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct conf;
struct conf_node; /* a group in it; may be NULL: everything at its default */

/* A core group: which table fills which struct. main.c owns the list of all of them. */
struct conf_group {
	const char *name; /* "imap" */
	const struct mortise_option *options;
	size_t count;
	size_t size;         /* of the struct */
	const char *summary; /* one line for the manual */
};

/* Problems, in order of file and line. */
struct conf_report;
struct conf_report *conf_report_new(struct arena *a);
/* One line; `node`/`setting` may be NULL. number is a log_id. */
void conf_problem(struct conf_report *r, int number, const char *file, int line, const char *format, ...)
    PRINTF_LIKE(5, 6);
void conf_warning(struct conf_report *r, int number, const char *file, int line, const char *format, ...)
    PRINTF_LIKE(5, 6);
size_t conf_errors(const struct conf_report *r);
size_t conf_warnings(const struct conf_report *r);
void conf_report_print(const struct conf_report *r, FILE *out); /* "FILE:LINE: text [MRT-0213]" */
void conf_report_log(const struct conf_report *r);              /* the same through log_msg */

/* path NULL: the default place; a default that is not there is an empty configuration. Never NULL. */
struct conf *conf_load(const char *path, struct conf_report *r);
struct conf *conf_parse(struct str text, const char *name, struct conf_report *r); /* tests */
/* A sealed memory file to hand to another role, and back. */
int conf_seal(const struct conf *c, struct err *e);
struct conf *conf_unseal(int fd, struct err *e);
void conf_free(struct conf **cp);
#define AUTO_CONF __attribute__((cleanup(conf_free)))
const char *conf_file(const struct conf *c); /* main file's path, or "(none)" */

/* Fills out (size octets, zeroed here) from group `name`; reports unknown, mistyped, out-of-range settings.
 */
void conf_fill(struct conf *c, const struct conf_group *g, void *out, struct arena *a, struct conf_report *r);

/* An entry of an instance list. */
struct conf_instance {
	const char *name; /* its own, or the type */
	const char *type; /* module name, or an absolute path (main file only) */
	const char *file; /* origin */
	int line;
	const struct conf_node *node; /* its group, or NULL for a bare name */
	const char *list;             /* "drivers"; a static string of the caller */
};
/* List `name` ("drivers"), or `fallback` (NULL-terminated names) when the configuration does not have it. */
size_t conf_instances(struct conf *c, const char *name, const char *const *fallback, struct arena *a,
    struct conf_instance **out, struct conf_report *r);
/* Module options of one instance: module.NAME first, then the instance's own group over it. */
void conf_fill_instance(struct conf *c, const struct conf_instance *i, const char *module,
    const struct mortise_option *options, size_t count, size_t option_size, size_t size, void *out,
    struct arena *a, struct conf_report *r);
/* One option from text: for defaults, per-user overrides and tests. Returns 0 or a code with err set. */
int conf_set(const struct mortise_option *o, void *out, struct str text, struct arena *a, struct err *e);

/* modules = ( … ): what must be loaded. */
struct conf_module {
	const char *load;
	bool required;
	const char *file;
	int line;
};
size_t conf_modules(struct conf *c, struct arena *a, struct conf_module **out, struct conf_report *r);

/* After every group was filled: settings nobody asked for, with the nearest known name. */
void conf_check_unused(struct conf *c, struct conf_report *r);
/* --dump-config. `changed`: only what differs from the default. Origin as a comment. Secrets redacted. */
void conf_dump(struct conf *c, const struct conf_group *const *groups, size_t count, bool changed, FILE *out);

/* Manual text from a table: mdoc list items, plain text, JSON, or a commented sample stanza. */
enum conf_format { CONF_TEXT, CONF_JSON, CONF_MDOC, CONF_SAMPLE };
void conf_describe(const char *group, const struct mortise_option *options, size_t count, size_t option_size,
    enum conf_format format, struct buf *out);
/* A table that cannot work: no help, a default that does not parse, min > max, an unknown type. 0 or code. */
int conf_check_table(const struct mortise_option *options, size_t count, size_t option_size,
    size_t instance_size, struct err *e);

#endif
