/*
 * imap-script: runs wire scripts against a server and prints TAP.
 *
 * A script is what a client sends and what a server must answer, line by line:
 *
 *     TEST a selected mailbox answers with its state (RFC 3501 §6.3.1)
 *     C: a SELECT INBOX
 *     S+: * <n=#> EXISTS
 *     S+: a OK [READ-WRITE] <*>
 *
 * Lines of a script:
 *
 *   TEST TEXT    begins a test; one TAP result for each. What stands before the first is preparation.
 *   C: TEXT      sends TEXT and CRLF; C-: sends it without CRLF. C2: to C9: use another connection,
 *                opened at its first use; S2: and its kin read from it.
 *   C{ TEXT      sends TEXT, a non-synchronising literal of the lines "| LINE" that follow up to C},
 *                and CRLF. ${size} is then the literal's size.
 *   S: PATTERN   the next line matches.
 *   S+: PATTERN  lines are read until one matches; the others are let pass.
 *   S!: PATTERN  no line let pass by the S+ that follows may match.
 *   S{ ... S}    the S: lines between match the next lines in any order.
 *   SEOF         the server closes the connection.
 *   CLOSE [N]    closes connection N.
 *   GREETING     reads the greeting of a fresh connection instead of skipping it.
 *   LOGIN [N]    logs in with --user and --password; all connections are the same user.
 *   NEEDS WORD   skips the script when --lacks WORD was given.
 *
 * Every line of the server is also held against the grammar of the RFCs (grammar.h), looked at or not.
 * STARTTLS, compression and the like are not for this tool.
 *
 * In TEXT and PATTERN: \r \n \t \\ \xNN; $USER, $PASSWORD and ${name}, a value caught earlier;
 * {=abc} is {3}\r\nabc and {+=abc} is {3+}\r\nabc. In PATTERN: <*> any octets, <#> digits, <name=*> and
 * <name=#> the same and remembered, <~*> any octets without ')'. A literal of the server is part of its
 * line: {5}\r\nhello. Everything else stands for itself, case included.
 */
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/vec.h"
#include "grammar.h"
#include "base/banned.h"

#define CONNECTIONS 10

struct variable {
	char *name;
	struct buf value;
};

struct connection {
	int fd;
	bool greeted;
	unsigned mode; /* what was enabled: grammar.h */
	struct buf in;
};

struct runner {
	const char *host, *port, *user, *password, *file;
	uint64_t timeout;
	struct connection c[CONNECTIONS];
	VEC(struct variable) vars;
	VEC(char *) forbidden;
	VEC(char *) unordered;
	bool collecting;
	struct buf message; /* of C{ … C} */
	bool in_message;
	unsigned message_connection;
	char *command;
	unsigned line, tests, assertions, failed_tests;
	char *test;       /* title of the running test */
	bool test_failed; /* the rest of it is skipped */
	bool aborted;     /* preparation failed: nothing more can be believed */
	bool verbose;
	VEC(const char *) lacks;
	const char *skip; /* why the script is skipped */
};

static void fail(struct runner *r, const char *format, ...) PRINTF_LIKE(2, 3);

