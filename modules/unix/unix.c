/*
 * The traditional Unix mailbox: one file, messages behind each other, as sendmail, Berkeley mail, Elm, Pine,
 * mutt and c-client's "unix" driver read and write it. See box.h for the parts, and mortise-unix(5).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <mortise/driver.h>

#include "box.h"
#include "from.h"

#define RECOGNISE_MAX 1023u

static const struct mortise_enum dotlock_values[] = {
    {"no", UNIX_DOTLOCK_NO}, {"try", UNIX_DOTLOCK_TRY}, {"required", UNIX_DOTLOCK_REQUIRED}, {NULL, 0}};
static const struct mortise_enum quoting_values[] = {
    {"all", UNIX_QUOTE_ALL}, {"valid", UNIX_QUOTE_VALID}, {NULL, 0}};
static const struct mortise_enum believe_values[] = {
    {"own", UNIX_BELIEVE_OWN}, {"blocks", UNIX_BELIEVE_BLOCKS}, {"all", UNIX_BELIEVE_ALL}, {NULL, 0}};

static const struct mortise_option options[] = {
    MORTISE_OPTION(struct unix_options, locks, LIST, "dotlock, fcntl, flock", .since = "0.1",
        .help = "locks to take, in this order",
        .detail = "Names: dotlock, fcntl, flock. All of them are taken before a mailbox is read or "
                  "changed; none is waited for while another is held, so the order matters only to those "
                  "who watch. Debian's policy is fcntl, then dotlock. On NFS flock is left out."),
    MORTISE_OPTION(struct unix_options, dotlock, ENUM, "try", .values = dotlock_values, .since = "0.1",
        .help = "what to do when no dot-lock can be made",
        .detail = "required: the mailbox cannot be used. try: go on with the other locks, and say so once a "
                  "session. "
                  "no: never make one."),
    MORTISE_OPTION(struct unix_options, dotlock_stale, DURATION, "5m", .min = "1m", .max = "1d",
        .since = "0.1", .help = "age from which a dot-lock may be taken away",
        .detail = "Only when the mailbox was not changed for as long and nobody holds another lock on it."),
    MORTISE_OPTION(struct unix_options, session_lock, BOOL, "yes", .since = "0.1",
        .help = "keep clear of c-client programs that have the mailbox open",
        .detail = "They hold a lock in /tmp while they have a mailbox open for writing. Flags are then not "
                  "changed and nothing is expunged; the answer says which process it is."),
    MORTISE_OPTION(struct unix_options, session_directory, PATH, "/tmp", .flags = MORTISE_OPTION_HIDDEN,
        .since = "0.1", .help = "where c-client keeps its session locks"),
    MORTISE_OPTION(struct unix_options, from_quoting, ENUM, "all", .values = quoting_values,
        .flags = MORTISE_OPTION_RELOADABLE, .since = "0.1",
        .help = "which lines beginning with \"From \" get a \">\" in appended messages",
        .detail = "all: every one, for programs that look at no more. valid: those that would begin a "
                  "message. The \">\" is never taken away again."),
    MORTISE_OPTION(struct unix_options, believe, ENUM, "blocks", .values = believe_values, .since = "0.1",
        .help = "which status fields in messages are believed",
        .detail =
            "own: those directly behind the From line, where no sender can write. blocks: also those "
            "that look as c-client writes them, and in mailboxes other than an INBOX that no IMAP "
            "program has written to yet, any. all: any, as c-client does; a sender can then set flags."),
    MORTISE_OPTION(struct unix_options, keyword_limit, UINT, "30", .min = "0", .max = "64", .since = "0.1",
        .help = "keywords a mailbox may have", .detail = "c-client knows 30 and drops what is above."),
    MORTISE_OPTION(struct unix_options, expunged_max, SIZE, "64M", .flags = MORTISE_OPTION_RELOADABLE,
        .since = "0.1", .help = "octets of expunged messages that may wait in a mailbox to be taken out",
        .detail =
            "They are taken out when the session is quiet or ends; with more than this, at once. 0: always "
            "at once."),
    MORTISE_OPTION(struct unix_options, append_memory, SIZE, "1M", .min = "16k", .max = "1G", .since = "0.1",
        .help = "octets of new messages that are kept in memory until they are complete",
        .detail = "More goes to a file without a name beside the mailbox, and from there into it."),
    MORTISE_OPTION(struct unix_options, fsync, BOOL, "yes", .since = "0.1",
        .help = "wait until changes are on the disk before answering"),
    MORTISE_OPTION(struct unix_options, sync_flags, BOOL, "no", .flags = MORTISE_OPTION_RELOADABLE,
        .since = "0.1", .help = "wait for changes of flags, too",
        .detail = "Once for each command that changes any. Without it a power failure can take back the "
                  "flags of the last seconds, never messages."),
    MORTISE_OPTION(struct unix_options, open_directory, BOOL, "no", .since = "0.1",
        .help = "use mailboxes in directories that everybody may write and that are not sticky"),
};

static bool lock_name(const char *name)
{
	return strcmp(name, "dotlock") == 0 || strcmp(name, "fcntl") == 0 || strcmp(name, "flock") == 0;
}

static int check(struct mortise_call *call, struct mortise_instance *inst)
{
	const struct unix_options *o = inst->options;
	bool kernel = false;

	for (size_t i = 0; i < o->locks.count; i++) {
		if (!lock_name(o->locks.items[i]))
			return call->host->fault(call, MORTISE_E_INVALID,
			    "locks: \"%s\" is not one of dotlock, fcntl, flock", o->locks.items[i]);
		kernel = kernel || o->locks.items[i][0] == 'f';
	}
	if (!kernel && o->dotlock != UNIX_DOTLOCK_REQUIRED)
		return call->host->fault(call, MORTISE_E_INVALID,
		    "locks: without fcntl and flock there may be no lock at all; name one or set dotlock = "
		    "\"required\"");
	return 0;
}

static int op_recognise(struct mortise_call *call, const struct mortise_probe *probe)
{
	const unsigned char *p = probe->head, *lf;
	size_t size = probe->head_size < RECOGNISE_MAX ? probe->head_size : RECOGNISE_MAX, skip = 0;

	(void)call;
	if (!S_ISREG(probe->st->st_mode))
		return MORTISE_NOT_MINE;
	while (skip < size && (p[skip] == '\r' || p[skip] == '\n' || p[skip] == ' ' || p[skip] == '\t'))
		skip++;
	if (skip == size || (skip > 0 && p[skip - 1] != '\n'))
		return MORTISE_NOT_MINE;
	lf = memchr(p + skip, '\n', size - skip);
	if (lf == NULL && size < (uint64_t)probe->st->st_size)
		return MORTISE_NOT_MINE;
	return unix_from_valid(p + skip, lf != NULL ? (size_t)(lf - p) - skip : size - skip)
	           ? MORTISE_MINE
	           : MORTISE_NOT_MINE;
}

/* Rises, also when mailboxes are made and removed faster than seconds pass. */
static uint32_t new_uidvalidity(struct mortise_call *call)
{
	struct unix_state *s = unix_state_of(call);
	uint32_t now = (uint32_t)time(NULL);

	s->uidvalidity = now > s->uidvalidity ? now : s->uidvalidity + 1;
	return s->uidvalidity;
}

