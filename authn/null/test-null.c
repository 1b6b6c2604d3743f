/* test-null.c: passwords are off, and what needs none is not. */
#include "../test-modules.h"

static struct setting s;

static void open_with(const char *passwords)
{
	char lists[512];

	snprintf(lists, sizeof(lists),
	    "passwords = ( { type = \"@/authn/null/.libs/null.so\"; name = \"null\"; } %s );"
	    "sasl = ( { type = \"@/authn/cyrus/.libs/cyrus.so\"; name = \"cyrus\"; } );",
	    passwords);
	setting_open(&s, lists, "mechanisms = [ \"PLAIN\", \"LOGIN\", \"CRAM-MD5\" ];", false);
}

static void no_password_is_right(void **state)
{
	struct buf why = BUF_INIT, offer = BUF_INIT;
	struct auth_identity identity;

	(void)state;
	open_with("");
	assert_int_equal(try_password(&s, "root", "x", NULL, &why), MORTISE_AUTH_UNKNOWN);
	auth_offer(s.registry, &s.options, true, &offer);
	assert_string_equal(buf_cstr(&offer), "");
	assert_false(auth_offered(buf_str(&offer), STR_NONE));
	/* Who proved himself otherwise has a record; attack-066: root never. */
	buf_reset(&why);
	assert_int_equal(auth_lookup(s.chain, "nobody", 0, s.arena, &identity, &why), MORTISE_AUTH_OK);
	assert_string_equal(identity.user, "nobody");
	buf_reset(&why);
	assert_int_equal(auth_lookup(s.chain, "root", 0, s.arena, &identity, &why), MORTISE_AUTH_DISABLED);
	buf_reset(&why);
	assert_int_equal(
	    auth_lookup(s.chain, "no-such-user", 0, s.arena, &identity, &why), MORTISE_AUTH_UNKNOWN);
	buf_free(&why);
	buf_free(&offer);
	setting_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(no_password_is_right)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
