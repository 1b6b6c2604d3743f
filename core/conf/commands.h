/*
 * commands.h: what `imapd --check-config`, `--dump-config` and `--describe-config` do, for main.c.
 *
 * They see the configuration through the list of all core groups, which main.c owns, and a hook, because this
 * room does not know modules: the hook calls conf_instances and conf_fill_instance for every list (as the
 * module room's registry does) and thereby tells which lists exist, checks the options of their entries, and
 * lets the dump know which of them are secrets.
 */
#ifndef MORTISE_CONF_COMMANDS_H
#define MORTISE_CONF_COMMANDS_H

#include "conf/conf.h"

#define CONF_EXIT_CONFIG 78 /* EX_CONFIG of sysexits.h */

/* Looks at the instances; NULL: lists are read, their entries' options are not. */
typedef void conf_instances_hook(struct conf *c, struct arena *a, struct conf_report *r, void *arg);

/*
 * Every problem of the configuration, one a line. 0 or CONF_EXIT_CONFIG. With `strict`, warnings fail too.
 * file NULL: the default place.
 */
int conf_command_check(const char *file, const struct conf_group *const *groups, size_t n, bool strict,
    conf_instances_hook *hook, void *arg, FILE *out);
/* Values and origins to `out`; problems, if any, to `errors`, and then CONF_EXIT_CONFIG. */
int conf_command_dump(const char *file, const struct conf_group *const *groups, size_t n, bool changed,
    conf_instances_hook *hook, void *arg, FILE *out, FILE *errors);
/* The tables of all core groups. "mdoc" is the whole of imapd.conf(5). 0, or 64 (EX_USAGE): no such format.
 */
int conf_command_describe(const struct conf_group *const *groups, size_t n, const char *format, FILE *out);
/* mortise-messages(7), from messages.def. */
void conf_messages_manual(FILE *out);

#endif
