/*
 * fail: a driver that works (as memory does) until it fails where it was told to.
 *
 * `callback` fails with `code` after it has worked `after` times, `times` times over (0: for ever). It fails
 * before it has done anything, which is what driver.h promises; sync, when `late` is set, fails after having
 * reported everything.
 */
#include <string.h>

#include "../memory/keep.h"

struct fail_options {
	const char *callback;
	int code;
	uint64_t after, times;
	bool late;
};

static const struct mortise_enum fail_codes[] = {
    {"none", 0},
    {"notfound", MORTISE_E_NOTFOUND},
    {"exists", MORTISE_E_EXISTS},
    {"perm", MORTISE_E_PERM},
    {"quota", MORTISE_E_QUOTA},
    {"inuse", MORTISE_E_INUSE},
    {"expunged", MORTISE_E_EXPUNGED},
    {"corrupt", MORTISE_E_CORRUPT},
    {"limit", MORTISE_E_LIMIT},
    {"toobig", MORTISE_E_TOOBIG},
    {"unsupported", MORTISE_E_UNSUPPORTED},
    {"invalid", MORTISE_E_INVALID},
    {"temp", MORTISE_E_TEMP},
    {"unavailable", MORTISE_E_UNAVAILABLE},
    {"cancelled", MORTISE_E_CANCELLED},
    {"io", MORTISE_E_IO},
    {"internal", MORTISE_E_INTERNAL},
    {NULL, 0},
};

static const struct mortise_option fail_option_table[] = {
    MORTISE_OPTION(struct fail_options, callback, STRING, "", .help = "callback that fails",
        .detail = "One of recognise, create, open, sync, read, append_begin, append_message, append_write, "
                  "append_commit, set_flags, expunge, lock, add_keyword, rename, watch, seen_recent. Empty: "
                  "none. Giving a lock back never fails."),
    MORTISE_OPTION(
        struct fail_options, code, ENUM, "io", .values = fail_codes, .help = "error code it fails with"),
    MORTISE_OPTION(struct fail_options, after, UINT, "0",
        .help = "how often the callback works before it fails",
        .detail = "The count is the process's, not the mailbox's."),
    MORTISE_OPTION(struct fail_options, times, UINT, "0", .help = "how often it fails then (0: for ever)"),
    MORTISE_OPTION(struct fail_options, late, BOOL, "no",
        .help = "sync fails after it has reported the changes, not before"),
};

static const struct keep_kind kind = {.name = "fail", .keyword_limit = 64};

/* How often the configured callback was called; one for each instance would need its state: this is it. */
static uint64_t *counter(struct mortise_call *call)
{
	if (call->instance->state == NULL)
		call->instance->state = call->host->alloc(call, MORTISE_LIFE_INSTANCE, sizeof(uint64_t));
	return call->instance->state;
}

/* The code the callback is to fail with now, with its text set; or 0. */
static int trip(struct mortise_call *call, const char *callback)
{
	const struct fail_options *o = call->instance->options;
	uint64_t n;

	if (o->code == 0 || strcmp(o->callback, callback) != 0)
		return 0;
	n = ++*counter(call);
	if (n <= o->after || (o->times != 0 && n > o->after + o->times))
		return 0;
	return call->host->fault(call, o->code, "told to fail at call %llu", (unsigned long long)n);
}

#define TRIP(callback)                             \
	do {                                       \
		int trip_r = trip(call, callback); \
		if (trip_r != 0)                   \
			return trip_r;             \
	} while (0)

static int fail_recognise(struct mortise_call *call, const struct mortise_probe *probe)
{
	int r = keep_recognise(call, &kind, probe);

	if (r == MORTISE_MINE)
		TRIP("recognise");
	return r;
}

static int fail_create(struct mortise_call *call, const struct mortise_place *place)
{
	TRIP("create");
	return keep_create(call, &kind, place);
}

