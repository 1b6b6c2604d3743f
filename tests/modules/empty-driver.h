/*
 * empty-driver.h: a driver that works, for a format in which every mailbox is empty: a file that begins with
 * "empty\n". What the modules beside it do wrong is all that is in their own sources.
 *
 * BEFORE(op) runs at the head of each callback.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <mortise/driver.h>

#ifndef BEFORE
#define BEFORE(op) ((void)call)
#endif

#define EMPTY_HEAD "empty\n"

static const struct mortise_traits traits = {
    .size = sizeof(struct mortise_traits),
    .uid = MORTISE_TRAIT_EMULATE,
    .keywords = MORTISE_TRAIT_EMULATE,
    .multi_writer = true,
    .newline = MORTISE_NEWLINE_LF,
};

static int op_recognise(struct mortise_call *call, const struct mortise_probe *probe)
{
	BEFORE("recognise");
	return probe->head_size >= strlen(EMPTY_HEAD) &&
	               memcmp(probe->head, EMPTY_HEAD, strlen(EMPTY_HEAD)) == 0
	           ? MORTISE_MINE
	           : MORTISE_NOT_MINE;
}

static int op_create(struct mortise_call *call, const struct mortise_place *place)
{
	int fd, r = 0;

	BEFORE("create");
	fd = call->host->open_below(
	    call, place->root, place->path, O_CREAT | O_EXCL | O_WRONLY, place->file_mode);
	if (fd < 0)
		return call->host->fault_errno(call, "%s", place->path);
	if (write(fd, EMPTY_HEAD, strlen(EMPTY_HEAD)) != (ssize_t)strlen(EMPTY_HEAD) || fsync(fd) != 0)
		r = call->host->fault_errno(call, "%s", place->path);
	close(fd);
	return r;
}

static int op_open(struct mortise_call *call, const struct mortise_place *place, uint32_t flags,
    struct mortise_box_info *info, void **box)
{
	(void)flags;
	BEFORE("open");
	info->permanent_flags = MORTISE_FLAGS_SYSTEM;
	*box = call->host->alloc(call, MORTISE_LIFE_BOX, sizeof(place));
	return 0;
}

static int op_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	(void)box;
	BEFORE("sync");
	if (cursor->size == 1)
		return 0;
	cursor->size = 1;
	return sink->full_scan(sink->engine, 0);
}

static int op_read(
    struct mortise_call *call, void *box, const struct mortise_ref *ref, struct mortise_source *source)
{
	(void)box, (void)ref, (void)source;
	BEFORE("read");
	return call->host->fail(call, MORTISE_E_EXPUNGED, "There is no message");
}

static int op_append_begin(struct mortise_call *call, void *box, void **tx)
{
	BEFORE("append_begin");
	*tx = box;
	return 0;
}

static int op_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
{
	(void)tx, (void)info;
	BEFORE("append_message");
	return 0;
}

static int op_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size)
{
	(void)tx, (void)octets, (void)size;
	BEFORE("append_write");
	return 0;
}

static int op_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	(void)tx, (void)uidvalidity, (void)uids, (void)count;
	BEFORE("append_commit");
	return call->host->fail(call, MORTISE_E_UNSUPPORTED, "These mailboxes are always empty");
}

static void op_append_abort(struct mortise_call *call, void *tx)
{
	(void)tx;
	BEFORE("append_abort");
}

static int op_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count)
{
	(void)box, (void)changes, (void)count;
	BEFORE("set_flags");
	return 0;
}

static int op_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	(void)box, (void)refs, (void)count;
	BEFORE("expunge");
	return 0;
}

static int op_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline)
{
	(void)box, (void)mode, (void)deadline;
	BEFORE("lock");
	return 0;
}

static void op_close(struct mortise_call *call, void *box)
{
	(void)box;
	BEFORE("close");
}

#define EMPTY_OPS                                                                                            \
	.traits = &traits, .recognise = op_recognise, .create = op_create, .open = op_open, .sync = op_sync, \
	.read = op_read, .append_begin = op_append_begin, .append_message = op_append_message,               \
	.append_write = op_append_write, .append_commit = op_append_commit, .append_abort = op_append_abort, \
	.set_flags = op_set_flags, .expunge = op_expunge, .lock = op_lock, .close = op_close

static const struct mortise_driver_ops ops = {.size = sizeof(struct mortise_driver_ops), EMPTY_OPS};

#define EMPTY_DESCRIPTOR(text)                                                                             \
	.kind = MORTISE_KIND_DRIVER, .api_major = MORTISE_DRIVER_MAJOR, .api_minor = MORTISE_DRIVER_MINOR, \
	.name = text, .version = "1.0", .summary = "a test", .licence = "Apache-2.0",                      \
	.url = "https://mortise.example/tests", .ops = &ops