static void print_quoted(struct str s)
{
	size_t i;

	for (i = 0; i < s.n && i < 2000; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\r')
			fputs("\\r", stdout);
		else if (c == '\n')
			fputs("\\n", stdout);
		else if (c < ' ' || c >= 0x7f)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
	if (i < s.n)
		printf("… (%zu octets)", s.n);
}

static bool read_line(struct connection *c, uint64_t timeout, struct buf *line);

/* After a failed test the connections are in an unknown place: read on until a NOOP is answered. */
static void resynchronise(struct runner *r)
{
	unsigned i;

	for (i = 0; i < CONNECTIONS; i++) {
		AUTO_BUF struct buf line = BUF_INIT;
		AUTO_BUF struct buf tag = BUF_INIT;
		bool done = false;

		if (r->c[i].fd < 0)
			continue;
		buf_printf(&tag, "resync%u ", r->tests);
		buf_printf(&line, "DONE\r\n%sNOOP\r\n", buf_cstr(&tag));
		if (io_write(r->c[i].fd, line.p, line.n) == 0)
			while (!done && read_line(&r->c[i], 2000, &line))
				done = str_starts(buf_str(&line), buf_str(&tag));
		if (!done)
			io_close(&r->c[i].fd);
	}
}

static void end_test(struct runner *r)
{
	if (r->test == NULL)
		return;
	r->tests++;
	if (r->test_failed)
		resynchronise(r);
	if (r->test_failed)
		r->failed_tests++;
	printf("%s %u - %s: %s\n", r->test_failed ? "not ok" : "ok", r->tests, r->file, r->test);
	mem_free(r->test);
	r->test = NULL;
	r->test_failed = false;
}

static void fail(struct runner *r, const char *format, ...)
{
	va_list ap;

	printf("# %s:%u: ", r->file, r->line);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
	if (r->test == NULL) {
		r->test = mem_strdup("preparation");
		r->aborted = true;
	}
	r->test_failed = true;
}

static struct buf *variable(struct runner *r, struct str name, bool make)
{
	size_t i;

	for (i = 0; i < r->vars.n; i++)
		if (str_eqc(name, r->vars.v[i].name))
			return &r->vars.v[i].value;
	if (!make)
		return NULL;
	*vec_push(&r->vars) = (struct variable){.name = mem_dup(name.p, name.n + 1)};
	vec_last(&r->vars)->name[name.n] = '\0';
	return &vec_last(&r->vars)->value;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

static void expand(struct runner *r, struct str in, struct buf *out);

/* "{=TEXT}" and "{+=TEXT}": octets of the notation, 0: it is none. TEXT has no "}". */
static size_t expand_literal(struct runner *r, struct str in, struct buf *out)
{
	const char *plus = str_starts(in, STR("{+=")) ? "+" : "";
	size_t start = 2 + strlen(plus), end = str_find(in, '}');
	AUTO_BUF struct buf text = BUF_INIT;

	if ((plus[0] == '\0' && !str_starts(in, STR("{="))) || end == in.n)
		return 0;
	expand(r, str_sub(in, start, end - start), &text);
	buf_printf(out, "{%zu%s}\r\n", text.n, plus);
	buf_addstr(out, buf_str(&text));
	return end + 1;
}

/* Escapes, literals and variables. */
static void expand(struct runner *r, struct str in, struct buf *out)
{
	size_t i, used;

	for (i = 0; i < in.n; i++) {
		char c = in.p[i], d = i + 1 < in.n ? in.p[i + 1] : '\0';

		if (c == '\\' && d == 'x' && i + 3 < in.n && hex_digit(in.p[i + 2]) >= 0 &&
		    hex_digit(in.p[i + 3]) >= 0) {
			buf_addc(out, (char)(hex_digit(in.p[i + 2]) << 4 | hex_digit(in.p[i + 3])));
			i += 3;
		} else if (c == '\\' && (d == 'r' || d == 'n' || d == 't' || d == '\\')) {
			buf_addc(out, d == 'r' ? '\r' : d == 'n' ? '\n' : d == 't' ? '\t' : '\\');
			i++;
		} else if (c == '{' && (used = expand_literal(r, str_from(in, i), out)) > 0) {
			i += used - 1;
		} else if (c == '$' && str_starts(str_from(in, i), STR("$USER"))) {
			buf_adds(out, r->user);
			i += 4;
		} else if (c == '$' && str_starts(str_from(in, i), STR("$PASSWORD"))) {
			buf_adds(out, r->password);
			i += 8;
		} else if (c == '$' && d == '{' && str_find(str_from(in, i), '}') < in.n - i) {
			struct str name = str_sub(in, i + 2, str_find(str_from(in, i), '}') - 2);
			struct buf *v = variable(r, name, false);

			if (v == NULL)
				fail(r, "no value was caught as %.*s", STR_FMT(name));
			else
				buf_addstr(out, buf_str(v));
			i += name.n + 2;
		} else {
			buf_addc(out, c);
		}
	}
}

/* A hole of a pattern: "<*>", "<#>", "<name=*>", "<name=#>", "<~*>". */
struct hole {
	struct str name;
	char kind;
	size_t size; /* octets in the pattern, 0: not a hole */
};

static struct hole hole_at(struct str p)
{
	struct hole h = {0};
	size_t end = str_find(p, '>');
	struct str inside;

	if (p.n == 0 || p.p[0] != '<' || end == p.n || end > 40)
		return h;
	inside = str_sub(p, 1, end - 1);
	if (str_eq(inside, STR("*")) || str_eq(inside, STR("#"))) {
		h.kind = inside.p[0];
	} else if (str_eq(inside, STR("~*"))) {
		h.kind = '~';
	} else if (inside.n > 2 && inside.p[inside.n - 2] == '=' &&
	           (inside.p[inside.n - 1] == '*' || inside.p[inside.n - 1] == '#')) {
		h.kind = inside.p[inside.n - 1];
		h.name = str_sub(inside, 0, inside.n - 2);
	} else {
		return h;
	}
	h.size = end + 1;
	return h;
}

/* Recursion is as deep as the pattern has holes. */
static bool match(struct runner *r, struct str p, struct str s)
{
	while (p.n > 0) {
		struct hole h = hole_at(p);
		size_t n;

		if (h.size == 0) {
			if (s.n == 0 || p.p[0] != s.p[0])
				return false;
			p = str_from(p, 1);
			s = str_from(s, 1);
			continue;
		}
		for (n = h.kind == '#' ? 1 : 0; n <= s.n; n++) {
			if (n > 0 && h.kind == '#' && !ascii_digit(s.p[n - 1]))
				return false;
			if (n > 0 && h.kind == '~' && s.p[n - 1] == ')')
				return false;
			if (h.kind == '#' && n < s.n && ascii_digit(s.p[n]))
				continue;
			if (match(r, str_from(p, h.size), str_from(s, n))) {
				if (h.name.n > 0) {
					struct buf *v = variable(r, h.name, true);

					buf_reset(v);
					buf_add(v, s.p, n);
				}
				return true;
			}
		}
		return false;
	}
	return s.n == 0;
}

static bool matches(struct runner *r, struct str pattern, struct str line)
{
	AUTO_BUF struct buf p = BUF_INIT;

	expand(r, pattern, &p);
	return match(r, buf_str(&p), line);
}

static int dial(struct runner *r)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
	int fd = -1;

	if (getaddrinfo(r->host, r->port, &hints, &list) != 0)
		return -1;
	for (a = list; a != NULL && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0)
			io_close(&fd);
	}
	freeaddrinfo(list);
	return fd;
}

