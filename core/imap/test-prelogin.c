#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <mortise/password.h>

#include "base/codec.h"
#include "imap/prelogin.h"
#include "base/banned.h"

static struct prelogin_offer offer = {.tls = "PLAIN LOGIN SCRAM-SHA-256", .clear = "SCRAM-SHA-256"};
static struct prelogin_offer open_offer = {.tls = "PLAIN LOGIN", .clear = "PLAIN LOGIN"};

struct talk {
	struct prelogin_options o;
	struct prelogin *p;
	struct buf out;
};

static void start(struct talk *t, const struct prelogin_offer *of, bool tls)
{
	*t = (struct talk){
	    .o = {.offer = of, .starttls = true, .bad_commands = 4, .failures = 3, .response_size = 1024}};
	t->p = prelogin_new(&t->o, tls);
}

static void end(struct talk *t)
{
	prelogin_free(&t->p);
	buf_free(&t->out);
}

static enum prelogin_action say(struct talk *t, const char *text)
{
	struct str in = str_of(text);

	buf_reset(&t->out);
	return prelogin_feed(t->p, &in, &t->out);
}

static void assert_out(const struct talk *t, const char *want)
{
	if (str_search(buf_str(&t->out), str_of(want)) == SIZE_MAX)
		fail_msg("\"%s\" is not in \"%.*s\"", want, STR_FMT(buf_str(&t->out)));
}

static void assert_not_out(const struct talk *t, const char *unwanted)
{
	if (str_search(buf_str(&t->out), str_of(unwanted)) != SIZE_MAX)
		fail_msg("\"%s\" is in \"%.*s\"", unwanted, STR_FMT(buf_str(&t->out)));
}

/* attack-012, attack-014 */
static void test_capability_follows_tls(void **state)
{
	struct talk t;

	(void)state;
	start(&t, &offer, false);
	assert_int_equal(say(&t, "a CAPABILITY\r\n"), PRELOGIN_MORE);
	assert_out(&t, " STARTTLS");
	assert_out(&t, " LOGINDISABLED");
	assert_out(&t, " AUTH=SCRAM-SHA-256");
	assert_not_out(&t, "AUTH=PLAIN");
	assert_out(&t, "a OK ");
	prelogin_secured(t.p);
	(void)say(&t, "b CAPABILITY\r\n");
	assert_not_out(&t, "STARTTLS");
	assert_not_out(&t, "LOGINDISABLED");
	assert_out(&t, " AUTH=PLAIN");
	end(&t);
}

/* attack-012 */
static void test_no_password_in_clear(void **state)
{
	struct talk t;

	(void)state;
	start(&t, &offer, false);
	assert_int_equal(say(&t, "a LOGIN u p\r\n"), PRELOGIN_MORE);
	assert_out(&t, "a NO [PRIVACYREQUIRED]");
	assert_int_equal(say(&t, "b AUTHENTICATE PLAIN AHUAcA==\r\n"), PRELOGIN_MORE);
	assert_out(&t, "b NO [PRIVACYREQUIRED]");
	end(&t);
}

/* attack-001, attack-005, attack-011: what came before STARTTLS has no effect after it. */
static void test_starttls_forgets(void **state)
{
	struct talk t;
	struct str in = STR("a STARTTLS\r\nb LOGIN u p\r\n");

	(void)state;
	start(&t, &open_offer, false);
	assert_int_equal(prelogin_feed(t.p, &in, &t.out), PRELOGIN_STARTTLS);
	assert_string_equal(buf_cstr(&t.out), "a OK Begin TLS negotiation now\r\n");
	/* Even if the owner went on feeding, nothing happens until TLS is up. */
	buf_reset(&t.out);
	assert_int_equal(prelogin_feed(t.p, &in, &t.out), PRELOGIN_MORE);
	assert_int_equal(t.out.n, 0);
	prelogin_secured(t.p);
	end(&t);
	/* A command begun in clear is not completed under TLS. */
	start(&t, &open_offer, false);
	(void)say(&t, "x BAD\r\ny BAD\r\nz BAD\r\n");
	assert_int_equal(say(&t, "a STARTTLS\r\n"), PRELOGIN_STARTTLS);
	prelogin_secured(t.p);
	assert_int_equal(say(&t, "u p\r\n"), PRELOGIN_MORE);
	assert_out(&t, "BAD ");
	end(&t);
}

