/* test-chain.c: chain, identities, conversations, offers, throttling: everything without processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/test-fake.h"
#include "auth/throttle.h"
#include "base/clock.h"

static struct arena *arena;
static struct auth_options options;
static struct auth_chain *chain;
static struct buf why;

static const char *const all_mechanisms[] = {
    "PLAIN", "LOGIN", "TWICE", "CLAIM", "SAYS", "ODD", "SCRAMMED", "NOT-THERE", "PLAIN"};
static const char *const masters[] = {"boss", "spelled", "disabled"};
static const struct auth_facts facts = {
    .service = "imap", .remote = "192.0.2.1", .local = "192.0.2.2", .host = "mail.test", .tls = true};

static int setup(void **state)
{
	(void)state;
	arena = arena_new("test");
	fake_passwords[0] = instance_builtin(arena, &fake_password_module, "fake");
	fake_password_count = 1;
	fake_sasl[0] = instance_builtin(arena, &fake_sasl_module, "fakesasl");
	fake_sasl_count = 1;
	options = (struct auth_options){.mechanisms = {all_mechanisms, ARRAY_LEN(all_mechanisms)},
	    .minimum_uid = 500,
	    .lowercase_retry = true,
	    .master_users = {masters, ARRAY_LEN(masters)},
	    .master_separator = "*",
	    .throttle_free = 2,
	    .throttle_step = 1000,
	    .throttle_max = 8000,
	    .throttle_decay = 60000,
	    .throttle_entries = 1024};
	chain = auth_chain_new(NULL, &options, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	auth_chain_free(&chain);
	buf_free(&why);
	arena_free(&arena);
	return 0;
}

static int verify(const char *user, const char *password, struct auth_identity *out)
{
	struct auth_identity i;

	buf_reset(&why);
	return auth_verify(
	    chain, &facts, user, password, strlen(password), 0, arena, out != NULL ? out : &i, &why);
}

static void results_of_one_backend(void **state)
{
	struct auth_identity i;

	(void)state;
	assert_int_equal(verify("ok", "right", &i), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "ok");
	assert_int_equal(i.uid, 2000);
	assert_int_equal(i.group_count, 1);
	assert_int_equal(i.groups[0], 3000);
	assert_string_equal(i.home, "/home/x");
	assert_int_equal(i.option_count, 1);
	assert_int_equal(verify("ok", "wrong", NULL), MORTISE_AUTH_MISMATCH);
	assert_int_equal(verify("unknown", "x", NULL), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(verify("next", "x", NULL), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(verify("disabled", "x", NULL), MORTISE_AUTH_DISABLED);
	assert_int_equal(verify("expired", "x", NULL), MORTISE_AUTH_EXPIRED);
	assert_int_equal(verify("temp", "x", NULL), MORTISE_AUTH_TEMP);
	assert_int_equal(verify("negative", "x", NULL), MORTISE_AUTH_TEMP);
	assert_int_equal(verify("odd", "x", NULL), MORTISE_AUTH_INTERNAL);
	assert_int_equal(verify("spelled", "right", &i), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "Spelled.Right");
	assert_int_equal(verify("baduser", "right", NULL), MORTISE_AUTH_INTERNAL);
}

/* attack-073: what a broken backend would have said is not replaced by the next one's */
static void order_of_backends(void **state)
{
	(void)state;
	fake_passwords[1] = instance_builtin(arena, &fake_second_module, "second");
	fake_password_count = 2;
	assert_int_equal(verify("unknown", "x", NULL), MORTISE_AUTH_OK);
	assert_string_equal(buf_cstr(&why), "fake: unknown, second: ok");
	assert_int_equal(verify("next", "x", NULL), MORTISE_AUTH_OK);
	assert_int_equal(verify("temp", "x", NULL), MORTISE_AUTH_TEMP);
	assert_null(strstr(buf_cstr(&why), "second"));
	assert_int_equal(verify("odd", "x", NULL), MORTISE_AUTH_INTERNAL);
	assert_null(strstr(buf_cstr(&why), "second"));
	assert_int_equal(verify("ok", "wrong", NULL), MORTISE_AUTH_MISMATCH);
	assert_null(strstr(buf_cstr(&why), "second"));
	fake_password_count = 0;
	assert_int_equal(verify("ok", "right", NULL), MORTISE_AUTH_UNKNOWN);
}

