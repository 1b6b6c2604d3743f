/*
 * debug: logs every call of the engine, and serves a mailbox made up from its options.
 *
 * The mailbox is the same in every process: the same messages, UIDs and UIDVALIDITY. What is changed in it is
 * changed for this process only. There is nothing of keywords, removal or renaming here: the engine's own
 * ways for drivers that lack them are seen at work.
 */
#include <stdio.h>
#include <string.h>

#include "../memory/keep.h"

struct debug_options {
	uint64_t messages, size, uidvalidity;
};

static const struct mortise_option debug_option_table[] = {
    MORTISE_OPTION(struct debug_options, messages, UINT, "3", .max = "100000",
        .help = "messages in a mailbox of this driver"),
    MORTISE_OPTION(
        struct debug_options, size, SIZE, "1k", .min = "256", .max = "16M", .help = "octets of each message"),
    MORTISE_OPTION(struct debug_options, uidvalidity, UINT, "1", .min = "1", .max = "4294967295",
        .help = "UIDVALIDITY of every mailbox of this driver"),
};

#define DATE_OF_FIRST INT64_C(1704067200) /* 1 Jan 2024 00:00:00 UTC; the others follow by the hour */

static const char days[7][4] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

/* Message `number` (from 1), exactly `size` octets. */
static void write_message(char *out, size_t size, uint64_t number)
{
	static const char line[] = "All work and no play makes a driver a dull module.\r\n";
	uint64_t hour = number - 1;
	size_t n, i;
	int written = snprintf(out, size,
	    "Date: %s, %llu Jan 2024 %02llu:00:00 +0000\r\nFrom: Debug <debug@mortise.example>\r\n"
	    "To: you@mortise.example\r\nSubject: message %llu\r\nMessage-ID: <%llu@debug.mortise.example>\r\n"
	    "\r\n",
	    days[hour / 24 % 7], (unsigned long long)(hour / 24 % 28 + 1), (unsigned long long)(hour % 24),
	    (unsigned long long)number, (unsigned long long)number);

	n = (size_t)written;
	for (i = 0; n < size; n++, i++)
		out[n] = line[i % (sizeof(line) - 1)];
	out[size - 2] = '\r';
	out[size - 1] = '\n';
}

static int load(struct mortise_call *call, const struct keep_kind *k, void *box)
{
	const struct debug_options *o = call->instance->options;
	char *text = call->host->alloc(call, MORTISE_LIFE_CALL, o->size + 1);
	uint64_t i;
	int r = 0;

	(void)k;
	keep_set_uidvalidity(box, (uint32_t)o->uidvalidity);
	for (i = 1; r == 0 && i <= o->messages; i++) {
		write_message(text, o->size, i);
		r = keep_add(call, box, text, o->size, i % 2 == 0 ? MORTISE_FLAG_SEEN : 0,
		    DATE_OF_FIRST + (int64_t)(i - 1) * 3600);
	}
	return r;
}

static const struct keep_kind kind = {.name = "debug", .load = load};

/* Says what was called and what came of it. Hands the result on. */
static int said(
    struct mortise_call *call, const char *callback, const char *what, uint64_t number, int result)
{
	call->host->log(call, MORTISE_LOG_INFO, "%s(%s%s%llu) = %d", callback, what,
	    what[0] != '\0' ? ", " : "", (unsigned long long)number, result);
	return result;
}

static int debug_recognise(struct mortise_call *call, const struct mortise_probe *probe)
{
	return said(
	    call, "recognise", probe->place->path, probe->head_size, keep_recognise(call, &kind, probe));
}

static int debug_create(struct mortise_call *call, const struct mortise_place *place)
{
	return said(call, "create", place->path, 0, keep_create(call, &kind, place));
}

static int debug_open(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
    struct mortise_box_info *info, void **box)
{
	return said(
	    call, "open", place->path, open_flags, keep_open(call, &kind, place, open_flags, info, box));
}

static int debug_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	uint8_t before = cursor->size;

	return said(call, "sync", before == 0 ? "from the beginning" : "from a cursor", before,
	    keep_sync(call, &kind, box, cursor, sink));
}

static int debug_read(
    struct mortise_call *call, void *box, const struct mortise_ref *ref, struct mortise_source *source)
{
	return said(call, "read", "uid", ref->uid, keep_read(call, &kind, box, ref, source));
}

static int debug_append_begin(struct mortise_call *call, void *box, void **tx)
{
	return said(call, "append_begin", "", 0, keep_append_begin(call, box, tx));
}

static int debug_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
{
	return said(call, "append_message", "octets", info->octets, keep_append_message(call, tx, info));
}

static int debug_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size)
{
	return said(call, "append_write", "octets", size, keep_append_write(call, tx, octets, size));
}

static int debug_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	return said(call, "append_commit", "messages", count,
	    keep_append_commit(call, &kind, tx, uidvalidity, uids, count));
}

static void debug_append_abort(struct mortise_call *call, void *tx)
{
	keep_append_abort(call, tx);
	said(call, "append_abort", "", 0, 0);
}

static int debug_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count)
{
	return said(call, "set_flags", "messages", count, keep_set_flags(call, box, changes, count));
}

static int debug_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	return said(call, "expunge", "messages", count, keep_expunge(call, box, refs, count));
}

static int debug_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline)
{
	return said(call, "lock", "mode", (uint64_t)mode, keep_lock(call, box, mode, deadline));
}

static void debug_close(struct mortise_call *call, void *box)
{
	keep_close(call, box);
	said(call, "close", "", 0, 0);
}

static const struct mortise_traits debug_traits = {
    .size = sizeof(debug_traits),
    .uid = MORTISE_TRAIT_NATIVE,
    .keywords = MORTISE_TRAIT_NONE,
    .modseq = MORTISE_TRAIT_EMULATE,
    .multi_writer = true,
    .newline = MORTISE_NEWLINE_CRLF,
};

static const struct mortise_driver_ops debug_ops = {
    .size = sizeof(debug_ops),
    .traits = &debug_traits,
    .recognise = debug_recognise,
    .create = debug_create,
    .open = debug_open,
    .sync = debug_sync,
    .read = debug_read,
    .append_begin = debug_append_begin,
    .append_message = debug_append_message,
    .append_write = debug_append_write,
    .append_commit = debug_append_commit,
    .append_abort = debug_append_abort,
    .set_flags = debug_set_flags,
    .expunge = debug_expunge,
    .lock = debug_lock,
    .close = debug_close,
};

MORTISE_MODULE(debug, .kind = MORTISE_KIND_DRIVER, .api_major = MORTISE_DRIVER_MAJOR,
    .api_minor = MORTISE_DRIVER_MINOR, .name = "debug", .version = "0.1",
    .summary = "logs every call, serves made-up mailboxes", .licence = "Apache-2.0",
    .url = "https://mortise.example/", .options = debug_option_table,
    .option_count = sizeof(debug_option_table) / sizeof(debug_option_table[0]),
    .instance_size = sizeof(struct debug_options), .ops = &debug_ops);
