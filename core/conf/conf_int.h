/*
 * conf_int.h: the merged configuration as a tree.
 *
 * Files go through three steps. scan.c reads the octets, refuses what libconfig would misread (NULs,
 * @include, numbers wider than it can hold, bare words, endless nesting), finds duplicates, and writes the
 * same tokens on the same lines in a plain form in which a number is a string that begins with NUMBER_MARK:
 * so no digit is lost. libconfig parses that. load.c copies its tree into nodes, which know their file, and
 * merges them. Nodes live as long as the struct conf.
 */
#ifndef MORTISE_CONF_CONF_INT_H
#define MORTISE_CONF_CONF_INT_H

#include "base/vec.h"
#include "conf/conf.h"
#include "log/log.h"

#define CONF_FILE_MAX (1024u * 1024u) /* octets of one file */
#define CONF_FILES_MAX 256u           /* files of imapd.conf.d */
#define CONF_SETTINGS_MAX 20000u      /* settings of all files, so that libconfig's linear searches end */
#define CONF_DEPTH_MAX 32u
#define CONF_VALUE_MAX 16384u /* octets of one string */
#define CONF_SECRET_MAX 65536u

#define NUMBER_MARK '\001'
#define DUPLICATE_MARK '*' /* first octet of a name given to a duplicate, which is dropped */

enum node_kind { NODE_GROUP = 1, NODE_LIST, NODE_TEXT, NODE_NUMBER, NODE_BOOL };

struct conf_node {
	enum node_kind kind;
	const char *name; /* NULL in a list */
	const char *file;
	int line;
	bool used;                           /* somebody asked for it */
	const struct mortise_option *option; /* how it was read, once it was */
	struct str text;                     /* scalars; also NUL-terminated */
	struct conf_node *first, *last, *next;
};

struct conf {
	uint32_t magic;
	struct arena *arena;
	struct conf_node *root;
	const char *main_file; /* as given, or NULL */
	const char *folder;    /* of the main file, absolute: what relative paths are below */
	bool from_master;      /* unsealed: checked already, users and groups are not looked up again */
	size_t settings;
	VEC(const char *) known; /* top-level names somebody asked for */
};

#define CONF_MAGIC 0x436f6e66u

/* report.c: the order of files in the report; called when a file is begun. */
void conf_report_file(struct conf_report *r, const char *file);
bool conf_report_has(const struct conf_report *r, int number); /* tests */

/*
 * scan.c: `text` in the plain form into `out`. False when the file must not go to libconfig; the problems are
 * in the report. *settings counts, over all files.
 */
bool conf_scan(struct str text, const char *file, struct buf *out, size_t *settings, struct conf_report *r);

/* load.c */
struct conf *conf_new(void);
struct conf_node *conf_node_new(struct conf *c, enum node_kind kind, const char *name);
void conf_node_add(struct conf_node *parent, struct conf_node *child);
struct conf_node *conf_child(const struct conf_node *parent, const char *name);
bool conf_is_instance_list(const char *name);
/* The name an entry of an instance list goes by, or NULL. */
const char *conf_entry_name(const struct conf_node *entry);
void conf_know(struct conf *c, const char *name);

/* value.c */
struct value_context {
	const char *folder; /* for relative paths */
	bool look_up;       /* users and groups must exist */
};
/* 0 or a code; e's admin text is what is wrong with the text. */
int conf_value(const struct mortise_option *o, void *out, struct str text, const struct value_context *v,
    struct arena *a, struct err *e);
/* The items of a list setting. */
int conf_value_list(
    const struct mortise_option *o, void *out, const struct conf_node *n, struct arena *a, struct err *e);
const char *conf_type_name(uint32_t type);
const char *conf_type_article(uint32_t type); /* "a" or "an" */
/* How the type is written in a file: "a number of octets: digits and k, M, G or T". */
const char *conf_type_hint(uint32_t type);
size_t conf_type_size(uint32_t type); /* 0: unknown */
bool conf_type_is_number(uint32_t type);
/* The field as text, in the notation of the file and without quotes. Secrets: "(set)" or "". */
void conf_value_text(const struct mortise_option *o, const void *in, struct buf *out);
bool conf_good_text(struct str s); /* UTF-8 without control characters */

/* fill.c: the rows of a table in our own size: a module may be compiled against a shorter or longer struct.
 */
const struct mortise_option *conf_table(
    const struct mortise_option *options, size_t count, size_t option_size, struct arena *a);

/* secret.c: `text` is "file:/path" or "fd:N". */
int conf_secret(struct mortise_secret *out, struct str text, struct arena *a, struct err *e);
/* Turns a pipe named by an "fd:N" into a memory file, so that it can be read more than once. */
void conf_secret_keep(const struct conf_node *n);

#endif