/* More octets into c->in. False at end, error or deadline. */
static bool fill(struct connection *c, uint64_t deadline)
{
	char space[65536];
	ssize_t n;

	if (io_wait(c->fd, POLLIN, deadline) != 1)
		return false;
	n = read(c->fd, space, sizeof(space));
	if (n <= 0)
		return false;
	buf_add(&c->in, space, (size_t)n);
	return true;
}

/* One logical line, literals included, without its CRLF. */
static bool read_line(struct connection *c, uint64_t timeout, struct buf *line)
{
	uint64_t deadline = clock_ms() + timeout;
	size_t from = 0;

	buf_reset(line);
	for (;;) {
		size_t at = str_search(str_from(buf_str(&c->in), from), STR("\r\n"));
		int64_t literal;

		if (at == SIZE_MAX) {
			if (!fill(c, deadline))
				return false;
			continue;
		}
		literal = grammar_announced(str_sub(buf_str(&c->in), from, at));
		if (literal < 0) {
			buf_add(line, c->in.p, from + at);
			buf_consume(&c->in, from + at + 2);
			return true;
		}
		from += at + 2 + (size_t)literal;
		while (c->in.n < from)
			if (!fill(c, deadline))
				return false;
	}
}

/* Whatever the server says must be what an IMAP server may say, wanted or not. */
static void check_grammar(struct runner *r, struct connection *c, struct str line)
{
	AUTO_BUF struct buf why = BUF_INIT;

	if (c->greeted ? grammar_response(line, c->mode, &why) : grammar_greeting(line, &why)) {
		c->mode |= grammar_enables(line);
		return;
	}
	fail(r, "this is no response by the RFCs: %s", buf_cstr(&why));
	printf("#   got:    ");
	print_quoted(line);
	printf("\n");
}

static struct connection *connection(struct runner *r, unsigned n, bool skip_greeting)
{
	struct connection *c = &r->c[n];

	if (c->fd < 0) {
		c->fd = dial(r);
		c->greeted = false;
		c->mode = 0;
		buf_reset(&c->in);
		if (c->fd < 0) {
			fail(r, "cannot connect to %s port %s: %s", r->host, r->port, strerror(errno));
			return NULL;
		}
	}
	if (!c->greeted && skip_greeting) {
		AUTO_BUF struct buf line = BUF_INIT;

		if (!read_line(c, r->timeout, &line)) {
			fail(r, "no greeting");
			return NULL;
		}
		check_grammar(r, c, buf_str(&line));
		c->greeted = true;
	}
	return c;
}

