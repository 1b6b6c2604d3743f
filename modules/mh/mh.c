/*
 * mh: the driver of MH folders, as nmh, mutt, Claws Mail and Sylpheed have them.
 *
 * A mailbox is a directory, a message a file in it whose name is a number. Flags are sequences in
 * .mh_sequences: "unseen", and mutt's "flagged" and "replied"; the engine keeps the other flags, keywords and
 * UIDs. Everything is done under the lock that nmh takes, so that its commands can be used on a folder that
 * a session has open.
 *
 * Each file of this driver says what it is about: box.h what a message is, sequence.c and lock.c
 * .mh_sequences, scan.c the directory and sync, batch.c several messages at once, append.c, change.c,
 * folder.c the changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

static const struct mortise_option option_table[] = {
    MORTISE_OPTION(struct mh_options, unseen, STRING, "unseen", .since = "0.1",
        .help = "sequence of the messages that are not \\Seen",
        .detail = "What `Unseen-Sequence` is in a user's .mh_profile."),
    MORTISE_OPTION(struct mh_options, flagged, STRING, "flagged", .since = "0.1",
        .help = "sequence of the messages that are \\Flagged", .detail = "mutt calls it `mh_seq_flagged`."),
    MORTISE_OPTION(struct mh_options, replied, STRING, "replied", .since = "0.1",
        .help = "sequence of the messages that are \\Answered", .detail = "mutt calls it `mh_seq_replied`."),
    MORTISE_OPTION(struct mh_options, every_directory, BOOL, "no", .since = "0.1",
        .help = "every directory is a folder, even an empty one",
        .detail = "For a mail directory in which all is MH's. Drivers that come before this one in `drivers` "
                  "are asked first."),
    MORTISE_OPTION(struct mh_options, keep_removed, BOOL, "no", .since = "0.1",
        .help = "expunged messages are renamed, as `rmm` does",
        .detail = "Message 7 becomes `,7`. Something has to remove these files from time to time."),
    MORTISE_OPTION(struct mh_options, message_limit, UINT, "1000000", .min = "1", .max = "100000000",
        .since = "0.1", .help = "messages a mailbox may have",
        .detail = "A mailbox with more is not opened, an append beyond it is refused."),
    MORTISE_OPTION(struct mh_options, sequences_limit, SIZE, "1M", .min = "4k", .max = "1G", .since = "0.1",
        .help = "octets that .mh_sequences may have",
        .detail = "It is read into memory as a whole. A mailbox with a larger one is not opened."),
};

static void close_box(struct mortise_call *call, void *opened)
{
	struct mh_box *b = opened;

	(void)mh_lock(call, b, MORTISE_LOCK_NONE, 0);
	mh_list_free(&b->list);
	if (b->fd >= 0)
		close(b->fd);
	if (b->dir >= 0)
		close(b->dir);
}

static int open_box(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
    struct mortise_box_info *info, void **out)
{
	struct mh_box *b = call->host->alloc(call, MORTISE_LIFE_BOX, sizeof(*b));

	b->options = call->instance->options;
	b->place = place;
	b->fd = b->sequences = -1;
	b->dir = call->host->open_below(call, place->root, place->path, O_RDONLY | O_DIRECTORY, 0);
	if (b->dir < 0)
		return errno == ENOENT ? call->host->fail(call, MORTISE_E_NOTFOUND, "No such mailbox")
		                       : call->host->fault_errno(call, "%s", place->path);
	b->read_only =
	    (open_flags & MORTISE_OPEN_READ_ONLY) != 0 || faccessat(b->dir, ".", W_OK, AT_EACCESS) != 0;
	info->permanent_flags = MORTISE_FLAG_SEEN | MORTISE_FLAG_FLAGGED | MORTISE_FLAG_ANSWERED;
	info->read_only = b->read_only;
	*out = b;
	return 0;
}

static int lock(struct mortise_call *call, void *box, int mode, uint64_t deadline)
{
	return mh_lock(call, box, mode, deadline);
}

static int read_message(
    struct mortise_call *call, void *opened, const struct mortise_ref *ref, struct mortise_source *source)
{
	struct mh_box *b = opened;
	struct stat st;
	int r;

	if (b->fd >= 0)
		close(b->fd);
	r = mh_open_message(call, b, ref, &b->fd);
	if (r != 0)
		return r;
	if (b->fd < 0)
		return call->host->fail(call, MORTISE_E_EXPUNGED, "Message is gone");
	if (fstat(b->fd, &st) != 0)
		return call->host->fault_errno(call, "%s", b->place->path);
	b->extent.offset = mh_text_start(b->fd, &st);
	b->extent.length = (uint64_t)st.st_size - b->extent.offset;
	source->fd = b->fd;
	source->newline = MORTISE_NEWLINE_LF;
	source->extents = &b->extent;
	source->extent_count = 1;
	return 0;
}

/* "#": names that are numbers only. */
static const char *const own_names[] = {"#", ",*", "#*", TEMPORARY "*", NULL};

static const struct mortise_traits traits = {
    .size = sizeof(struct mortise_traits),
    .uid = MORTISE_TRAIT_EMULATE,
    .keywords = MORTISE_TRAIT_EMULATE,
    .modseq = MORTISE_TRAIT_EMULATE,
    .multi_writer = true,
    .directory = true,
    .needs_journal = true,
    .newline = MORTISE_NEWLINE_LF,
    .own_names = own_names,
};

static const struct mortise_driver_ops ops = {
    .size = sizeof(struct mortise_driver_ops),
    .traits = &traits,
    .recognise = mh_recognise,
    .create = mh_create,
    .open = open_box,
    .sync = mh_sync,
    .read = read_message,
    .append_begin = mh_append_begin,
    .append_message = mh_append_message,
    .append_write = mh_append_write,
    .append_commit = mh_append_commit,
    .append_abort = mh_append_abort,
    .set_flags = mh_set_flags,
    .expunge = mh_expunge,
    .lock = lock,
    .close = close_box,
    .remove = mh_remove,
    .append_commit_refs = mh_append_commit_refs,
    .append_copy = mh_append_copy,
};

MORTISE_MODULE(mh, .kind = MORTISE_KIND_DRIVER, .api_major = MORTISE_DRIVER_MAJOR,
    .api_minor = MORTISE_DRIVER_MINOR, .name = "mh", .version = "0.1",
    .summary = "MH folders, shared with nmh and mutt", .licence = "Apache-2.0",
    .url = "https://mortise.example/", .options = option_table,
    .option_count = sizeof(option_table) / sizeof(option_table[0]),
    .instance_size = sizeof(struct mh_options), .ops = &ops);
