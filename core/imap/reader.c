#include "imap/reader.h"
#include "base/mem.h"
#include "base/banned.h"

#define READER_MAGIC 0x52656164u
#define DIGITS_MAX 20u
#define TAIL_MAX 32u /* more than "~{" DIGITS_MAX digits "+}" CR */

enum where {
	IN_LINE,
	IN_LITERAL,    /* collecting `left` octets */
	AT_STREAM,     /* the caller has the connection */
	SKIP_LINE,     /* a refused command's line */
	SKIP_LITERAL,  /* a refused command's literal */
	AFTER_COMMAND, /* reader_command is being used; the next feed begins anew */
	CANNOT_GO_ON
};

/* What a line announces at its end. */
struct announcement {
	bool there;
	bool overflow; /* a number beyond 64 bits */
	bool synchronising, binary;
	uint64_t size;
	size_t start; /* where it stands, from the end of the line, without CR LF */
};

struct reader {
	uint32_t magic;
	struct reader_limits limits;
	enum where where;
	struct buf command;
	size_t line; /* octets of the current line */
	uint64_t left;
	uint32_t literals;
	struct buf tag;
	const char *error;
	unsigned
	    mailbox_after; /* spaces before the mailbox's name, in a command whose literals are messages */
	bool streamed;
	char tail[TAIL_MAX]; /* the last octets of a line that is being skipped */
	size_t tail_size;
	struct announcement stream;
};

struct reader *reader_new(const struct reader_limits *l)
{
	struct reader *r = mem_new(struct reader);

	r->magic = READER_MAGIC;
	r->limits = *l;
	return r;
}

void reader_free(struct reader **rp)
{
	struct reader *r;

	if (*rp == NULL)
		return;
	TAKE_OBJ(r, rp, READER_MAGIC);
	buf_wipe(&r->command);
	buf_free(&r->tag);
	r->magic = 0;
	mem_free(r);
}

bool reader_tag_ok(struct str tag)
{
	size_t i;

	if (tag.n == 0)
		return false;
	for (i = 0; i < tag.n; i++) {
		unsigned char c = (unsigned char)tag.p[i];

		if (c <= ' ' || c >= 0x7f || strchr("(){%*\"\\+<>", c) != NULL)
			return false;
	}
	return true;
}

static void begin(struct reader *r)
{
	/* The command may hold a password. */
	if (r->command.p != NULL)
		mem_wipe(r->command.p, r->command.n);
	buf_reset(&r->command);
	buf_reset(&r->tag);
	r->where = IN_LINE;
	r->line = 0;
	r->literals = 0;
	r->mailbox_after = 0;
	r->streamed = false;
	r->tail_size = 0;
	r->error = NULL;
}

static enum reader_state refuse(struct reader *r, enum where next, const char *why)
{
	r->where = next;
	r->tail_size = 0;
	r->error = why;
	return READER_BAD;
}

/* "… {n}", "… {n+}", "… ~{n}" at the end of a line (CR LF taken off). */
static struct announcement announced(struct str line)
{
	struct announcement a = {.synchronising = true};
	size_t end = line.n, first;

	if (end < 3 || line.p[end - 1] != '}')
		return a;
	end--;
	if (line.p[end - 1] == '+') {
		a.synchronising = false;
		end--;
	}
	for (first = end; first > 0 && end - first <= DIGITS_MAX && ascii_digit(line.p[first - 1]); first--)
		;
	if (end - first > DIGITS_MAX) {
		a.there = a.overflow = true;
		return a;
	}
	if (first == end || first == 0 || line.p[first - 1] != '{')
		return a;
	a.there = true;
	if (!str_u64(str_sub(line, first, end - first), &a.size) || a.size > INT64_MAX)
		a.overflow = true;
	a.binary = first >= 2 && line.p[first - 2] == '~';
	a.start = line.n - (first - 1) + (a.binary ? 1 : 0);
	return a;
}

/* Commands whose literals are messages, and the spaces before their mailbox names. */
static const struct {
	struct str name;
	unsigned mailbox_after;
} streaming[] = {{STR_INIT(" APPEND "), 2}, {STR_INIT(" REPLACE "), 3}, {STR_INIT(" UID REPLACE "), 4}};

/* The first line is complete: its tag, and whether its literals are messages. */
static void first_line(struct reader *r)
{
	struct str s = buf_str(&r->command), tag;
	size_t space = str_find(s, ' '), i;

	tag = str_sub(s, 0, space);
	if (tag.n > r->limits.tag || !reader_tag_ok(tag))
		return;
	buf_addstr(&r->tag, tag);
	for (i = 0; i < ARRAY_LEN(streaming); i++)
		if (str_istarts(str_from(s, space), streaming[i].name))
			r->mailbox_after = streaming[i].mailbox_after;
}

