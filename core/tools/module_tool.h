/*
 * module_tool.h: the commands of mortise-module(1), which is for authors and packagers of modules and for the
 * administrator who wonders why one is not there.
 *
 * Each command gives the process's exit status: 0, 1 when the answer is no, 64 for wrong use.
 */
#ifndef MORTISE_TOOLS_MODULE_TOOL_H
#define MORTISE_TOOLS_MODULE_TOOL_H

#include "module/module.h"

#define TOOL_USAGE 64 /* EX_USAGE of sysexits.h */

struct module_tool {
	struct module_options options;
	const char *templates; /* directory */
	enum conf_format format;
	struct arena *arena;
};

/* A project for a module `name` of a kind ("driver", "password", "sasl") in `dir`, which is made. */
int tool_new(struct module_tool *t, const char *name, const char *kind, const char *dir);
/* What a module says about itself. */
int tool_describe(struct module_tool *t, const char *file);
/* Every module there is, and why one is refused. */
int tool_list(struct module_tool *t);
/* What can be said without using it: TAP. */
int tool_check(struct module_tool *t, const char *file);

#endif
