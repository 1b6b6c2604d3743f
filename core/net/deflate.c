#include <zlib.h>

#include "base/mem.h"
#include "net/deflate.h"
#include "base/banned.h"

#define DEFLATE_MAGIC 0x5a6c6962u
#define LEVEL 5
#define WINDOW_IN (-15)  /* raw; the largest that a client may use */
#define WINDOW_OUT (-13) /* 8 KiB */
#define MEMORY_OUT 6     /* 32 KiB */
#define PIECE 4096u

struct deflate {
	uint32_t magic;
	z_stream in, out;
	struct buf fed;
	size_t taken; /* of fed */
	bool more;    /* the last piece filled its room: there may be more without new octets */
};

struct deflate *deflate_new(void)
{
	struct deflate *d = mem_new(struct deflate);

	d->magic = DEFLATE_MAGIC;
	if (inflateInit2(&d->in, WINDOW_IN) == Z_OK) {
		if (deflateInit2(&d->out, LEVEL, Z_DEFLATED, WINDOW_OUT, MEMORY_OUT, Z_DEFAULT_STRATEGY) ==
		    Z_OK)
			return d;
		inflateEnd(&d->in);
	}
	mem_free(d);
	return NULL;
}

void deflate_free(struct deflate **dp)
{
	struct deflate *d;

	if (*dp == NULL)
		return;
	TAKE_OBJ(d, dp, DEFLATE_MAGIC);
	inflateEnd(&d->in);
	deflateEnd(&d->out);
	buf_wipe(&d->fed);
	d->magic = 0;
	mem_free(d);
}

void deflate_feed(struct deflate *d, struct str octets)
{
	CHECK_OBJ(d, DEFLATE_MAGIC);
	buf_reset(&d->fed);
	buf_addstr(&d->fed, octets);
	d->taken = 0;
}

size_t deflate_waiting(const struct deflate *d)
{
	CHECK_OBJ(d, DEFLATE_MAGIC);
	return d->fed.n - d->taken + d->more;
}

bool deflate_inflate(struct deflate *d, struct buf *out, size_t room)
{
	int r;

	CHECK_OBJ(d, DEFLATE_MAGIC);
	buf_reserve(out, room);
	d->in.next_in = (Bytef *)d->fed.p + d->taken;
	d->in.avail_in = (uInt)(d->fed.n - d->taken);
	d->in.next_out = (Bytef *)out->p + out->n;
	d->in.avail_out = (uInt)room;
	r = inflate(&d->in, Z_SYNC_FLUSH);
	d->taken = d->fed.n - d->in.avail_in;
	out->n += room - d->in.avail_out;
	out->p[out->n] = '\0';
	d->more = d->in.avail_out == 0;
	return r == Z_OK || r == Z_BUF_ERROR;
}

void deflate_compress(struct deflate *d, struct str octets, bool flush, struct buf *out)
{
	CHECK_OBJ(d, DEFLATE_MAGIC);
	d->out.next_in = (Bytef *)(uintptr_t)octets.p;
	d->out.avail_in = (uInt)octets.n;
	do {
		buf_reserve(out, PIECE);
		d->out.next_out = (Bytef *)out->p + out->n;
		d->out.avail_out = PIECE;
		(void)deflate(&d->out, flush ? Z_SYNC_FLUSH : Z_NO_FLUSH);
		out->n += PIECE - d->out.avail_out;
		out->p[out->n] = '\0';
	} while (d->out.avail_out == 0);
}