/* attack-066 */
static void identities_that_never_log_in(void **state)
{
	static const char *const users[] = {"root", "low", "gid0", "nohome"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(users); i++) {
		assert_int_equal(verify(users[i], "right", NULL), MORTISE_AUTH_DISABLED);
		assert_int_equal(verify(users[i], "wrong", NULL), MORTISE_AUTH_MISMATCH);
	}
}

static void unprivileged_maps_to_this_process(void **state)
{
	struct auth_identity i;

	(void)state;
	auth_chain_free(&chain);
	chain = auth_chain_new(NULL, &options, true);
	assert_int_equal(verify("root", "right", &i), MORTISE_AUTH_OK);
	assert_int_equal(i.uid, geteuid());
	assert_int_equal(i.gid, getegid());
	assert_string_equal(i.home, "/home/x");
	assert_int_equal(verify("nohome", "right", &i), MORTISE_AUTH_OK);
	assert_true(i.home[0] == '/');
}

/* attack-047, 048, 042 */
static void user_names(void **state)
{
	static const char *const good[] = {"a", "fred", "a@b", "../x", "%u", "$(x)", "na\xc3\xafve",
	    "\xf0\x9f\x98\x80", "a b", "\xe2\x80\xae.bidi", "a*b"};
	static const char *const bad[] = {"", "a\nb", "a\tb", "\x7f", "\x01", "\xff", "\xc0\xaf",
	    "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3", "\xe2\x82", "\xc2\x85"};
	char *long_name = test_malloc(300);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++)
		assert_true(auth_user_name_ok(str_of(good[i])));
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(auth_user_name_ok(str_of(bad[i])));
	assert_false(auth_user_name_ok(str_mem("a\0b", 3)));
	memset(long_name, 'x', 300);
	assert_true(auth_user_name_ok(str_mem(long_name, 255)));
	assert_false(auth_user_name_ok(str_mem(long_name, 256)));
	test_free(long_name);
	assert_int_equal(verify("ok\n", "right", NULL), MORTISE_AUTH_MISMATCH);
	/* attack-046: an empty password is never asked for */
	assert_int_equal(verify("ok", "", NULL), MORTISE_AUTH_MISMATCH);
	assert_int_equal(
	    auth_verify(chain, &facts, "ok", "right\0", 6, 0, arena, &(struct auth_identity){0}, &why),
	    MORTISE_AUTH_MISMATCH);
}

static void capitals(void **state)
{
	struct auth_identity i;

	(void)state;
	assert_int_equal(verify("UNKNOWN", "right", NULL), MORTISE_AUTH_OK); /* a name of its own here */
	fake_passwords[1] = instance_builtin(arena, &fake_second_module, "second");
	fake_passwords[0] = fake_passwords[1];
	assert_int_equal(verify("UNKNOWN", "right", &i), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "unknown");
	options.lowercase_retry = false;
	assert_int_equal(verify("UNKNOWN", "right", NULL), MORTISE_AUTH_UNKNOWN);
}

/* ---- conversations ---- */

/* Runs a conversation; MORTISE_AUTH_…, or -outcome when it did not come to one (BAD). */
static int talk(const char *mechanism, struct str first, struct str second, struct auth_identity *out)
{
	struct auth_identity i;
	struct auth_conv *v;
	struct buf challenge = BUF_INIT;
	int r = auth_conv_start(chain, &facts, str_of(mechanism), first, 0, &v, &challenge);

	buf_reset(&why);
	if (r == MORTISE_SASL_CONTINUE)
		r = auth_conv_step(v, second, 0, &challenge);
	if (r == MORTISE_SASL_DONE || r == MORTISE_SASL_FAIL || r == MORTISE_SASL_TEMP)
		r = auth_conv_identity(v, 0, arena, out != NULL ? out : &i, &why);
	else
		r = -r;
	auth_conv_free(&v);
	buf_free(&challenge);
	return r;
}

#define OCTETS(literal) str_mem(literal, sizeof(literal) - 1)