static void send_raw(struct runner *r, unsigned n, struct str octets, bool crlf)
{
	struct connection *c = connection(r, n, true);
	AUTO_BUF struct buf out = BUF_INIT;

	if (c == NULL)
		return;
	buf_addstr(&out, octets);
	if (crlf)
		buf_adds(&out, "\r\n");
	if (r->verbose) {
		printf("# C%u: ", n);
		print_quoted(buf_str(&out));
		printf("\n");
	}
	if (io_write(c->fd, out.p, out.n) != 0)
		fail(r, "write: %s", strerror(errno));
}

static void send_text(struct runner *r, unsigned n, struct str text, bool crlf)
{
	AUTO_BUF struct buf out = BUF_INIT;

	expand(r, text, &out);
	send_raw(r, n, buf_str(&out), crlf);
}

static bool get_line(struct runner *r, unsigned n, struct buf *line)
{
	struct connection *c = connection(r, n, false);

	if (c == NULL)
		return false;
	if (!read_line(c, r->timeout, line))
		return false;
	if (r->verbose) {
		printf("# S%u: ", n);
		print_quoted(buf_str(line));
		printf("\n");
	}
	check_grammar(r, c, buf_str(line));
	c->greeted = true;
	return true;
}

static void mismatch(struct runner *r, struct str pattern, const struct buf *line)
{
	fail(r, "the answer does not match");
	printf("#   wanted: ");
	print_quoted(pattern);
	printf("\n#   got:    ");
	if (line != NULL)
		print_quoted(buf_str(line));
	else
		printf("nothing more");
	printf("\n");
}

static void expect_next(struct runner *r, unsigned n, struct str pattern)
{
	AUTO_BUF struct buf line = BUF_INIT;

	r->assertions++;
	if (r->forbidden.n > 0)
		fail(r, "S! is for the S+ that follows it");
	else if (!get_line(r, n, &line))
		mismatch(r, pattern, NULL);
	else if (!matches(r, pattern, buf_str(&line)))
		mismatch(r, pattern, &line);
}

static void expect_later(struct runner *r, unsigned n, struct str pattern)
{
	AUTO_BUF struct buf line = BUF_INIT;
	AUTO_BUF struct buf last = BUF_INIT;
	size_t i;

	r->assertions++;
	for (;;) {
		if (!get_line(r, n, &line)) {
			mismatch(r, pattern, last.n > 0 ? &last : NULL);
			break;
		}
		if (matches(r, pattern, buf_str(&line)))
			break;
		for (i = 0; i < r->forbidden.n; i++)
			if (matches(r, str_of(r->forbidden.v[i]), buf_str(&line)))
				fail(r, "a line came that must not: %s", buf_cstr(&line));
		buf_reset(&last);
		buf_addstr(&last, buf_str(&line));
	}
	for (i = 0; i < r->forbidden.n; i++)
		mem_free(r->forbidden.v[i]);
	vec_clear(&r->forbidden);
}

static void expect_unordered(struct runner *r, unsigned n)
{
	while (r->unordered.n > 0 && !r->test_failed) {
		AUTO_BUF struct buf line = BUF_INIT;
		size_t i;

		r->assertions++;
		if (!get_line(r, n, &line)) {
			mismatch(r, str_of(r->unordered.v[0]), NULL);
			break;
		}
		for (i = 0; i < r->unordered.n; i++)
			if (matches(r, str_of(r->unordered.v[i]), buf_str(&line)))
				break;
		if (i == r->unordered.n) {
			mismatch(r, str_of(r->unordered.v[0]), &line);
			break;
		}
		mem_free(r->unordered.v[i]);
		vec_remove(&r->unordered, i);
	}
	while (r->unordered.n > 0)
		mem_free(r->unordered.v[--r->unordered.n]);
}

static void expect_eof(struct runner *r, unsigned n)
{
	AUTO_BUF struct buf line = BUF_INIT;

	r->assertions++;
	if (get_line(r, n, &line)) {
		mismatch(r, STR("end of connection"), &line);
		return;
	}
	if (r->c[n].fd >= 0 && io_wait(r->c[n].fd, POLLIN, clock_ms() + 1) != 1)
		fail(r, "the connection is still open");
	io_close(&r->c[n].fd);
}

