/*
 * banned.h: calls that do not compile.
 *
 * Each of these has lost somebody's mail or machine: no bound, a bound that does not terminate, a hidden
 * static buffer, or a name race. Use struct buf, struct str and the arena instead. Include this last: the
 * system's own headers must have declared the functions first.
 */
#ifndef MORTISE_BASE_BANNED_H
#define MORTISE_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MORTISE_BANNED(f) this_function_is_banned_##f

#undef strcpy
#define strcpy(a, b) MORTISE_BANNED(strcpy)
#undef stpcpy
#define stpcpy(a, b) MORTISE_BANNED(stpcpy)
#undef strcat
#define strcat(a, b) MORTISE_BANNED(strcat)
#undef strncpy
#define strncpy(a, b, n) MORTISE_BANNED(strncpy)
#undef strncat
#define strncat(a, b, n) MORTISE_BANNED(strncat)
#undef sprintf
#define sprintf(...) MORTISE_BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) MORTISE_BANNED(vsprintf)
#undef gets
#define gets(a) MORTISE_BANNED(gets)
#undef strtok
#define strtok(a, b) MORTISE_BANNED(strtok)
#undef alloca
#define alloca(n) MORTISE_BANNED(alloca)
#undef tmpnam
#define tmpnam(a) MORTISE_BANNED(tmpnam)
#undef mktemp
#define mktemp(a) MORTISE_BANNED(mktemp)
#undef gmtime
#define gmtime(a) MORTISE_BANNED(gmtime)
#undef localtime
#define localtime(a) MORTISE_BANNED(localtime)
#undef ctime
#define ctime(a) MORTISE_BANNED(ctime)
#undef asctime
#define asctime(a) MORTISE_BANNED(asctime)
#undef atoi
#define atoi(a) MORTISE_BANNED(atoi)
#undef atol
#define atol(a) MORTISE_BANNED(atol)

#endif
