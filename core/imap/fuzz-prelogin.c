/*
 * Fuzz target: what a stranger sends before login. The first octet chooses how it is cut, the second what
 * auth answers. Checked besides not crashing: the replies are by the grammar of the RFCs and the same however
 * the octets come; no login happens that auth did not grant; limits on bad commands and failures hold.
 */
#include <mortise/password.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/object.h"
#include "imap/prelogin.h"
#include "grammar.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct prelogin_offer offer = {.tls = "PLAIN SCRAM-SHA-256", .clear = "PLAIN"};
static const struct prelogin_options options = {
    .offer = &offer, .starttls = true, .bad_commands = 5, .failures = 4, .response_size = 128};

/* Auth's next answer, from the script's next two bits. */
static enum prelogin_action answer(struct prelogin *p, unsigned *script, bool *granted, struct buf *out)
{
	unsigned what = *script & 3u;

	*script = *script >> 2 | (*script & 3u) << 6;
	ASSERT(prelogin_response(p).n <= 20480);
	switch (what) {
	case 0:
		prelogin_challenge(p, STR("challenge"), out);
		return PRELOGIN_MORE;
	case 1:
		return prelogin_failed(p, MORTISE_AUTH_MISMATCH, out);
	case 2:
		return prelogin_refused(p, out);
	default:
		*granted = true;
		return prelogin_succeeded(p, prelogin_mechanism(p).n > 5 ? STR("v=x") : STR_NONE, out);
	}
}

static void run(struct str input, size_t piece, unsigned script, struct buf *out)
{
	struct prelogin *p = prelogin_new(&options, false);
	bool over = false, granted = false;

	prelogin_greet(p, out);
	while (input.n > 0 && !over) {
		struct str part = str_sub(input, 0, piece);
		enum prelogin_action action;

		input = str_from(input, part.n);
		do {
			action = prelogin_feed(p, &part, out);
			while (action == PRELOGIN_START || action == PRELOGIN_STEP) {
				granted = false;
				action = answer(p, &script, &granted, out);
			}
			if (action == PRELOGIN_STARTTLS) {
				buf_adds(out, "(TLS)\r\n");
				prelogin_secured(p);
			}
			if (action == PRELOGIN_LOGIN) {
				ASSERT(granted);
				ASSERT(prelogin_tag(p).n > 0);
				buf_adds(out, "(login)\r\n");
				granted = false;
				action = prelogin_no_session(p, MORTISE_E_LIMIT, out);
			}
			over = action == PRELOGIN_CLOSE;
		} while (!over && (part.n > 0 || action == PRELOGIN_CANCEL));
	}
	ASSERT(out->n >= 2 && out->p[out->n - 2] == '\r' && out->p[out->n - 1] == '\n');
	prelogin_free(&p);
}

/* Every line is by the grammar of the RFCs, but for the marks of this file. */
static void check_grammar(struct str said)
{
	struct buf why = BUF_INIT;
	bool first = true;
	size_t n;

	for (; said.n > 0; said = str_from(said, n), first = false) {
		struct str line;

		n = grammar_first(said);
		ASSERT(n > 0);
		line = str_sub(said, 0, n - 2);
		if (str_eqc(line, "(TLS)") || str_eqc(line, "(login)"))
			continue;
		if (first ? grammar_greeting(line, &why) : grammar_response(line, 0, &why))
			continue;
		fprintf(stderr, "%s: %.*s\n", buf_cstr(&why), (int)(line.n < 2000 ? line.n : 2000), line.p);
		abort();
	}
	buf_free(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT, cut = BUF_INIT, octets = BUF_INIT;
	struct str input = size > 2 ? str_mem(data + 2, size - 2) : STR("");
	unsigned script = size > 1 ? data[1] : 0;

	run(input, SIZE_MAX, script, &whole);
	run(input, size > 0 ? data[0] % 64 + 1u : 1, script, &cut);
	run(input, 1, script, &octets);
	ASSERT(str_eq(buf_str(&whole), buf_str(&cut)));
	ASSERT(str_eq(buf_str(&whole), buf_str(&octets)));
	check_grammar(buf_str(&whole));
	buf_free(&whole);
	buf_free(&cut);
	buf_free(&octets);
	return 0;
}
