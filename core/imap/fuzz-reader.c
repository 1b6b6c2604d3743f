/*
 * Fuzz target: what a client sends. The first octet chooses how it is cut. Checked besides not crashing: the
 * reader says the same however the octets come, no tag that is repeated is anything but a tag, limits hold,
 * and whatever the lexer takes from a command lies within it.
 */
#include "base/object.h"
#include "imap/parse.h"
#include "imap/reader.h"
#include "imap/response.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct reader_limits limits = {.line = 300,
    .literal = 100,
    .command = 600,
    .literals = 3,
    .tag = 16,
    .nonsynchronising = 80,
    .stream = true};

/* Takes the command apart with one production after the other, chosen by the octet in front. */
static void take_apart(struct str command)
{
	struct arena *a = arena_new("fuzz");
	struct parse p;
	struct str s;

	parse_start(&p, command, a);
	(void)(parse_tag(&p, &s) && parse_sp(&p) && parse_atom(&p, &s));
	while (p.error == NULL && p.rest.n > 0) {
		struct number_set set;
		struct flag_list flags;
		size_t before = p.rest.n;
		const char *name;

		if (parse_at(&p, ' '))
			parse_sp(&p);
		else if (parse_at(&p, '('))
			parse_flag_list(&p, false, 4, &flags);
		else if (parse_at(&p, '*'))
			parse_pattern(&p, &name);
		else if (ascii_digit(p.rest.p[0]))
			parse_sequence_set(&p, 9, &set);
		else if (parse_at(&p, '&') || parse_at(&p, '"'))
			parse_mailbox(&p, &name);
		else if (!parse_skip(&p, ')') && parse_astring(&p, &s))
			ASSERT(s.n <= command.n);
		ASSERT(p.error != NULL || p.rest.n < before);
	}
	ASSERT(p.rest.n <= command.n);
	arena_free(&a);
}

static void note(struct reader *r, enum reader_state s, struct buf *log)
{
	struct str tag = reader_tag(r), command = reader_command(r);
	bool synchronising, binary;

	ASSERT(tag.n == 0 || (reader_tag_ok(tag) && tag.n <= limits.tag));
	ASSERT(command.n <= limits.command + limits.tag + 3);
	buf_printf(log, "%d %.*s ", (int)s, STR_FMT(tag));
	switch (s) {
	case READER_COMMAND:
		buf_addstr(log, command);
		take_apart(command);
		break;
	case READER_STREAM:
		buf_addstr(log, command);
		buf_printf(log, " %llu", (unsigned long long)reader_stream_size(r, &synchronising, &binary));
		take_apart(command);
		break;
	case READER_BAD:
	case READER_FATAL:
		response_bad(log, tag, reader_error(r));
		break;
	case READER_CONTINUE:
	case READER_MORE:
		break;
	}
	buf_addc(log, '\n');
}

/* Message literals are taken up to 64 octets and refused beyond. */
static void run(struct str input, size_t piece, struct buf *log)
{
	struct reader *r = reader_new(&limits);
	uint64_t taking = 0;
	bool fatal = false;

	while (input.n > 0 && !fatal) {
		struct str part = str_sub(input, 0, piece);
		bool more = true;

		input = str_from(input, part.n);
		while (more && !fatal) {
			enum reader_state s;
			bool synchronising, binary;

			if (taking > 0) {
				size_t n = part.n < taking ? part.n : (size_t)taking;

				part = str_from(part, n);
				taking -= n;
				if (taking > 0)
					break;
				reader_stream_done(r);
			}
			s = reader_feed(r, &part);
			if (s != READER_MORE)
				note(r, s, log);
			if (s == READER_STREAM) {
				taking = reader_stream_size(r, &synchronising, &binary);
				if (taking == 0)
					reader_stream_done(r);
				if (taking > 64) {
					taking = 0;
					reader_stream_refuse(r);
				}
			}
			fatal = s == READER_FATAL;
			more = part.n > 0;
		}
	}
	buf_addstr(log, reader_idle(r) && taking == 0 ? STR("idle") : STR("busy"));
	reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT, cut = BUF_INIT, octets = BUF_INIT;
	struct str input = size != 0 ? str_mem(data + 1, size - 1) : STR("");

	run(input, SIZE_MAX, &whole);
	run(input, size != 0 ? data[0] % 64 + 1u : 1, &cut);
	run(input, 1, &octets);
	ASSERT(str_eq(buf_str(&whole), buf_str(&cut)));
	ASSERT(str_eq(buf_str(&whole), buf_str(&octets)));
	buf_free(&whole);
	buf_free(&cut);
	buf_free(&octets);
	return 0;
}
