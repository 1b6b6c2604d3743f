#include "mime/decoded.h"

#include "base/mem.h"
#include "base/banned.h"

#define DECODING_MAGIC 0x6d646e67u
#define DECODED_MAGIC 0x6d647372u
#define PIECE (64u * 1024u) /* encoded octets decoded at a time */
#define NOT_KNOWN UINT64_MAX

struct place {
	struct mime_decoder *decoder;
	uint64_t in, out; /* encoded octets behind it, decoded octets behind it */
	bool ended;
};

struct decoding {
	uint32_t magic;
	uint64_t from, to;
	struct place start, mark, piece, here; /* here: behind the last piece */
	uint64_t size;
	bool open;
};

struct decoded {
	struct source source;
	uint32_t magic;
	struct source *of;
	struct decoding *d;
	struct buf octets; /* of the piece */
	uint64_t next;     /* behind what was handed out last */
};

static void go_to(struct place *to, const struct place *from)
{
	mime_decoder_copy(to->decoder, from->decoder);
	to->in = from->in;
	to->out = from->out;
	to->ended = from->ended;
}

struct decoding *decoding_new(uint64_t from, uint64_t to, struct str encoding)
{
	struct decoding *d = mem_new(struct decoding);

	d->magic = DECODING_MAGIC;
	d->from = from;
	d->to = to;
	d->size = NOT_KNOWN;
	d->start.decoder = mime_decoder_new(encoding);
	d->mark.decoder = mime_decoder_new(encoding);
	d->piece.decoder = mime_decoder_new(encoding);
	d->here.decoder = mime_decoder_new(encoding);
	if (mime_decoder_copies(d->start.decoder))
		d->size = to - from;
	return d;
}

void decoding_free(struct decoding **dp)
{
	struct decoding *d;

	if (*dp == NULL)
		return;
	TAKE_OBJ(d, dp, DECODING_MAGIC);
	ASSERT(!d->open);
	mime_decoder_free(&d->start.decoder);
	mime_decoder_free(&d->mark.decoder);
	mime_decoder_free(&d->piece.decoder);
	mime_decoder_free(&d->here.decoder);
	d->magic = 0;
	mem_free(d);
}

static struct decoded *self(struct source *s)
{
	struct decoded *x = (struct decoded *)s;

	CHECK_OBJ(x, DECODED_MAGIC);
	return x;
}

/* The next piece that has any octets, or the end. */
static int next_piece(struct decoded *x, struct err *e)
{
	struct decoding *d = x->d;
	struct place *here = &d->here;

	go_to(&d->piece, here);
	buf_reset(&x->octets);
	while (x->octets.n == 0 && !here->ended) {
		uint64_t left = d->to - d->from - here->in;
		struct str in = STR_NONE;

		if (left > 0 && source_chunk(x->of, d->from + here->in, &in, e) != 0)
			return e->code;
		in = str_sub(in, 0, left < PIECE ? (size_t)left : PIECE);
		here->in += in.n;
		mime_decoder_feed(here->decoder, in, &x->octets);
		if (in.n == 0 || in.n == left) {
			mime_decoder_flush(here->decoder, &x->octets);
			here->ended = true;
		}
	}
	here->out += x->octets.n;
	if (here->ended)
		d->size = here->out;
	return 0;
}

/* To the piece that holds `at`, or to the end. */
static int seek(struct decoded *x, uint64_t at, struct err *e)
{
	struct decoding *d = x->d;

	if (at < d->piece.out) {
		go_to(&d->here, at >= d->mark.out ? &d->mark : &d->start);
		go_to(&d->piece, &d->here);
		buf_reset(&x->octets);
	}
	while (at >= d->here.out && !d->here.ended)
		if (next_piece(x, e) != 0)
			return e->code;
	if (at != x->next)
		go_to(&d->mark, &d->piece);
	return 0;
}

static int decoded_chunk(struct source *s, uint64_t at, struct str *out, struct err *e)
{
	struct decoded *x = self(s);

	if (seek(x, at, e) != 0) {
		/* Half a piece is none. */
		go_to(&x->d->here, &x->d->piece);
		buf_reset(&x->octets);
		return e->code;
	}
	if (at < x->d->here.out)
		*out = str_from(buf_str(&x->octets), (size_t)(at - x->d->piece.out));
	x->next = at + out->n;
	return 0;
}

static int decoded_size(struct source *s, uint64_t *size, struct err *e)
{
	struct decoded *x = self(s);
	struct str end;

	if (x->d->size == NOT_KNOWN && decoded_chunk(s, UINT64_MAX, &end, e) != 0)
		return e->code;
	*size = x->d->size;
	return 0;
}

/* The last piece goes; what came before it stays decoded. */
static void decoded_close(struct source *s)
{
	struct decoded *x = self(s);

	go_to(&x->d->here, &x->d->piece);
	x->d->open = false;
	buf_free(&x->octets);
	x->magic = 0;
	s->magic = 0;
	mem_free(x);
}

static const struct source_ops decoded_ops = {
    .chunk = decoded_chunk, .size = decoded_size, .close = decoded_close};

struct source *source_decoded(struct source *of, struct decoding *d)
{
	struct decoded *x;

	CHECK_OBJ(of, SOURCE_MAGIC);
	CHECK_OBJ(d, DECODING_MAGIC);
	if (mime_decoder_copies(d->start.decoder))
		return source_window(of, d->from, d->to);
	ASSERT(!d->open);
	d->open = true;
	x = mem_new(struct decoded);
	x->source.magic = SOURCE_MAGIC;
	x->source.ops = &decoded_ops;
	x->magic = DECODED_MAGIC;
	x->of = of;
	x->d = d;
	x->next = NOT_KNOWN;
	return &x->source;
}