/* attack-006, attack-007 */
static void test_starttls_once(void **state)
{
	struct talk t;

	(void)state;
	start(&t, &offer, true);
	assert_int_equal(say(&t, "a STARTTLS\r\n"), PRELOGIN_MORE);
	assert_out(&t, "a BAD ");
	end(&t);
}

static void test_login(void **state)
{
	struct talk t;

	(void)state;
	start(&t, &open_offer, false);
	assert_int_equal(say(&t, "a LOGIN \"us er\" {3+}\r\np\"w\r\n"), PRELOGIN_START);
	assert_true(str_eqc(prelogin_mechanism(t.p), ""));
	assert_true(str_eq(prelogin_response(t.p), STR("us er\0p\"w")));
	assert_int_equal(prelogin_succeeded(t.p, STR_NONE, &t.out), PRELOGIN_LOGIN);
	assert_true(str_eqc(prelogin_tag(t.p), "a"));
	end(&t);
	/* attack-042: a NUL cannot be in a name, so it cannot end it early. */
	start(&t, &open_offer, false);
	{
		struct str in = STR("a LOGIN {3+}\r\nx\0y pw\r\n");

		assert_int_equal(prelogin_feed(t.p, &in, &t.out), PRELOGIN_MORE);
		assert_out(&t, "BAD ");
	}
	end(&t);
}

/* Synchronising literals ask before they send. */
static void test_login_literal(void **state)
{
	struct talk t;

	(void)state;
	start(&t, &open_offer, false);
	assert_int_equal(say(&t, "a LOGIN {1}\r\n"), PRELOGIN_MORE);
	assert_out(&t, "+ ");
	assert_int_equal(say(&t, "u {1}\r\n"), PRELOGIN_MORE);
	assert_int_equal(say(&t, "p\r\n"), PRELOGIN_START);
	assert_true(str_eq(prelogin_response(t.p), STR("u\0p")));
	end(&t);
}

static void test_authenticate(void **state)
{
	struct talk t;

	(void)state;
	start(&t, &offer, true);
	/* attack-036: absent, empty and given initial responses are three things. */
	assert_int_equal(say(&t, "a AUTHENTICATE PLAIN\r\n"), PRELOGIN_START);
	assert_null(prelogin_response(t.p).p);
	prelogin_challenge(t.p, STR(""), &t.out);
	assert_out(&t, "+ ");
	assert_int_equal(say(&t, "AHUAcA==\r\n"), PRELOGIN_STEP);
	assert_true(str_eq(prelogin_response(t.p), STR("\0u\0p")));
	assert_int_equal(prelogin_failed(t.p, MORTISE_AUTH_MISMATCH, &t.out), PRELOGIN_MORE);
	assert_out(&t, "a NO [AUTHENTICATIONFAILED]");
	assert_int_equal(say(&t, "b AUTHENTICATE plain =\r\n"), PRELOGIN_START);
	assert_non_null(prelogin_response(t.p).p);
	assert_int_equal(prelogin_response(t.p).n, 0);
	(void)prelogin_failed(t.p, MORTISE_AUTH_TEMP, &t.out);
	assert_out(&t, "b NO [UNAVAILABLE]");
	assert_int_equal(say(&t, "c AUTHENTICATE plain =\r\n"), PRELOGIN_START);
	(void)prelogin_failed(t.p, MORTISE_AUTH_EXPIRED, &t.out);
	assert_out(&t, "c NO [EXPIRED]");
	end(&t);
}