static void login(struct runner *r, unsigned n)
{
	send_text(r, n, STR("login LOGIN \"$USER\" \"$PASSWORD\""), true);
	expect_later(r, n, STR("login OK <*>"));
}

static char *copy(struct str s)
{
	char *p = mem_alloc(s.n + 1);

	memcpy(p, s.p, s.n);
	return p;
}

/* "C2-: text" → word "C-", number 2, text. */
static bool directive(struct str line, const char *word, unsigned *n, struct str *text)
{
	struct str w = str_of(word), rest;

	if (!str_starts(line, str_sub(w, 0, 1)))
		return false;
	rest = str_from(line, 1);
	*n = 1;
	if (rest.n > 0 && ascii_digit(rest.p[0])) {
		*n = (unsigned)(rest.p[0] - '0');
		rest = str_from(rest, 1);
	}
	if (!str_starts(rest, str_from(w, 1)))
		return false;
	*text = str_from(rest, w.n - 1);
	if (text->n > 0 && text->p[0] == ' ')
		*text = str_from(*text, 1);
	return true;
}

/* "C{ COMMAND", then lines with "| " before them, then "C}": the command with a literal of those lines. */
static void message_line(struct runner *r, struct str line)
{
	AUTO_BUF struct buf whole = BUF_INIT;
	struct str text;
	unsigned n;

	if (str_starts(line, STR("|"))) {
		expand(r, str_from(line, line.n > 1 && line.p[1] == ' ' ? 2 : 1), &r->message);
		buf_adds(&r->message, "\r\n");
		return;
	}
	r->in_message = false;
	if (!directive(line, "C}", &n, &text)) {
		fail(r, "only | lines may stand between C{ and C}");
		return;
	}
	buf_reset(variable(r, STR("size"), true));
	buf_printf(variable(r, STR("size"), true), "%zu", r->message.n);
	expand(r, str_of(r->command), &whole);
	buf_printf(&whole, " {%zu+}\r\n", r->message.n);
	buf_addstr(&whole, buf_str(&r->message));
	send_raw(r, r->message_connection, buf_str(&whole), true);
}

static void begin_message(struct runner *r, unsigned n, struct str command)
{
	mem_free(r->command);
	r->command = copy(command);
	r->message_connection = n;
	r->in_message = true;
	buf_reset(&r->message);
}

static void run_exchange(struct runner *r, struct str line)
{
	struct str text;
	unsigned n;

	if (r->in_message) {
		message_line(r, line);
		return;
	}
	if (r->collecting) {
		if (directive(line, "S}", &n, &text)) {
			r->collecting = false;
			expect_unordered(r, n);
		} else if (directive(line, "S:", &n, &text)) {
			*vec_push(&r->unordered) = copy(text);
		} else {
			fail(r, "only S: lines may stand between S{ and S}");
		}
		return;
	}
	if (directive(line, "C:", &n, &text))
		send_text(r, n, text, true);
	else if (directive(line, "C-:", &n, &text))
		send_text(r, n, text, false);
	else if (directive(line, "S:", &n, &text))
		expect_next(r, n, text);
	else if (directive(line, "S+:", &n, &text))
		expect_later(r, n, text);
	else if (directive(line, "S!:", &n, &text))
		*vec_push(&r->forbidden) = copy(text);
	else if (directive(line, "S{", &n, &text))
		r->collecting = true;
	else if (directive(line, "C{", &n, &text))
		begin_message(r, n, text);
	else if (directive(line, "SEOF", &n, &text))
		expect_eof(r, n);
	else
		fail(r, "not understood: %.*s", STR_FMT(line));
}

static unsigned number_argument(struct str text)
{
	text = str_trim(text);
	return text.n == 1 && ascii_digit(text.p[0]) ? (unsigned)(text.p[0] - '0') : 1;
}

static bool lacking(const struct runner *r, struct str word)
{
	size_t i;

	for (i = 0; i < r->lacks.n; i++)
		if (str_eqc(word, r->lacks.v[i]))
			return true;
	return false;
}

