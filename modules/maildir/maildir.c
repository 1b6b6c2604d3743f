/*
 * maildir: the driver of directories with a file a message, as qmail, Courier and Dovecot have them.
 *
 * A mailbox is a directory with cur, new and tmp in it. New mail is in new; a session that has seen it moves
 * it to cur (that is \Recent). Flags and keywords are letters in the file's name. UIDs are in
 * dovecot-uidlist, names of keywords in dovecot-keywords, and both are changed under Dovecot's lock: the two
 * servers can work on the same mailboxes at the same time and agree about every number.
 *
 * Each file of this driver says what it is about: name.c names, entry.c the messages in memory, list.c and
 * keyword.c Dovecot's two files, lock.c the lock, scan.c the directories, sync.c what the engine is told,
 * append.c, change.c, directory.c the changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

static const struct mortise_option option_table[] = {
    MORTISE_OPTION(struct maildir_options, message_limit, UINT, "1000000", .min = "1", .max = "100000000",
        .since = "0.1", .help = "messages a mailbox may have",
        .detail = "A mailbox with more is not opened, an append beyond it is refused."),
    MORTISE_OPTION(struct maildir_options, list_limit, SIZE, "256M", .min = "4k", .max = "16G",
        .since = "0.1", .help = "octets that dovecot-uidlist may have",
        .detail = "It is read into memory as a whole. A mailbox with a larger one is not opened."),
    MORTISE_OPTION(struct maildir_options, dotlock_stale, DURATION, "5m", .min = "30s", .max = "1d",
        .since = "0.1", .help = "age of a lock that nobody holds any more",
        .detail =
            "dovecot-uidlist.lock is taken away when it is older than this, and at once when the process "
            "that made it has ended on this host."),
    MORTISE_OPTION(struct maildir_options, fsync, BOOL, "yes", .since = "0.1",
        .help = "wait until changes are on the disk before answering"),
    MORTISE_OPTION(struct maildir_options, sync_flags, BOOL, "no", .flags = MORTISE_OPTION_RELOADABLE,
        .since = "0.1", .help = "wait for changes of flags, too",
        .detail = "Once for each command that changes any. Without it a power failure can take back the "
                  "flags of the last seconds, never messages."),
};

/* 1 a real directory, 0 nothing, -1 something else. */
static int part_is(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return 0;
	return S_ISDIR(st.st_mode) ? 1 : -1;
}

static int recognise(struct mortise_call *call, const struct mortise_probe *probe)
{
	int cur, new;

	if (!S_ISDIR(probe->st->st_mode))
		return MORTISE_NOT_MINE;
	cur = part_is(probe->fd, "cur");
	new = part_is(probe->fd, "new");
	if (cur == 1 && new == 1)
		return MORTISE_MINE;
	if (cur == 0 || new == 0 || part_is(probe->fd, "tmp") == 0)
		return MORTISE_NOT_MINE;
	call->host->fault(
	    call, MORTISE_E_CORRUPT, "%s: cur or new is no directory of its own", probe->place->path);
	return MORTISE_DAMAGED;
}

static void close_box(struct mortise_call *call, void *opened)
{
	struct maildir_box *b = opened;
	int *const fds[] = {&b->fd, &b->tmp, &b->part[NEW].fd, &b->part[CUR].fd, &b->dir};
	size_t i;

	maildir_lock_end(call, b);
	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
	maildir_trail_clear(b);
	maildir_entries_free(b);
	maildir_keywords_free(b);
	free(b->header);
}

static int open_box(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
    struct mortise_box_info *info, void **out)
{
	struct maildir_box *b = call->host->alloc(call, MORTISE_LIFE_BOX, sizeof(*b));
	int r;

	b->options = call->instance->options;
	b->place = place;
	b->fd = b->dir = b->part[CUR].fd = b->part[NEW].fd = b->tmp = -1;
	b->dir = call->host->open_below(call, place->root, place->path, O_RDONLY | O_DIRECTORY, 0);
	if (b->dir < 0)
		r = errno == ENOENT ? call->host->fail(call, MORTISE_E_NOTFOUND, "No such mailbox")
		                    : call->host->fault_errno(call, "%s", place->path);
	else
		r = maildir_list_glance(call, b);
	if (r != 0) {
		close_box(call, b);
		return r;
	}
	b->fixed =
	    faccessat(b->dir, ".", W_OK, AT_EACCESS) != 0 || faccessat(b->dir, "cur", W_OK, AT_EACCESS) != 0;
	b->read_only = (open_flags & MORTISE_OPEN_READ_ONLY) != 0 || b->fixed;
	info->uidvalidity = b->uidvalidity;
	info->uidnext = b->uidnext;
	info->permanent_flags = MORTISE_FLAGS_SYSTEM;
	info->keyword_limit = LETTERS;
	info->may_create_keywords = !b->read_only;
	info->read_only = b->read_only;
	*out = b;
	return 0;
}

