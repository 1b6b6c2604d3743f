/*
 * UW's mbx format: one file, shared by many sessions, with flags that change in place, as c-client's "mbx"
 * driver reads and writes it. See box.h for the parts, and mortise-mbx(5).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mortise/driver.h>

#include "box.h"

static const struct mortise_option options[] = {
    MORTISE_OPTION(struct mbx_options, keyword_limit, UINT, "30", .min = "0", .max = "30", .since = "0.1",
        .help = "keywords a mailbox may have", .detail = "The format has room for 30."),
    MORTISE_OPTION(struct mbx_options, message_limit, UINT, "1000000", .min = "1", .max = "100000000",
        .since = "0.1", .help = "messages a mailbox may have",
        .detail = "c-client ends when there are more than 1,000,000."),
    MORTISE_OPTION(struct mbx_options, compact_now, SIZE, "1M", .flags = MORTISE_OPTION_RELOADABLE,
        .since = "0.1", .help = "octets that may be moved to take back any little space",
        .detail = "An expunge that would have to move more, and more than twice what is gained, only marks "
                  "messages. Their space is taken back when more has gone."),
    MORTISE_OPTION(struct mbx_options, fsync, BOOL, "yes", .since = "0.1",
        .help = "wait until changes are on the disk before answering"),
    MORTISE_OPTION(struct mbx_options, sync_flags, BOOL, "no", .flags = MORTISE_OPTION_RELOADABLE,
        .since = "0.1", .help = "wait for changes of flags, too",
        .detail = "Once for each command that changes any. Without it a power failure can take back the "
                  "flags of the last seconds, never messages."),
    MORTISE_OPTION(struct mbx_options, lock_directory, PATH, "/tmp", .flags = MORTISE_OPTION_HIDDEN,
        .since = "0.1", .help = "where c-client keeps its locks"),
};

static int op_recognise(struct mortise_call *call, const struct mortise_probe *probe)
{
	const unsigned char *p = probe->head;
	uint64_t ignored;

	if (!S_ISREG(probe->st->st_mode) || probe->head_size < MBX_PREFIX ||
	    memcmp(p, "*mbx*\r\n", MBX_UIDS) != 0 || !mbx_hex(p + MBX_UIDS, 16, &ignored) ||
	    memcmp(p + MBX_PREFIX - 2, "\r\n", 2) != 0)
		return MORTISE_NOT_MINE;
	if (probe->st->st_size < (off_t)MBX_HEADER) {
		call->host->fault(call, MORTISE_E_CORRUPT, "%s ends at octet %llu, inside its header of %u",
		    probe->place->path, (unsigned long long)probe->st->st_size, MBX_HEADER);
		return MORTISE_DAMAGED;
	}
	return MORTISE_MINE;
}

static int write_new(struct mortise_call *call, int fd, const struct mortise_place *place)
{
	struct mbx_box *b = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof *b);
	int r;

	b->place = place;
	b->options = call->instance->options;
	b->fd = fd;
	b->uidvalidity = mbx_uidvalidity_new(mbx_state_of(call), 0);
	b->known.there = true;
	mbx_header_new((char *)b->header.raw, b->uidvalidity);
	if (fchmod(fd, place->file_mode) != 0)
		return call->host->fault_errno(call, "cannot make %s", place->path);
	if ((r = mbx_header_write(call, b)) != 0 || (r = mbx_change_stamp(call, b, MBX_HEADER, false)) != 0 ||
	    (r = mbx_sync_file(call, b)) != 0)
		return r;
	mbx_change_end(call, b, false);
	return 0;
}

/* A file without a name, or where that cannot be had or named later, with one that is nobody's mailbox. */
static int open_new(struct mortise_call *call, int dir, const char **temporary)
{
	int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	uint64_t noise;

	*temporary = NULL;
	if (fd >= 0 && access(call->host->print(call, MORTISE_LIFE_CALL, "/proc/self/fd/%d", fd), F_OK) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	call->host->random(call, &noise, sizeof noise);
	*temporary = call->host->print(call, MORTISE_LIFE_CALL, ".mbx.%016llx", (unsigned long long)noise);
	return openat(dir, *temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* Nobody sees a mailbox whose header is not there yet. */
static int create_in(struct mortise_call *call, int dir, const char *name, const struct mortise_place *place)
{
	const struct mbx_options *o = call->instance->options;
	const char *temporary;
	int fd = open_new(call, dir, &temporary), r;

	if (fd < 0)
		return call->host->fault_errno(call, "cannot make %s", place->path);
	r = write_new(call, fd, place);
	if (r == 0 &&
	    linkat(temporary != NULL ? dir : AT_FDCWD,
	        temporary != NULL ? temporary
	                          : call->host->print(call, MORTISE_LIFE_CALL, "/proc/self/fd/%d", fd),
	        dir, name, AT_SYMLINK_FOLLOW) != 0)
		r = errno == EEXIST ? call->host->fail(call, MORTISE_E_EXISTS, "Mailbox already exists")
		                    : call->host->fault_errno(call, "cannot make %s", place->path);
	if (temporary != NULL)
		unlinkat(dir, temporary, 0);
	close(fd);
	if (r == 0 && o->fsync && fsync(dir) != 0)
		r = call->host->fault_errno(call, "cannot sync the directory of %s", place->path);
	return r;
}

static int op_create(struct mortise_call *call, const struct mortise_place *place)
{
	const char *slash = strrchr(place->path, '/');
	const char *parent = slash == NULL ? "."
	                                   : call->host->print(call, MORTISE_LIFE_CALL, "%.*s",
	                                         (int)(slash - place->path), place->path);
	const char *name = slash == NULL ? place->path : slash + 1;
	int dir = call->host->open_below(call, place->root, parent, O_RDONLY | O_DIRECTORY, 0), r;

	if (dir < 0)
		return call->host->fault_errno(call, "cannot open the directory of %s", place->path);
	r = create_in(call, dir, name, place);
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
    .newline = MORTISE_NEWLINE_CRLF,
    .file_suffix = NULL,
};

static const struct mortise_driver_ops ops = {
    .size = sizeof ops,
    .traits = &traits,
    .recognise = op_recognise,
    .create = op_create,
    .open = mbx_op_open,
    .sync = mbx_op_sync,
    .read = mbx_op_read,
    .append_begin = mbx_op_append_begin,
    .append_message = mbx_op_append_message,
    .append_write = mbx_op_append_write,
    .append_commit = mbx_op_append_commit,
    .append_abort = mbx_op_append_abort,
    .set_flags = mbx_op_set_flags,
    .expunge = mbx_op_expunge,
    .lock = mbx_op_lock,
    .close = mbx_op_close,
    .add_keyword = mbx_op_add_keyword,
    .seen_recent = mbx_op_seen_recent,
    .append_commit_refs = mbx_op_append_commit_refs,
    .append_copy = mbx_op_append_copy,
    .adopt = mbx_op_adopt,
    .checkpoint = mbx_op_checkpoint,
};

MORTISE_MODULE(mbx, .kind = MORTISE_KIND_DRIVER, .api_major = MORTISE_DRIVER_MAJOR,
    .api_minor = MORTISE_DRIVER_MINOR, .name = "mbx", .version = "0.1.0",
    .summary = "UW's shared mailbox file (mbx)", .licence = "Apache-2.0", .url = "https://mortise.example/",
    .options = options, .option_count = sizeof options / sizeof *options,
    .instance_size = sizeof(struct mbx_options), .ops = &ops);
