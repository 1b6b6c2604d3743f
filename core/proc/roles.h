/*
 * roles.h: the main functions of the processes.
 *
 * main.c decides by the arguments which one runs. Each returns an exit status (sysexits: 64 usage, 69
 * unavailable, 70 bug, 71 system, 78 configuration).
 */
#ifndef MORTISE_PROC_ROLES_H
#define MORTISE_PROC_ROLES_H

#include <stdbool.h>
#include <stdio.h>

#include "conf/conf.h"

int master_run(const char *config, char **environment);
int log_run(struct conf *conf, bool unprivileged);
int front_run(struct conf *conf, bool unprivileged);
int spawner_run(struct conf *conf, bool unprivileged);
/* --preauth: a session on standard input and output for the user who calls. */
int preauth_run(const char *config);

/* Reads, fills and checks everything, modules included; the report goes to out. 0 or 78. */
int check_run(const char *config, bool strict, FILE *out);
/* --dump-config, --describe-config. */
int dump_run(const char *config, bool changed, FILE *out);
int describe_run(const char *format, FILE *out);

#endif