static int fail_open(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
    struct mortise_box_info *info, void **box)
{
	TRIP("open");
	return keep_open(call, &kind, place, open_flags, info, box);
}

static int fail_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	const struct fail_options *o = call->instance->options;
	int r;

	if (!o->late)
		TRIP("sync");
	r = keep_sync(call, &kind, box, cursor, sink);
	if (r == 0 && o->late)
		TRIP("sync");
	return r;
}

static int fail_read(
    struct mortise_call *call, void *box, const struct mortise_ref *ref, struct mortise_source *source)
{
	TRIP("read");
	return keep_read(call, &kind, box, ref, source);
}

static int fail_append_begin(struct mortise_call *call, void *box, void **tx)
{
	TRIP("append_begin");
	return keep_append_begin(call, box, tx);
}

static int fail_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
{
	TRIP("append_message");
	return keep_append_message(call, tx, info);
}

static int fail_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size)
{
	TRIP("append_write");
	return keep_append_write(call, tx, octets, size);
}

static int fail_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	int r = trip(call, "append_commit");

	if (r == 0)
		return keep_append_commit(call, &kind, tx, uidvalidity, uids, count);
	keep_append_abort(call, tx);
	return r;
}

static int fail_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count)
{
	TRIP("set_flags");
	return keep_set_flags(call, box, changes, count);
}

static int fail_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	TRIP("expunge");
	return keep_expunge(call, box, refs, count);
}

static int fail_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline)
{
	if (mode != MORTISE_LOCK_NONE)
		TRIP("lock");
	return keep_lock(call, box, mode, deadline);
}

static int fail_add_keyword(struct mortise_call *call, void *box, const char *name, unsigned *bit)
{
	TRIP("add_keyword");
	return keep_add_keyword(call, &kind, box, name, bit);
}

static int fail_rename(
    struct mortise_call *call, const struct mortise_place *from, const struct mortise_place *to)
{
	TRIP("rename");
	return keep_rename(call, &kind, from, to);
}

static int fail_watch(struct mortise_call *call, void *box, struct mortise_watch *watch)
{
	TRIP("watch");
	return keep_watch(call, box, watch);
}

static int fail_seen_recent(
    struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	TRIP("seen_recent");
	return keep_seen_recent(call, box, refs, count);
}

static const struct mortise_traits fail_traits = {
    .size = sizeof(fail_traits),
    .uid = MORTISE_TRAIT_NATIVE,
    .keywords = MORTISE_TRAIT_NATIVE,
    .modseq = MORTISE_TRAIT_EMULATE,
    .multi_writer = true,
    .newline = MORTISE_NEWLINE_CRLF,
};

/* No remove: the engine's emulation is used with this driver. */
static const struct mortise_driver_ops fail_ops = {
    .size = sizeof(fail_ops),
    .traits = &fail_traits,
    .recognise = fail_recognise,
    .create = fail_create,
    .open = fail_open,
    .sync = fail_sync,
    .read = fail_read,
    .append_begin = fail_append_begin,
    .append_message = fail_append_message,
    .append_write = fail_append_write,
    .append_commit = fail_append_commit,
    .append_abort = keep_append_abort,
    .set_flags = fail_set_flags,
    .expunge = fail_expunge,
    .lock = fail_lock,
    .close = keep_close,
    .add_keyword = fail_add_keyword,
    .rename = fail_rename,
    .watch = fail_watch,
    .seen_recent = fail_seen_recent,
};

MORTISE_MODULE(fail, .kind = MORTISE_KIND_DRIVER, .api_major = MORTISE_DRIVER_MAJOR,
    .api_minor = MORTISE_DRIVER_MINOR, .name = "fail", .version = "0.1",
    .summary = "a mailbox driver that fails where it is told to", .licence = "Apache-2.0",
    .url = "https://mortise.example/", .options = fail_option_table,
    .option_count = sizeof(fail_option_table) / sizeof(fail_option_table[0]),
    .instance_size = sizeof(struct fail_options), .ops = &fail_ops);
