/*
 * test-fake.h: a backend and mechanisms that misbehave on demand, and a registry of built-in instances that
 * holds them in place of core/module/registry.c.
 */
#ifndef MORTISE_AUTH_TEST_FAKE_H
#define MORTISE_AUTH_TEST_FAKE_H

#include "module/module.h"

extern struct instance *fake_passwords[4], *fake_sasl[4];
extern size_t fake_password_count, fake_sasl_count;
/* 0, or what `start` of the backend does in a worker: exits at once. */
extern int fake_start_exits;
/* Sockets of the test itself, which workers inherit only because pool and test are one process here; `start`
 * closes them. */
#define FAKE_OWN_MAX 64
extern int fake_own_sockets[FAKE_OWN_MAX];
extern size_t fake_own_count;

/* What the password backend answers is the user name's first word:
 *   ok-UID…   right when the password is "right", uid UID (2000 when left out); option pid=PID
 *   root, low, gid0, nohome   OK with an identity that may not log in
 *   unknown, disabled, expired, temp, next, odd, negative   that result
 *   slow      as ok, after 200 ms;  hang: never;  crash, abort, exit, killed: as they say
 *   fork      returns twice;  print: to stdout and stderr, then ok;  sockets: ok when it has one socket
 *   garbage, short, lie, lie-root, double   writes to the worker's socket behind its back
 */
extern const struct mortise_module fake_password_module, fake_second_module;
/* PLAIN: user NUL password at once. LOGIN: two challenges. TWICE: a challenge, then FAIL whatever comes.
 * CLAIM: proves "ok" by password, claims "other". SAYS: claims what the client sends, "authc NUL authz". */
extern const struct mortise_module fake_sasl_module;

#endif
