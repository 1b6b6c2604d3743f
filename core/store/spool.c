#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/io.h"
#include "base/mem.h"
#include "store/spool.h"
#include "store/store_int.h"
#include "base/banned.h"

#define SPOOL_MAGIC 0x53706f6fu
#define SPOOL_SOURCE_MAGIC 0x53706f73u
#define HELD (64u * 1024u) /* octets written or read at a time */

struct spool {
	uint32_t magic;
	int fd;
	uint64_t written;
	struct buf held;
};

struct spool_source {
	struct source source;
	uint32_t magic;
	const struct spool *spool;
	uint64_t at; /* of the window */
	size_t n;
	char window[HELD];
};

int spool_open(struct store *s, struct spool **out, struct err *e)
{
	struct spool *p;
	int fd = -1;

	CHECK_OBJ(s, STORE_MAGIC);
	*out = NULL;
	if (store_state(s) == 0)
		fd = open(s->state_path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EMFILE || errno == ENFILE))
		return err_errno(e, "no place to collect a message");
	if (fd < 0)
		fd = memfd_create("message", MFD_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "no place to collect a message");
	p = mem_new(struct spool);
	p->magic = SPOOL_MAGIC;
	p->fd = fd;
	*out = p;
	return 0;
}

static int put(struct spool *p, struct str octets, struct err *e)
{
	if (io_pwrite(p->fd, octets.p, octets.n, p->written) != 0)
		return err_errno(e, "cannot collect a message");
	p->written += octets.n;
	return 0;
}

int spool_add(struct spool *p, struct str octets, struct err *e)
{
	CHECK_OBJ(p, SPOOL_MAGIC);
	if (p->held.n + octets.n > HELD) {
		if (put(p, buf_str(&p->held), e) != 0)
			return e->code;
		buf_reset(&p->held);
	}
	if (octets.n >= HELD)
		return put(p, octets, e);
	buf_addstr(&p->held, octets);
	return 0;
}

void spool_close(struct spool **pp)
{
	struct spool *p;

	if (*pp == NULL)
		return;
	TAKE_OBJ(p, pp, SPOOL_MAGIC);
	io_close(&p->fd);
	buf_free(&p->held);
	p->magic = 0;
	mem_free(p);
}

static struct spool_source *self(struct source *s)
{
	struct spool_source *x = (struct spool_source *)(void *)s;

	CHECK_OBJ(x, SPOOL_SOURCE_MAGIC);
	return x;
}

static int spool_chunk(struct source *s, uint64_t at, struct str *out, struct err *e)
{
	struct spool_source *x = self(s);

	if (at >= x->spool->written)
		return 0;
	if (at < x->at || at - x->at >= x->n) {
		uint64_t left = x->spool->written - at;
		ssize_t n = io_pread(x->spool->fd, x->window, left < HELD ? (size_t)left : HELD, at);

		x->n = 0;
		if (n <= 0)
			return n < 0 ? err_errno(e, "cannot read a collected message")
			             : err_fault(e, MORTISE_E_IO, "a collected message is cut short");
		x->at = at;
		x->n = (size_t)n;
	}
	*out = str_mem(x->window + (at - x->at), x->n - (size_t)(at - x->at));
	return 0;
}

static int spool_size(struct source *s, uint64_t *size, struct err *e UNUSED)
{
	*size = self(s)->spool->written;
	return 0;
}

static void spool_source_close(struct source *s)
{
	struct spool_source *x = self(s);

	x->magic = 0;
	s->magic = 0;
	mem_free(x);
}

static const struct source_ops spool_ops = {
    .chunk = spool_chunk, .size = spool_size, .close = spool_source_close};

int spool_source(struct spool *p, struct source **out, struct err *e)
{
	struct spool_source *x;

	CHECK_OBJ(p, SPOOL_MAGIC);
	*out = NULL;
	if (p->held.n > 0 && put(p, buf_str(&p->held), e) != 0)
		return e->code;
	buf_reset(&p->held);
	x = mem_new(struct spool_source);
	x->source.magic = SOURCE_MAGIC;
	x->source.ops = &spool_ops;
	x->magic = SPOOL_SOURCE_MAGIC;
	x->spool = p;
	*out = &x->source;
	return 0;
}
