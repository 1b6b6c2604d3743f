/*
 * mortise/option.h: option tables.
 *
 * One table is the whole truth about an option: its name in imapd.conf, its type, the field it is written to,
 * its default as text, its range, and its manual. The core parses the configuration with it, the manual page,
 * the sample configuration and `--dump-config` are printed from it. A module never parses configuration
 * itself.
 *
 *     struct my_options { uint64_t cache_ttl; bool strict; const char *path; };
 *
 *     static const struct mortise_option my_option_table[] = {
 *             MORTISE_OPTION(struct my_options, cache_ttl, DURATION, "5m", .min = "1s", .max = "1d",
 *                            .help = "how long an answer is kept"),
 *             MORTISE_OPTION(struct my_options, strict, BOOL, "no", .help = "refuse what is doubtful"),
 *     };
 *
 * The macro does not compile when the field has another C type than the option's type asks for.
 * Defaults go through the same parser as the file, so a bad default is refused when the module is probed.
 */
#ifndef MORTISE_OPTION_H
#define MORTISE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Option types; the comment names the C type of the field and the text that is understood. */
#define MORTISE_OPTION_BOOL 10 /* bool; yes/no, true/false, on/off */
#define MORTISE_OPTION_INT 20  /* int64_t; decimal, may be negative */
#define MORTISE_OPTION_UINT 30 /* uint64_t; decimal */
#define MORTISE_OPTION_SIZE 40 /* uint64_t octets; digits and k, M, G (powers of 1024) */
#define MORTISE_OPTION_DURATION \
	50                       /* uint64_t milliseconds; digits and ms, s, m, h, d (s when bare); 0 is 0 */
#define MORTISE_OPTION_OCTAL 60  /* uint32_t; octal digits, for file modes */
#define MORTISE_OPTION_STRING 70 /* const char *; UTF-8 without control characters */
#define MORTISE_OPTION_ENUM 80   /* int; one of the names in `values` */
#define MORTISE_OPTION_PATH \
	90 /* const char *; made absolute against the configuration's folder; "~/" is kept */
#define MORTISE_OPTION_USER 100     /* const char *; a user name that exists, or digits */
#define MORTISE_OPTION_GROUP 110    /* const char *; a group name that exists, or digits */
#define MORTISE_OPTION_HOSTPORT 120 /* const char *; HOST:PORT, [IPV6]:PORT, *:PORT or unix:/path */
#define MORTISE_OPTION_URL 130      /* const char *; scheme:rest */
#define MORTISE_OPTION_LIST 140     /* struct mortise_list; a list of strings */
#define MORTISE_OPTION_SECRET                                                        \
	150 /* struct mortise_secret; "file:/path" or "fd:N"; inline text is refused \
	     */

#define MORTISE_OPTION_REQUIRED 0x01u   /* no default: must be set */
#define MORTISE_OPTION_PER_USER 0x02u   /* a password backend may set it for one user */
#define MORTISE_OPTION_RELOADABLE 0x04u /* takes effect on reload; others need a restart */
#define MORTISE_OPTION_DEPRECATED 0x08u /* still read; `instead` names its successor */
#define MORTISE_OPTION_HIDDEN 0x10u     /* not in the manual: for tests */

struct mortise_enum {
	const char *name; /* NULL ends the list */
	int value;
};

struct mortise_list {
	const char *const *items; /* count strings */
	size_t count;
};

struct mortise_secret {
	const unsigned char *data;
	size_t size;
};

struct mortise_option {
	const char *name; /* lower case, digits, '_' */
	uint32_t type;    /* MORTISE_OPTION_… */
	uint32_t flags;
	size_t offset;        /* of the field in the instance's option struct */
	const char *fallback; /* the default as text; NULL: zero/empty (not with REQUIRED) */
	const char *min;      /* numbers only, as text in the option's own notation; NULL: none */
	const char *max;
	const struct mortise_enum *values; /* ENUM only */
	const char *since;                 /* version that brought it */
	const char *help;                  /* one line, no full stop; never NULL */
	const char *detail;                /* more sentences for the manual, or NULL */
	const char *instead;               /* DEPRECATED only */
};

typedef bool mortise_type_BOOL;
typedef int64_t mortise_type_INT;
typedef uint64_t mortise_type_UINT;
typedef uint64_t mortise_type_SIZE;
typedef uint64_t mortise_type_DURATION;
typedef uint32_t mortise_type_OCTAL;
typedef const char *mortise_type_STRING;
typedef int mortise_type_ENUM;
typedef const char *mortise_type_PATH;
typedef const char *mortise_type_USER;
typedef const char *mortise_type_GROUP;
typedef const char *mortise_type_HOSTPORT;
typedef const char *mortise_type_URL;
typedef struct mortise_list mortise_type_LIST;
typedef struct mortise_secret mortise_type_SECRET;

/* offsetof that does not compile when the field's type is not `type`. */
#define MORTISE_FIELD(structure, field, type) \
	(offsetof(structure, field) + 0 * sizeof(&((structure *)0)->field == (type *)0))

#define MORTISE_OPTION(structure, field, kind, text, ...)                                         \
	{                                                                                         \
		.name = #field, .type = MORTISE_OPTION_##kind,                                    \
		.offset = MORTISE_FIELD(structure, field, mortise_type_##kind), .fallback = text, \
		__VA_ARGS__                                                                       \
	}

#ifdef __cplusplus
}
#endif
#endif