/* attack-036, attack-009 */
static void test_cancel(void **state)
{
	struct talk t;

	(void)state;
	start(&t, &offer, true);
	(void)say(&t, "a AUTHENTICATE PLAIN\r\n");
	prelogin_challenge(t.p, STR(""), &t.out);
	assert_int_equal(say(&t, "*\r\n"), PRELOGIN_CANCEL);
	assert_out(&t, "a BAD ");
	(void)say(&t, "b AUTHENTICATE PLAIN\r\n");
	prelogin_challenge(t.p, STR(""), &t.out);
	assert_int_equal(say(&t, "c STARTTLS\r\n"), PRELOGIN_CANCEL);
	assert_out(&t, "b BAD ");
	assert_int_equal(say(&t, "d NOOP\r\n"), PRELOGIN_MORE);
	assert_out(&t, "d OK ");
	end(&t);
}

/* attack-037, attack-038 */
static void test_response_limits(void **state)
{
	struct talk t;
	struct buf line = BUF_INIT;
	static char raw[768];
	size_t i;

	(void)state;
	start(&t, &offer, true);
	base64_encode(&line, str_mem(raw, sizeof(raw))); /* 1024 octets: the limit */
	assert_int_equal(line.n, 1024);
	buf_adds(&line, "\r\n");
	(void)say(&t, "a AUTHENTICATE PLAIN\r\n");
	prelogin_challenge(t.p, STR(""), &t.out);
	assert_int_equal(say(&t, buf_cstr(&line)), PRELOGIN_STEP);
	(void)prelogin_failed(t.p, MORTISE_AUTH_MISMATCH, &t.out);
	/* One group over, and then a hundred million octets: refused once, at the line's end, in no memory.
	 */
	(void)say(&t, "b AUTHENTICATE PLAIN\r\n");
	prelogin_challenge(t.p, STR(""), &t.out);
	buf_truncate(&line, 1024);
	buf_adds(&line, "AAAA");
	for (i = 0; i < 100000; i++)
		assert_int_equal(say(&t, buf_cstr(&line)), PRELOGIN_MORE);
	assert_int_equal(t.out.n, 0);
	assert_int_equal(say(&t, "\r\n"), PRELOGIN_CANCEL);
	assert_out(&t, "b BAD ");
	assert_int_equal(say(&t, "c AUTHENTICATE PLAIN !!!!\r\n"), PRELOGIN_MORE);
	assert_out(&t, "c BAD ");
	buf_free(&line);
	end(&t);
}

static void test_last_word(void **state)
{
	struct talk t;

	(void)state;
	start(&t, &offer, true);
	(void)say(&t, "a AUTHENTICATE SCRAM-SHA-256 biws\r\n");
	assert_int_equal(prelogin_succeeded(t.p, STR("v=proof"), &t.out), PRELOGIN_MORE);
	assert_out(&t, "+ dj1wcm9vZg==\r\n");
	assert_int_equal(say(&t, "\r\n"), PRELOGIN_LOGIN);
	assert_true(str_eqc(prelogin_tag(t.p), "a"));
	end(&t);
}

/* attack-026 */
static void test_bad_commands_end(void **state)
{
	struct talk t;

	(void)state;
	start(&t, &offer, false);
	assert_int_equal(say(&t, "a FROBNICATE\r\n\r\n* x\r\nb NOOP\r\n"), PRELOGIN_MORE);
	assert_int_equal(say(&t, "a SELECT x\r\nb\r\nc LOGIN\r\n"), PRELOGIN_MORE);
	assert_int_equal(say(&t, "d NOOP x\r\n"), PRELOGIN_CLOSE);
	assert_out(&t, "* BYE ");
	end(&t);
}

static void test_failures_end(void **state)
{
	struct talk t;
	int i;

	(void)state;
	start(&t, &open_offer, false);
	for (i = 0; i < 2; i++) {
		assert_int_equal(say(&t, "a LOGIN u p\r\n"), PRELOGIN_START);
		assert_int_equal(prelogin_failed(t.p, MORTISE_AUTH_MISMATCH, &t.out), PRELOGIN_MORE);
	}
	assert_int_equal(say(&t, "a LOGIN u p\r\n"), PRELOGIN_START);
	assert_int_equal(prelogin_failed(t.p, MORTISE_AUTH_UNKNOWN, &t.out), PRELOGIN_CLOSE);
	assert_out(&t, "* BYE ");
	assert_string_equal(prelogin_why(t.p), "Too many failed logins");
	end(&t);
}