/* A tag of a line that is refused before its end, if it has come. */
static void early_tag(struct reader *r)
{
	struct str s = buf_str(&r->command), tag = str_sub(s, 0, str_find(s, ' '));

	if (r->tag.n == 0 && r->literals == 0 && !r->streamed && tag.n < s.n && tag.n <= r->limits.tag &&
	    reader_tag_ok(tag))
		buf_addstr(&r->tag, tag);
}

/* The literal after "tag APPEND " or "tag REPLACE 1 " is the mailbox's name. */
static bool is_message(const struct reader *r, const struct announcement *a)
{
	struct str before = str_sub(buf_str(&r->command), 0, r->command.n - a->start);
	unsigned spaces = 0;
	size_t i;

	if (!r->limits.stream || r->mailbox_after == 0)
		return false;
	for (i = 0; i < before.n && spaces < r->mailbox_after; i++)
		spaces += before.p[i] == ' ';
	return r->streamed || spaces < r->mailbox_after || i < before.n;
}

static enum reader_state refuse_literal(struct reader *r, const struct announcement *a, const char *why)
{
	enum reader_state s = refuse(r, AFTER_COMMAND, why);

	if (!a->synchronising) {
		r->where = SKIP_LITERAL;
		r->left = a->size;
	}
	return s;
}

static enum reader_state literal(struct reader *r, const struct announcement *a)
{
	if (a->overflow && !a->synchronising) {
		r->where = CANNOT_GO_ON;
		r->error = "Literal size is out of range";
		return READER_FATAL;
	}
	if (a->overflow)
		return refuse_literal(r, a, "Literal size is out of range");
	if (!a->synchronising && a->size > r->limits.nonsynchronising)
		return refuse_literal(r, a, "Non-synchronising literal is too long");
	if (is_message(r, a)) {
		buf_add(&r->command, "\r\n", 2);
		r->stream = *a;
		r->where = AT_STREAM;
		return READER_STREAM;
	}
	if (a->size > r->limits.literal)
		return refuse_literal(r, a, "Literal is too long");
	if (r->literals >= r->limits.literals)
		return refuse_literal(r, a, "Too many literals in one command");
	if (a->size + 2 > r->limits.command - r->command.n)
		return refuse_literal(r, a, "Command is too long");
	r->literals++;
	buf_add(&r->command, "\r\n", 2);
	r->where = IN_LITERAL;
	r->left = a->size;
	r->line = 0;
	return a->synchronising ? READER_CONTINUE : READER_MORE;
}

/* The line's LF has come; its octets stand at the end of the command. */
static enum reader_state line_ended(struct reader *r)
{
	struct announcement a;

	if (r->line > 0 && r->command.p[r->command.n - 1] == '\r') {
		buf_truncate(&r->command, r->command.n - 1);
		r->line--;
	}
	if (r->tag.n == 0 && r->literals == 0 && !r->streamed)
		first_line(r);
	a = announced(str_from(buf_str(&r->command), r->command.n - r->line));
	if (a.there)
		return literal(r, &a);
	r->where = AFTER_COMMAND;
	return READER_COMMAND;
}

/* Keeps the end of a skipped line, in which a literal may be announced. */
static void keep_tail(struct reader *r, struct str s)
{
	s = str_from(s, s.n > TAIL_MAX ? s.n - TAIL_MAX : 0);
	if (r->tail_size + s.n > TAIL_MAX) {
		size_t drop = r->tail_size + s.n - TAIL_MAX;

		memmove(r->tail, r->tail + drop, r->tail_size - drop);
		r->tail_size -= drop;
	}
	if (s.n > 0)
		memcpy(r->tail + r->tail_size, s.p, s.n);
	r->tail_size += s.n;
}

/* Too long. Enough is kept for the tag and for a literal announced at the line's end. */
static enum reader_state refuse_line(struct reader *r, struct str in, const char *why)
{
	struct buf *b = &r->command;
	enum reader_state s = refuse(r, SKIP_LINE, why);

	keep_tail(r, str_from(buf_str(b), b->n - r->line));
	buf_add(b, in.p, in.n < r->limits.tag + 1 ? in.n : r->limits.tag + 1);
	early_tag(r);
	return s;
}

static enum reader_state in_line(struct reader *r, struct str *in)
{
	size_t n = str_find(*in, '\n');
	size_t line_room = r->limits.line + 1 - r->line, command_room = r->limits.command - r->command.n;
	bool whole = n < in->n;

