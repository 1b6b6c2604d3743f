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
	const struct mbx_options *o = call->instance->options;
	char header[MBX_HEADER];

	if (call->instance->state == NULL)
		call->instance->state =
		    call->host->alloc(call, MORTISE_LIFE_INSTANCE, sizeof(struct mbx_state));
	mbx_header_new(header, mbx_uidvalidity_new(call->instance->state, 0));
	if (fchmod(fd, place->file_mode) != 0 || write(fd, header, sizeof header) != (ssize_t)sizeof header ||
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
	else if (((const struct mbx_options *)call->instance->options)->fsync && fsync(dir) != 0)
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
};

MORTISE_MODULE(mbx, .kind = MORTISE_KIND_DRIVER, .api_major = MORTISE_DRIVER_MAJOR,
    .api_minor = MORTISE_DRIVER_MINOR, .name = "mbx", .version = "0.1.0",
    .summary = "UW's shared mailbox file (mbx)", .licence = "Apache-2.0", .url = "https://mortise.example/",
    .options = options, .option_count = sizeof options / sizeof *options,
    .instance_size = sizeof(struct mbx_options), .ops = &ops);
