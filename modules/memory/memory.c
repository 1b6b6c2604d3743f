/*
 * memory: mailboxes in the memory of the process. For tests, and as the reference for other drivers.
 */
#include "keep.h"

struct memory_options {
	bool full_scans, assign_uids, tell_sizes, lf_files;
	uint64_t keywords;
};

static const struct mortise_option memory_option_table[] = {
    MORTISE_OPTION(struct memory_options, keywords, UINT, "64", .max = "64",
        .help = "keywords that a mailbox can hold", .detail = "0 makes mailboxes without keywords."),
    MORTISE_OPTION(struct memory_options, full_scans, BOOL, "no", .flags = MORTISE_OPTION_HIDDEN,
        .help = "report every change by a full scan"),
    MORTISE_OPTION(struct memory_options, assign_uids, BOOL, "yes", .flags = MORTISE_OPTION_HIDDEN,
        .help = "give messages their UIDs; else the engine does"),
    MORTISE_OPTION(struct memory_options, tell_sizes, BOOL, "yes", .flags = MORTISE_OPTION_HIDDEN,
        .help = "report the sizes of messages; else the engine counts"),
    MORTISE_OPTION(struct memory_options, lf_files, BOOL, "no", .flags = MORTISE_OPTION_HIDDEN,
        .help = "hand out texts as files with LF lines"),
};

static struct keep_kind kind(const struct mortise_call *call)
{
	const struct memory_options *o = call->instance->options;

	return (struct keep_kind){.name = "memory",
	    .full_scans = o->full_scans,
	    .no_uids = !o->assign_uids,
	    .no_sizes = !o->tell_sizes,
	    .as_lf_file = o->lf_files,
	    .keyword_limit = (unsigned)o->keywords};
}

static int memory_recognise(struct mortise_call *call, const struct mortise_probe *probe)
{
	const struct keep_kind k = kind(call);

	return keep_recognise(call, &k, probe);
}

static int memory_create(struct mortise_call *call, const struct mortise_place *place)
{
	const struct keep_kind k = kind(call);

	return keep_create(call, &k, place);
}

static int memory_open(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
    struct mortise_box_info *info, void **box)
{
	const struct keep_kind k = kind(call);

	return keep_open(call, &k, place, open_flags, info, box);
}

static int memory_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	const struct keep_kind k = kind(call);

	return keep_sync(call, &k, box, cursor, sink);
}

static int memory_read(
    struct mortise_call *call, void *box, const struct mortise_ref *ref, struct mortise_source *source)
{
	const struct keep_kind k = kind(call);

	return keep_read(call, &k, box, ref, source);
}

static int memory_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	const struct keep_kind k = kind(call);

	return keep_append_commit(call, &k, tx, uidvalidity, uids, count);
}

static int memory_add_keyword(struct mortise_call *call, void *box, const char *name, unsigned *bit)
{
	const struct keep_kind k = kind(call);

	return keep_add_keyword(call, &k, box, name, bit);
}

static int memory_remove(struct mortise_call *call, const struct mortise_place *place)
{
	const struct keep_kind k = kind(call);

	return keep_remove(call, &k, place);
}

static int memory_rename(
    struct mortise_call *call, const struct mortise_place *from, const struct mortise_place *to)
{
	const struct keep_kind k = kind(call);

	return keep_rename(call, &k, from, to);
}

static const struct mortise_traits memory_traits = {
    .size = sizeof(memory_traits),
    .uid = MORTISE_TRAIT_NATIVE,
    .keywords = MORTISE_TRAIT_NATIVE,
    .modseq = MORTISE_TRAIT_EMULATE,
    .multi_writer = true,
    .newline = MORTISE_NEWLINE_CRLF,
};

static const struct mortise_driver_ops memory_ops = {
    .size = sizeof(memory_ops),
    .traits = &memory_traits,
    .recognise = memory_recognise,
    .create = memory_create,
    .open = memory_open,
    .sync = memory_sync,
    .read = memory_read,
    .append_begin = keep_append_begin,
    .append_message = keep_append_message,
    .append_write = keep_append_write,
    .append_commit = memory_append_commit,
    .append_abort = keep_append_abort,
    .set_flags = keep_set_flags,
    .expunge = keep_expunge,
    .lock = keep_lock,
    .close = keep_close,
    .add_keyword = memory_add_keyword,
    .remove = memory_remove,
    .rename = memory_rename,
    .watch = keep_watch,
    .seen_recent = keep_seen_recent,
};

MORTISE_MODULE(memory, .kind = MORTISE_KIND_DRIVER, .api_major = MORTISE_DRIVER_MAJOR,
    .api_minor = MORTISE_DRIVER_MINOR, .name = "memory", .version = "0.1",
    .summary = "mailboxes in the memory of the process", .licence = "Apache-2.0",
    .url = "https://mortise.example/", .options = memory_option_table,
    .option_count = sizeof(memory_option_table) / sizeof(memory_option_table[0]),
    .instance_size = sizeof(struct memory_options), .ops = &memory_ops);