	if (n > line_room || n > command_room)
		return refuse_line(r, str_sub(*in, 0, n),
		    line_room <= command_room ? "Command line is too long" : "Command is too long");
	buf_add(&r->command, in->p, n);
	r->line += n;
	*in = str_from(*in, whole ? n + 1 : n);
	return whole ? line_ended(r) : READER_MORE;
}

static enum reader_state in_literal(struct reader *r, struct str *in)
{
	size_t n = in->n < r->left ? in->n : (size_t)r->left;

	buf_add(&r->command, in->p, n);
	r->left -= n;
	*in = str_from(*in, n);
	if (r->left == 0)
		r->where = IN_LINE;
	return READER_MORE;
}

static void skip_line(struct reader *r, struct str *in)
{
	size_t lf = str_find(*in, '\n');
	struct announcement a;
	struct str tail;

	keep_tail(r, str_sub(*in, 0, lf));
	if (lf == in->n) {
		*in = str_from(*in, lf);
		return;
	}
	*in = str_from(*in, lf + 1);
	tail = str_mem(r->tail, r->tail_size);
	if (tail.n > 0 && tail.p[tail.n - 1] == '\r')
		tail.n--;
	a = announced(tail);
	r->tail_size = 0;
	if (a.there && !a.synchronising) {
		r->where = a.overflow ? CANNOT_GO_ON : SKIP_LITERAL;
		r->left = a.size;
		return;
	}
	begin(r); /* a client that waits for "+" has got its BAD */
}

static void skip_literal(struct reader *r, struct str *in)
{
	size_t n = in->n < r->left ? in->n : (size_t)r->left;

	r->left -= n;
	*in = str_from(*in, n);
	if (r->left == 0) {
		r->where = SKIP_LINE;
		r->tail_size = 0;
	}
}

enum reader_state reader_feed(struct reader *r, struct str *in)
{
	enum reader_state s = READER_MORE;

	CHECK_OBJ(r, READER_MAGIC);
	ASSERT(r->where != AT_STREAM);
	if (r->where == AFTER_COMMAND)
		begin(r);
	do {
		switch (r->where) {
		case IN_LINE:
			if (in->n > 0)
				s = in_line(r, in);
			break;
		case IN_LITERAL:
			s = in_literal(r, in);
			break;
		case SKIP_LINE:
			skip_line(r, in);
			break;
		case SKIP_LITERAL:
			skip_literal(r, in);
			break;
		case CANNOT_GO_ON:
			r->error = "Literal size is out of range";
			return READER_FATAL;
		case AT_STREAM:
		case AFTER_COMMAND:
			UNREACHABLE("a state that ends a feed");
		}
	} while (s == READER_MORE && in->n > 0);
	return s;
}

struct str reader_command(const struct reader *r)
{
	CHECK_OBJ(r, READER_MAGIC);
	return buf_str(&r->command);
}

struct str reader_tag(const struct reader *r)
{
	CHECK_OBJ(r, READER_MAGIC);
	return buf_str(&r->tag);
}

const char *reader_error(const struct reader *r)
{
	CHECK_OBJ(r, READER_MAGIC);
	return r->error != NULL ? r->error : "Syntax error";
}

uint64_t reader_stream_size(const struct reader *r, bool *synchronising, bool *binary)
{
	CHECK_OBJ(r, READER_MAGIC);
	ASSERT(r->where == AT_STREAM);
	*synchronising = r->stream.synchronising;
	*binary = r->stream.binary;
	return r->stream.size;
}

void reader_stream_done(struct reader *r)
{
	CHECK_OBJ(r, READER_MAGIC);
	ASSERT(r->where == AT_STREAM);
	buf_reset(&r->command);
	r->streamed = true;
	r->line = 0;
	r->where = IN_LINE;
}

void reader_stream_refuse(struct reader *r)
{
	CHECK_OBJ(r, READER_MAGIC);
	ASSERT(r->where == AT_STREAM);
	r->left = r->stream.size;
	r->where = r->stream.synchronising ? AFTER_COMMAND : SKIP_LITERAL;
}

void reader_literal_refuse(struct reader *r)
{
	CHECK_OBJ(r, READER_MAGIC);
	ASSERT(r->where == IN_LITERAL);
	r->where = AFTER_COMMAND;
}

void reader_skip_line(struct reader *r)
{
	CHECK_OBJ(r, READER_MAGIC);
	if (r->where == IN_LINE) {
		r->where = SKIP_LINE;
		keep_tail(r, buf_str(&r->command));
	}
}

bool reader_idle(const struct reader *r)
{
	CHECK_OBJ(r, READER_MAGIC);
	return r->where == AFTER_COMMAND || (r->where == IN_LINE && r->command.n == 0 && !r->streamed);
}