static void login_command(void **state)
{
	struct auth_identity i;

	(void)state;
	assert_int_equal(talk("", OCTETS("ok\0right"), STR_NONE, &i), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "ok");
	assert_int_equal(talk("", OCTETS("ok\0wrong"), STR_NONE, NULL), MORTISE_AUTH_MISMATCH);
	assert_int_equal(talk("", OCTETS("unknown\0x"), STR_NONE, NULL), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(talk("", OCTETS("temp\0x"), STR_NONE, NULL), MORTISE_AUTH_TEMP);
	assert_int_equal(talk("", OCTETS("ok\0"), STR_NONE, NULL), MORTISE_AUTH_MISMATCH);
	/* attack-040: missing and extra NULs */
	assert_int_equal(talk("", OCTETS("okright"), STR_NONE, NULL), -MORTISE_SASL_BAD);
	assert_int_equal(talk("", OCTETS("ok\0right\0"), STR_NONE, NULL), -MORTISE_SASL_BAD);
	assert_int_equal(talk("", STR_NONE, STR_NONE, NULL), -MORTISE_SASL_BAD);
	assert_int_equal(talk("", OCTETS("\0right"), STR_NONE, NULL), MORTISE_AUTH_MISMATCH);
}

static void mechanisms(void **state)
{
	(void)state;
	assert_int_equal(talk("PLAIN", OCTETS("ok\0right"), STR_NONE, NULL), MORTISE_AUTH_OK);
	assert_int_equal(talk("plain", STR_NONE, OCTETS("ok\0right"), NULL), MORTISE_AUTH_OK);
	assert_int_equal(talk("PLAIN", STR_NONE, OCTETS(""), NULL), -MORTISE_SASL_BAD); /* attack-036 */
	assert_int_equal(talk("LOGIN", OCTETS("ok"), OCTETS("right"), NULL), MORTISE_AUTH_OK);
	assert_int_equal(talk("LOGIN", OCTETS("ok"), OCTETS(""), NULL), MORTISE_AUTH_MISMATCH);
	assert_int_equal(talk("TWICE", STR_NONE, OCTETS("ok"), NULL), MORTISE_AUTH_MISMATCH);
	assert_int_equal(talk("NOT-THERE", STR_NONE, STR_NONE, NULL), -MORTISE_SASL_BAD);
	assert_int_equal(talk("SCRAMMED", STR_NONE, STR_NONE, NULL), -MORTISE_SASL_BAD);
	assert_int_equal(talk("ODD", OCTETS("x"), STR_NONE, NULL), MORTISE_AUTH_INTERNAL);
}

/* attack-073: a library's plain "no" after TEMP is not a wrong password */
static void a_no_is_remembered_for_what_it_was(void **state)
{
	(void)state;
	assert_int_equal(talk("PLAIN", OCTETS("temp\0x"), STR_NONE, NULL), MORTISE_AUTH_TEMP);
	assert_int_equal(talk("PLAIN", OCTETS("odd\0x"), STR_NONE, NULL), MORTISE_AUTH_INTERNAL);
	assert_int_equal(talk("PLAIN", OCTETS("expired\0x"), STR_NONE, NULL), MORTISE_AUTH_EXPIRED);
	assert_int_equal(talk("PLAIN", OCTETS("disabled\0x"), STR_NONE, NULL), MORTISE_AUTH_DISABLED);
	/* attack-042: a NUL inside the password is not the end of it */
	assert_int_equal(talk("PLAIN", OCTETS("ok\0right\0x"), STR_NONE, NULL), MORTISE_AUTH_MISMATCH);
}

static void a_mechanism_cannot_claim_somebody_else(void **state)
{
	(void)state;
	assert_int_equal(talk("CLAIM", OCTETS("right"), STR_NONE, NULL), MORTISE_AUTH_INTERNAL);
	assert_int_equal(talk("SAYS", OCTETS("ok"), STR_NONE, NULL), MORTISE_AUTH_OK);
	assert_int_equal(talk("SAYS", OCTETS("\0ok"), STR_NONE, NULL), MORTISE_AUTH_INTERNAL);
	assert_int_equal(talk("SAYS", OCTETS("bad\nname"), STR_NONE, NULL), MORTISE_AUTH_INTERNAL);
	assert_int_equal(talk("SAYS", OCTETS("unknown"), STR_NONE, NULL), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(talk("SAYS", OCTETS("temp"), STR_NONE, NULL), MORTISE_AUTH_TEMP);
	assert_int_equal(talk("SAYS", OCTETS("root"), STR_NONE, NULL), MORTISE_AUTH_DISABLED);
}

/* attack-040, 041, 053 */
static void acting_for_somebody_else(void **state)
{
	struct auth_identity i;

	(void)state;
	assert_int_equal(talk("SAYS", OCTETS("boss\0ok"), STR_NONE, &i), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "ok");
	assert_int_equal(talk("SAYS", OCTETS("ok\0ok"), STR_NONE, &i), MORTISE_AUTH_OK);
	assert_int_equal(talk("SAYS", OCTETS("ok\0boss"), STR_NONE, NULL), MORTISE_AUTH_MISMATCH);
	assert_int_equal(talk("SAYS", OCTETS("boss\0unknown"), STR_NONE, NULL), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(talk("SAYS", OCTETS("boss\0disabled"), STR_NONE, NULL), MORTISE_AUTH_DISABLED);
	assert_int_equal(talk("SAYS", OCTETS("boss\0root"), STR_NONE, NULL), MORTISE_AUTH_DISABLED);
	assert_int_equal(talk("SAYS", OCTETS("boss\0temp"), STR_NONE, NULL), MORTISE_AUTH_TEMP);
	assert_int_equal(talk("SAYS", OCTETS("boss\0a\nb"), STR_NONE, NULL), MORTISE_AUTH_UNKNOWN);
	/* a master user who is disabled is nobody's master; the spelling that counts is the canonical one */
	assert_int_equal(talk("SAYS", OCTETS("disabled\0ok"), STR_NONE, NULL), MORTISE_AUTH_DISABLED);
	assert_int_equal(talk("SAYS", OCTETS("spelled\0ok"), STR_NONE, NULL), MORTISE_AUTH_MISMATCH);
	/* UW's form */
	assert_int_equal(talk("", OCTETS("ok*boss\0right"), STR_NONE, &i), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "ok");
	assert_int_equal(talk("", OCTETS("ok*boss\0wrong"), STR_NONE, NULL), MORTISE_AUTH_MISMATCH);
	assert_int_equal(talk("", OCTETS("unknown*boss\0right"), STR_NONE, NULL), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(talk("", OCTETS("*boss\0right"), STR_NONE, NULL), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(talk("", OCTETS("boss*ok\0right"), STR_NONE, &i), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "boss*ok"); /* ok is no master: an ordinary, odd name */
	assert_int_equal(talk("", OCTETS("a*b*boss\0right"), STR_NONE, &i), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "a*b");
	assert_int_equal(talk("SAYS", OCTETS("ok*boss\0other"), STR_NONE, NULL), MORTISE_AUTH_MISMATCH);
	options.master_separator = "";
	assert_int_equal(talk("", OCTETS("ok*boss\0right"), STR_NONE, &i), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "ok*boss");
}

static void offers(void **state)
{
	struct buf tls = BUF_INIT, clear = BUF_INIT;

	(void)state;
	auth_offer(NULL, &options, true, &tls);
	auth_offer(NULL, &options, false, &clear);
	assert_string_equal(buf_cstr(&tls), "PLAIN LOGIN TWICE CLAIM SAYS ODD");
	assert_string_equal(buf_cstr(&clear), "TWICE CLAIM SAYS ODD");
	assert_true(auth_offered(buf_str(&tls), STR("login")));
	assert_true(auth_offered(buf_str(&tls), STR("")));
	assert_false(auth_offered(buf_str(&clear), STR("")));
	assert_false(auth_offered(buf_str(&clear), STR("SAY")));
	assert_false(auth_offered(buf_str(&tls), STR("PLAIN LOGIN")));
	options.plaintext_without_tls = true;
	buf_reset(&clear);
	auth_offer(NULL, &options, false, &clear);
	assert_string_equal(buf_cstr(&clear), buf_cstr(&tls));
	/* no backend that can check: nothing that needs one */
	fake_password_count = 0;
	buf_reset(&tls);
	auth_offer(NULL, &options, true, &tls);
	assert_string_equal(buf_cstr(&tls), "SAYS ODD");
	buf_free(&tls);
	buf_free(&clear);
}

/* ---- throttling ---- */

/* attack-068 */
static void throttling(void **state)
{
	struct throttle *t = throttle_new(&options);
	int i;

	(void)state;
	for (i = 0; i < 2; i++)
		throttle_failed(t, "192.0.2.1", "fred");
	assert_int_equal(throttle_address(t, "192.0.2.1"), 0);
	throttle_failed(t, "192.0.2.1", "fred");
	assert_int_equal(throttle_address(t, "192.0.2.1"), 1000);
	assert_int_equal(throttle_user(t, "198.51.100.7", "fred"), 1000);
	throttle_failed(t, "::ffff:192.0.2.1", "fred"); /* the same address */
	assert_int_equal(throttle_address(t, "192.0.2.1"), 2000);
	for (i = 0; i < 1000000; i++)
		throttle_failed(t, "192.0.2.1", "fred");
	assert_int_equal(throttle_address(t, "192.0.2.1"), 8000); /* slow, never shut */
	assert_int_equal(throttle_user(t, "192.0.2.1", "fred"), 8000);
	/* others are not touched; the owner, where known, is not made to wait */
	assert_int_equal(throttle_address(t, "192.0.2.2"), 0);
	assert_int_equal(throttle_user(t, "192.0.2.1", "anne"), 0);
	throttle_succeeded(t, "203.0.113.5", "fred");
	assert_int_equal(throttle_user(t, "203.0.113.5", "fred"), 0);
	assert_int_equal(throttle_user(t, "203.0.113.6", "fred"), 8000);
	clock_test_advance(60000 * 12);
	assert_int_equal(throttle_address(t, "192.0.2.1"), 0);
	assert_int_equal(throttle_user(t, "192.0.2.1", "fred"), 0);
	throttle_free(&t);
}

static void throttling_networks(void **state)
{
	struct throttle *t = throttle_new(&options);
	int i;

	(void)state;
	for (i = 0; i < 8; i++) {
		char address[64];

		snprintf(address, sizeof(address), "2001:db8:1:2::%x", i + 1);
		throttle_failed(t, address, "");
	}
	assert_int_equal(throttle_address(t, "2001:db8:1:2:ffff::1"), 8000);
	assert_int_equal(throttle_address(t, "2001:db8:1:3::1"), 0);
	throttle_failed(t, "", "x");
	throttle_failed(t, NULL, NULL);
	assert_int_equal(throttle_address(t, ""), 0);
	throttle_free(&t);
}

/* Naming a million others does not make it forget the account under attack. */
static void throttling_remembers_under_flood(void **state)
{
	struct throttle *t = throttle_new(&options);
	int i;

	(void)state;
	for (i = 0; i < 50; i++)
		throttle_failed(t, "192.0.2.1", "fred");
	throttle_succeeded(t, "203.0.113.5", "fred");
	for (i = 0; i < 1000000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "user%d", i);
		throttle_failed(t, "", name);
	}
	assert_int_equal(throttle_address(t, "192.0.2.1"), 8000);
	assert_int_equal(throttle_user(t, "192.0.2.1", "fred"), 8000);
	assert_int_equal(throttle_user(t, "203.0.113.5", "fred"), 0);
	throttle_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(results_of_one_backend, setup, teardown),
	    cmocka_unit_test_setup_teardown(order_of_backends, setup, teardown),
	    cmocka_unit_test_setup_teardown(identities_that_never_log_in, setup, teardown),
	    cmocka_unit_test_setup_teardown(unprivileged_maps_to_this_process, setup, teardown),
	    cmocka_unit_test_setup_teardown(user_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(capitals, setup, teardown),
	    cmocka_unit_test_setup_teardown(login_command, setup, teardown),
	    cmocka_unit_test_setup_teardown(mechanisms, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_no_is_remembered_for_what_it_was, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_mechanism_cannot_claim_somebody_else, setup, teardown),
	    cmocka_unit_test_setup_teardown(acting_for_somebody_else, setup, teardown),
	    cmocka_unit_test_setup_teardown(offers, setup, teardown),
	    cmocka_unit_test_setup_teardown(throttling, setup, teardown),
	    cmocka_unit_test_setup_teardown(throttling_networks, setup, teardown),
	    cmocka_unit_test_setup_teardown(throttling_remembers_under_flood, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
