/*
 * mortise/host.h: what the server does for a module.
 *
 * Every callback is given a `struct mortise_call *`: its host table, the instance it is for, and, behind
 * them, what the core keeps (arena, deadline, error, log prefix). A module links with nothing of the core;
 * all it can call is in this table. The table only grows at its end; `size` says how far it goes. A slot
 * newer than 0.1 is reached through an inline wrapper below that tests for it.
 *
 * Memory. Pointers given to a callback live until it returns, unless said otherwise. What a callback returns
 * lives in the lifetime that its comment names; nobody frees the other side's memory. `alloc` never fails for
 * sizes a module chooses itself; a size that came from a file or a client goes through `alloc_bounded`.
 *
 * Time. Deadlines are milliseconds of the monotonic clock (CLOCK_MONOTONIC); 0 means none. A callback that
 * may take long asks `should_stop` at least once a message or every 256 KiB, and waits only with `wait_fd` or
 * `sleep`.
 *
 * The same table is implemented by the daemon, the tools and the conformance kit.
 */
#ifndef MORTISE_HOST_H
#define MORTISE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_HOST_MAJOR 0u
#define MORTISE_HOST_MINOR 2u

struct mortise_host;

/* A configured use of a module: its name in imapd.conf and its options. One module may have several. */
struct mortise_instance {
	size_t size;
	const char *name;    /* "unix", or the instance's own name */
	const char *module;  /* module name */
	const void *options; /* instance_size octets, filled from the option table */
	void *state;         /* the module's own; the core never touches it */
};

/* One entry into a module. The core's private part follows; never copy or keep one. */
struct mortise_call {
	size_t size;
	const struct mortise_host *host;
	struct mortise_instance *instance;
};

/* Log levels. Text is one line; %m is errno's text. Never passwords, never message content. */
#define MORTISE_LOG_ERROR 10
#define MORTISE_LOG_WARN 20
#define MORTISE_LOG_INFO 30
#define MORTISE_LOG_DEBUG 40 /* only when debugging was turned on for this module */

/* Lifetimes. */
#define MORTISE_LIFE_CALL 10     /* until the callback returns */
#define MORTISE_LIFE_BOX 20      /* until the mailbox (driver) or conversation (sasl) is closed */
#define MORTISE_LIFE_INSTANCE 40 /* until the process ends */
#define MORTISE_LIFE_SECRET 50   /* as CALL, and wiped afterwards */

#if defined(__GNUC__)
#define MORTISE_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define MORTISE_PRINTF(f, a)
#endif

struct mortise_host {
	size_t size;
	uint32_t major, minor; /* MORTISE_HOST_… of the server */

	/* 0.1: telling */
	void (*log)(struct mortise_call *call, int level, const char *format, ...) MORTISE_PRINTF(3, 4);
	/* Both return `code`. See error.h. */
	int (*fail)(struct mortise_call *call, int code, const char *format, ...) MORTISE_PRINTF(3, 4);
	int (*fault)(struct mortise_call *call, int code, const char *format, ...) MORTISE_PRINTF(3, 4);
	/* fault with the code that belongs to the current errno; ": strerror" is added. Returns the code. */
	int (*fault_errno)(struct mortise_call *call, const char *format, ...) MORTISE_PRINTF(2, 3);

	/* 0.1: memory, zeroed */
	void *(*alloc)(struct mortise_call *call, int life, size_t size);
	/* count × size octets, or NULL after fail(MORTISE_E_LIMIT) when that is more than `limit` */
	void *(*alloc_bounded)(struct mortise_call *call, int life, size_t count, size_t size, size_t limit);
	char *(*print)(struct mortise_call *call, int life, const char *format, ...)MORTISE_PRINTF(3, 4);

	/* 0.1: stopping and waiting */
	uint64_t (*now)(struct mortise_call *call);      /* monotonic milliseconds */
	uint64_t (*deadline)(struct mortise_call *call); /* of this call, or 0 */
	/* 0: go on. Otherwise the code to return (MORTISE_E_CANCELLED, MORTISE_E_TEMP at the deadline). */
	int (*should_stop)(struct mortise_call *call);
	/* Waits `ms` at most. 0, or what should_stop says. */
	int (*sleep)(struct mortise_call *call, uint64_t ms);
	/* Waits for poll(2) events on fd until `deadline`: 1 ready, 0 deadline, or what should_stop says. */
	int (*wait_fd)(struct mortise_call *call, int fd, short events, uint64_t deadline);

	/* 0.1: randomness and secrets */
	void (*random)(struct mortise_call *call, void *p, size_t size);
	int (*equal)(
	    struct mortise_call *call, const void *a, const void *b, size_t size); /* constant time; 1 or 0 */

	/*
	 * 0.1: opening files below a root (a directory descriptor). `path` is relative; leaving the root by
	 * "..", absolute links or races gives -1 and errno EXDEV. O_CLOEXEC is always added. Returns a
	 * descriptor the caller closes, or -1 with errno; no error is recorded.
	 */
	int (*open_below)(struct mortise_call *call, int root, const char *path, int flags, mode_t mode);

	/*
	 * 0.1, drivers: the rewrite journal, for formats that are rewritten in place. The new content of a
	 * file from `offset` to its end is written to the returned descriptor (-1: no journal can be had
	 * here; errno says why; the driver may then rewrite without), and then journal_apply makes it so:
	 * sync the journal, copy it over the target from `offset`, truncate, sync the target, drop the
	 * journal. After a crash anywhere in between the core replays it before the mailbox is next opened.
	 * The driver holds its exclusive lock throughout, and begin and apply happen in one callback: what is
	 * left open when it returns is dropped. The target stays as it is between the two. begin returns a
	 * descriptor (its position 0 is `offset`; the driver does not close it), -1, or an error code below
	 * that, recorded, when an older journal still waits to be replayed: return it. apply returns 0 or an
	 * error code with the fault recorded: UNAVAILABLE when the target may be half-written and the journal
	 * waits to be replayed (return it, too), any other when nothing was changed. journal_drop gives up
	 * and touches nothing.
	 */
	int (*journal_begin)(struct mortise_call *call, int target, uint64_t offset);
	int (*journal_apply)(struct mortise_call *call, int journal);
	void (*journal_drop)(struct mortise_call *call, int journal);
	/*
	 * 0.1, drivers: finishes the rewrite of `target` that another process was killed in. The core looks
	 * for that before it calls a driver; only the driver can look again when it has just taken its lock
	 * by itself, and must, before it reads. 1 the target was changed, 0 nothing waits, or a code. With
	 * `exclusive` false (a shared lock, a target that cannot be written) nothing is done, and UNAVAILABLE
	 * says that a journal waits.
	 */
	int (*journal_recover)(struct mortise_call *call, int target, bool exclusive);

	/*
	 * 0.2: fsync (with `data_only`: fdatasync) of all these files and directories, in about the time that
	 * one takes. 0, or -1 with errno; no error is recorded. Called through mortise_sync_all.
	 */
	int (*sync_all)(struct mortise_call *call, const int *fds, size_t count, bool data_only);
};

static inline int mortise_sync_all(struct mortise_call *call, const int *fds, size_t count, bool data_only)
{
	size_t i;

	if (call->host->size >= offsetof(struct mortise_host, sync_all) + sizeof(call->host->sync_all))
		return call->host->sync_all(call, fds, count, data_only);
	for (i = 0; i < count; i++)
		if ((data_only ? fdatasync(fds[i]) : fsync(fds[i])) != 0)
			return -1;
	return 0;
}

#ifdef __cplusplus
}
#endif
#endif