/* attack-025 */
static void test_browsers(void **state)
{
	static const char *const lines[] = {"GET / HTTP/1.1\r\n", "POST http://x/ HTTP/1.0\r\n",
	    "OPTIONS * HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "CONNECT a:1 HTTP/1.1\r\n"};
	struct talk t;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(lines); i++) {
		start(&t, &offer, false);
		assert_int_equal(say(&t, lines[i]), PRELOGIN_CLOSE);
		assert_int_equal(t.out.n, 0);
		end(&t);
	}
	start(&t, &offer, false);
	assert_int_equal(say(&t, "GET NOOP\r\n"), PRELOGIN_MORE); /* a tag like any other */
	assert_out(&t, "GET OK ");
	end(&t);
}

/* attack-027, attack-081 */
static void test_tags(void **state)
{
	struct talk t;
	struct buf line = BUF_INIT;
	int i;

	(void)state;
	start(&t, &offer, false);
	(void)say(&t, "<script> NOOP\r\n");
	assert_not_out(&t, "script");
	assert_out(&t, "BAD ");
	for (i = 0; i < 10240; i++)
		buf_addc(&line, 'x');
	buf_adds(&line, " NOOP\r\n");
	(void)say(&t, buf_cstr(&line));
	assert_not_out(&t, "xxxxxxxx");
	assert_out(&t, "BAD ");
	buf_free(&line);
	end(&t);
}

/* attack-099 */
static void test_id(void **state)
{
	struct talk t;
	struct buf line = BUF_INIT;
	int i;

	(void)state;
	start(&t, &offer, false);
	(void)say(&t, "a ID (\"name\" \"x\" \"os\" NIL)\r\n");
	assert_out(&t, "* ID (");
	assert_out(&t, "a OK ");
	(void)say(&t, "b ID NIL\r\n");
	assert_out(&t, "b OK ");
	buf_adds(&line, "c ID (");
	for (i = 0; i < 31; i++)
		buf_adds(&line, i > 0 ? " \"a\" \"b\"" : "\"a\" \"b\"");
	buf_adds(&line, ")\r\n");
	(void)say(&t, buf_cstr(&line));
	assert_out(&t, "c BAD ");
	buf_free(&line);
	end(&t);
}

static void test_logout(void **state)
{
	struct talk t;

	(void)state;
	start(&t, &offer, false);
	assert_int_equal(say(&t, "a LOGOUT\r\n"), PRELOGIN_CLOSE);
	assert_out(&t, "* BYE ");
	assert_out(&t, "a OK ");
	assert_null(prelogin_why(t.p));
	end(&t);
}

/* Whatever way the octets are cut, the outcome is the same. */
static void test_octet_by_octet(void **state)
{
	static const char text[] = "a CAPABILITY\r\nb ID NIL\r\nc AUTHENTICATE PLAIN\r\n";
	struct talk t;
	enum prelogin_action action = PRELOGIN_MORE;
	size_t i;

	(void)state;
	start(&t, &offer, true);
	for (i = 0; i + 1 < sizeof(text); i++) {
		struct str in = str_mem(text + i, 1);

		assert_int_equal(action, PRELOGIN_MORE);
		action = prelogin_feed(t.p, &in, &t.out);
	}
	assert_int_equal(action, PRELOGIN_START);
	assert_out(&t, "a OK ");
	assert_out(&t, "b OK ");
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_capability_follows_tls),
	    cmocka_unit_test(test_no_password_in_clear),
	    cmocka_unit_test(test_starttls_forgets),
	    cmocka_unit_test(test_starttls_once),
	    cmocka_unit_test(test_login),
	    cmocka_unit_test(test_login_literal),
	    cmocka_unit_test(test_authenticate),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_response_limits),
	    cmocka_unit_test(test_last_word),
	    cmocka_unit_test(test_bad_commands_end),
	    cmocka_unit_test(test_failures_end),
	    cmocka_unit_test(test_browsers),
	    cmocka_unit_test(test_tags),
	    cmocka_unit_test(test_id),
	    cmocka_unit_test(test_logout),
	    cmocka_unit_test(test_octet_by_octet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