static int write_new(struct mortise_call *call, int fd, const struct mortise_place *place)
{
	const struct unix_options *o = call->instance->options;
	static const struct unix_keywords none;
	struct unix_block block = {
	    .base = true, .uidvalidity = new_uidvalidity(call), .table = &none, .token = unix_token(call, 0)};
	char *text = call->host->alloc(call, MORTISE_LIFE_CALL, UNIX_BLOCK_MAX);
	size_t size = unix_pseudo_write(text, &block, (int64_t)time(NULL));

	if (fchmod(fd, place->file_mode) != 0 || write(fd, text, size) != (ssize_t)size ||
	    (o->fsync && fsync(fd) != 0))
		return call->host->fault_errno(call, "cannot write %s", place->path);
	return 0;
}

static int op_create(struct mortise_call *call, const struct mortise_place *place)
{
	const char *slash = strrchr(place->path, '/');
	const char *parent = slash == NULL ? "."
	                                   : call->host->print(call, MORTISE_LIFE_CALL, "%.*s",
	                                         (int)(slash - place->path), place->path);
	const char *name = slash == NULL ? place->path : slash + 1;
	int dir = call->host->open_below(call, place->root, parent, O_RDONLY | O_DIRECTORY, 0), fd, r;

	if (dir < 0)
		return call->host->fault_errno(call, "cannot open the directory of %s", place->path);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, place->file_mode);
	if (fd < 0) {
		r = errno == EEXIST ? call->host->fail(call, MORTISE_E_EXISTS, "Mailbox already exists")
		                    : call->host->fault_errno(call, "cannot make %s", place->path);
		close(dir);
		return r;
	}
	r = write_new(call, fd, place);
	close(fd);
	if (r != 0)
		unlinkat(dir, name, 0);
	else if (((const struct unix_options *)call->instance->options)->fsync && fsync(dir) != 0)
		r = call->host->fault_errno(call, "cannot sync the directory of %s", place->path);
	close(dir);
	return r;
}

static const struct mortise_traits traits = {
    .size = sizeof traits,
    .uid = MORTISE_TRAIT_NATIVE,
    .keywords = MORTISE_TRAIT_NATIVE,
    .modseq = MORTISE_TRAIT_EMULATE,
    .multi_writer = true,
    .directory = false,
    .needs_journal = true,
    .newline = MORTISE_NEWLINE_LF,
    .file_suffix = ".lock",
};

static const struct mortise_driver_ops ops = {
    .size = sizeof ops,
    .traits = &traits,
    .recognise = op_recognise,
    .create = op_create,
    .open = unix_op_open,
    .sync = unix_op_sync,
    .read = unix_op_read,
    .append_begin = unix_op_append_begin,
    .append_message = unix_op_append_message,
    .append_write = unix_op_append_write,
    .append_commit = unix_op_append_commit,
    .append_abort = unix_op_append_abort,
    .set_flags = unix_op_set_flags,
    .expunge = unix_op_expunge,
    .lock = unix_op_lock,
    .close = unix_op_close,
    .add_keyword = unix_op_add_keyword,
    .watch = unix_op_watch,
    .seen_recent = unix_op_seen_recent,
    .append_copy = unix_op_append_copy,
    .adopt = unix_op_adopt,
    .checkpoint = unix_op_checkpoint,
};

static const struct mortise_lifecycle lifecycle = {.size = sizeof lifecycle, .check = check};

MORTISE_MODULE(unix, .kind = MORTISE_KIND_DRIVER, .api_major = MORTISE_DRIVER_MAJOR,
    .api_minor = MORTISE_DRIVER_MINOR, .name = "unix", .version = "0.1.0",
    .summary = "the traditional mailbox file (mbox)", .licence = "Apache-2.0",
    .url = "https://mortise.example/", .options = options, .option_count = sizeof options / sizeof *options,
    .instance_size = sizeof(struct unix_options), .lifecycle = &lifecycle, .ops = &ops);