static void run_line(struct runner *r, struct str line)
{
	if (line.n == 0 || line.p[0] == '#')
		return;
	if (str_starts(line, STR("TEST "))) {
		end_test(r);
		r->test = copy(str_from(line, 5));
		r->collecting = r->in_message = false;
		return;
	}
	if (str_starts(line, STR("NEEDS "))) {
		if (lacking(r, str_trim(str_from(line, 6))))
			r->skip = "the driver under test cannot do this";
		return;
	}
	if (r->test_failed || r->aborted)
		return;
	if (str_starts(line, STR("LOGIN")))
		login(r, number_argument(str_from(line, 5)));
	else if (str_starts(line, STR("CLOSE")))
		io_close(&r->c[number_argument(str_from(line, 5))].fd);
	else if (str_starts(line, STR("GREETING")))
		connection(r, number_argument(str_from(line, 8)), false);
	else
		run_exchange(r, line);
}

static bool run_file(struct runner *r, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	unsigned i;

	if (f == NULL) {
		fprintf(stderr, "imap-script: %s: %s\n", path, strerror(errno));
		return false;
	}
	r->file = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
	r->line = 0;
	r->aborted = false;
	r->skip = NULL;
	while ((n = getline(&line, &room, f)) >= 0 && r->skip == NULL) {
		r->line++;
		while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		run_line(r, str_mem(line, (size_t)n));
	}
	end_test(r);
	if (r->skip != NULL)
		printf("ok %u - %s # SKIP %s\n", ++r->tests, r->file, r->skip);
	for (i = 0; i < CONNECTIONS; i++)
		io_close(&r->c[i].fd);
	free(line);
	fclose(f);
	return true;
}

static void usage(void)
{
	fprintf(stderr,
	    "usage: imap-script [--host H] --port P --user U[,U…] --password W [--timeout MS] [--lacks "
	    "WORD]… [--verbose] FILE…\n"
	    "       Users are given to the files in turn, so that each file starts with its own mail.\n");
	exit(64);
}

static const char *argument(int *i, int argc, char **argv)
{
	if (++*i >= argc)
		usage();
	return argv[*i];
}

static void release(struct runner *r, char *users)
{
	size_t i;

	for (i = 0; i < CONNECTIONS; i++)
		buf_free(&r->c[i].in);
	for (i = 0; i < r->vars.n; i++) {
		mem_free(r->vars.v[i].name);
		buf_free(&r->vars.v[i].value);
	}
	for (i = 0; i < r->forbidden.n; i++)
		mem_free(r->forbidden.v[i]);
	for (i = 0; i < r->unordered.n; i++)
		mem_free(r->unordered.v[i]);
	vec_free(&r->vars);
	vec_free(&r->forbidden);
	vec_free(&r->unordered);
	vec_free(&r->lacks);
	buf_free(&r->message);
	mem_free(r->command);
	mem_free(users);
}

int main(int argc, char **argv)
{
	struct runner r = {.host = "127.0.0.1", .timeout = 20000, .user = "", .password = ""};
	char *users = NULL, *turn;
	int i, first;

	for (i = 0; i < CONNECTIONS; i++)
		r.c[i].fd = -1;
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		const char *a = argv[i];

		if (strcmp(a, "--host") == 0)
			r.host = argument(&i, argc, argv);
		else if (strcmp(a, "--port") == 0)
			r.port = argument(&i, argc, argv);
		else if (strcmp(a, "--user") == 0)
			users = mem_strdup(argument(&i, argc, argv));
		else if (strcmp(a, "--password") == 0)
			r.password = argument(&i, argc, argv);
		else if (strcmp(a, "--timeout") == 0)
			r.timeout = strtoul(argument(&i, argc, argv), NULL, 10);
		else if (strcmp(a, "--lacks") == 0)
			*vec_push(&r.lacks) = argument(&i, argc, argv);
		else if (strcmp(a, "--verbose") == 0)
			r.verbose = true;
		else
			usage();
	}
	if (r.port == NULL || i == argc)
		usage();
	setvbuf(stdout, NULL, _IOLBF, 0);
	turn = users;
	for (first = i; i < argc; i++) {
		if (turn != NULL) {
			r.user = strsep(&turn, ",");
		} else if (i > first) {
			fprintf(stderr, "imap-script: fewer users than files\n");
			return 64;
		}
		if (!run_file(&r, argv[i]))
			return 66;
	}
	printf("1..%u\n# %u assertions in %u tests\n", r.tests, r.assertions, r.tests);
	release(&r, users);
	return r.failed_tests != 0;
}