static int lock(struct mortise_call *call, void *box, int mode, uint64_t deadline)
{
	return maildir_lock(call, box, mode, deadline);
}

static int add_keyword(struct mortise_call *call, void *box, const char *name, unsigned *bit)
{
	return maildir_keyword_add(call, box, name, bit);
}

/* 0 opened, 1 it is not there, or a code. */
static int open_file(struct mortise_call *call, struct maildir_box *b, const struct maildir_file *f)
{
	int part, r = maildir_part(call, b, f->in_new, &part);

	if (r != 0)
		return r;
	b->fd = openat(part, f->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (b->fd >= 0)
		return 0;
	return errno == ENOENT ? 1 : call->host->fault_errno(call, "%s/%s", b->place->path, f->name);
}

static int read_message(
    struct mortise_call *call, void *opened, const struct mortise_ref *ref, struct mortise_source *source)
{
	struct maildir_box *b = opened;
	struct maildir_file f;
	struct stat st;
	bool there;
	int tries, r;

	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
	r = maildir_file_of(b, ref, &f) ? open_file(call, b, &f) : 1;
	for (tries = 0; tries < 3 && r == 1; tries++) {
		r = maildir_file_search(call, b, ref, &f, &there);
		if (r == 0)
			r = there ? open_file(call, b, &f) : 1;
		if (!there)
			break;
	}
	if (r == 1)
		return call->host->fail(call, MORTISE_E_EXPUNGED, "Message is gone");
	if (r != 0)
		return r;
	if (fstat(b->fd, &st) != 0 || !S_ISREG(st.st_mode))
		return call->host->fault(call, MORTISE_E_CORRUPT, "%s: UID %" PRIu32 " is no regular file",
		    b->place->path, ref->uid);
	b->extent.offset = 0;
	b->extent.length = (uint64_t)st.st_size;
	source->fd = b->fd;
	source->newline = MORTISE_NEWLINE_LF;
	source->extents = &b->extent;
	source->extent_count = 1;
	return 0;
}

static int watch(struct mortise_call *call, void *opened, struct mortise_watch *w)
{
	struct maildir_box *b = opened;

	w->paths[0] = call->host->print(call, MORTISE_LIFE_BOX, "%s/new", b->place->path);
	w->paths[1] = call->host->print(call, MORTISE_LIFE_BOX, "%s/cur", b->place->path);
	/* Dovecot names a keyword when messages have its letter already. */
	w->paths[2] = call->host->print(call, MORTISE_LIFE_BOX, "%s/" KEYWORDS, b->place->path);
	w->count = 3;
	return 0;
}

static const char *const own_names[] = {"cur", "new", "tmp", ".removed-cur", "dovecot-uidlist*",
    "dovecot-keywords*", "dovecot-uidvalidity*", "dovecot-acl*", "dovecot.index*", "dovecot.list.index*",
    "dovecot.mailbox.log*", "courierimapsubscribed", "courierimapuiddb", "courierimapkeywords",
    "courierimapacl", "courierpop3dsizelist", "maildirfolder", "maildirsize", "subscriptions", NULL};

static const struct mortise_traits traits = {
    .size = sizeof(struct mortise_traits),
    .uid = MORTISE_TRAIT_NATIVE,
    .keywords = MORTISE_TRAIT_NATIVE,
    .modseq = MORTISE_TRAIT_EMULATE,
    .multi_writer = true,
    .directory = true,
    .newline = MORTISE_NEWLINE_LF,
    .own_names = own_names,
};

static const struct mortise_driver_ops ops = {
    .size = sizeof(struct mortise_driver_ops),
    .traits = &traits,
    .recognise = recognise,
    .create = maildir_create,
    .open = open_box,
    .sync = maildir_sync,
    .read = read_message,
    .append_begin = maildir_append_begin,
    .append_message = maildir_append_message,
    .append_write = maildir_append_write,
    .append_commit = maildir_append_commit,
    .append_abort = maildir_append_abort,
    .set_flags = maildir_set_flags,
    .expunge = maildir_expunge,
    .lock = lock,
    .close = close_box,
    .add_keyword = add_keyword,
    .remove = maildir_remove,
    .watch = watch,
    .seen_recent = maildir_seen_recent,
    .append_commit_refs = maildir_append_commit_refs,
    .append_copy = maildir_append_copy,
    .adopt = maildir_adopt,
    .checkpoint = maildir_checkpoint,
};

MORTISE_MODULE(maildir, .kind = MORTISE_KIND_DRIVER, .api_major = MORTISE_DRIVER_MAJOR,
    .api_minor = MORTISE_DRIVER_MINOR, .name = "maildir", .version = "0.1",
    .summary = "maildirs, shared with Dovecot and delivery agents", .licence = "Apache-2.0",
    .url = "https://mortise.example/", .options = option_table,
    .option_count = sizeof(option_table) / sizeof(option_table[0]),
    .instance_size = sizeof(struct maildir_options), .ops = &ops);
