/*
 * object.h: magic numbers and asserts.
 *
 * An object that lives longer than one call begins with `uint32_t magic`, and every function that is given
 * one checks it on entry: a stale or wrong pointer then stops the process at the border instead of
 * corrupting a mailbox further on. CHECK_OBJ is for a pointer that must be there, TAKE_OBJ takes it over
 * from the caller's variable and leaves NULL behind.
 *
 * Asserts are for what cannot happen. Nothing a client, a file or a peer process says may reach one.
 * Asserts stay on in release builds; their cost is a compare.
 */
#ifndef MORTISE_BASE_OBJECT_H
#define MORTISE_BASE_OBJECT_H

#include <stddef.h>
#include <stdint.h>

/* Prints "file:line: function: what" to stderr (and to the log, when base_assert_hook is set), aborts. */
_Noreturn void assert_failed(const char *file, int line, const char *function, const char *what);

/* Set by the log room; called once before abort(). */
extern void (*assert_hook)(const char *text);

#define ASSERT(e) ((e) ? (void)0 : assert_failed(__FILE__, __LINE__, __func__, #e))
#define UNREACHABLE(what) assert_failed(__FILE__, __LINE__, __func__, "unreachable: " what)

/* One number for each kind of object; tests/lint checks that no two share one. */
#define CHECK_OBJ(p, m)                    \
	do {                               \
		ASSERT((p) != NULL);       \
		ASSERT((p)->magic == (m)); \
	} while (0)

#define TAKE_OBJ(to, from, m)         \
	do {                          \
		(to) = *(from);       \
		*(from) = NULL;       \
		CHECK_OBJ((to), (m)); \
	} while (0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define UNUSED __attribute__((unused))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define MUST_USE __attribute__((warn_unused_result))

#endif
