/* test-cyrus.c: PLAIN and LOGIN of libsasl2, and what is not let in, through the loaded module, with the
 * loaded file backend behind.
 */
#include "../test-modules.h"

#include <fcntl.h>

static char folder[] = "/tmp/test-cyrus.XXXXXX";
static char path[64], marker[64];
static struct setting s;

static int setup(void **state)
{
	static const char users[] = "fred:{PLAIN}se cret:1234:1234::/home/fred\n"
	                            "anne:{PLAIN}x:1235:1235::/home/anne\n"
	                            "boss:{PLAIN}b:1236:1236::/home/boss\n"
	                            "gone:!{PLAIN}x:1237:1237::/home/gone\n"
	                            "t@ex.ample:{PLAIN}8-\xfc-bit:1238:1238::/home/t\n";
	char lists[512];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/passwd", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, users, sizeof(users) - 1), 0);
	close(fd);
	snprintf(lists, sizeof(lists),
	    "passwords = ( { type = \"@/authn/file/.libs/file.so\"; name = \"file\"; path = \"%s\"; plain = "
	    "true; } );"
	    "sasl = ( { type = \"@/authn/cyrus/.libs/cyrus.so\"; name = \"cyrus\"; } );",
	    path);
	setting_open(&s, lists, "master_users = [ \"boss\" ];", false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	setting_close(&s);
	unlink(path);
	return 0;
}

/* MORTISE_AUTH_…, or -outcome when the exchange did not come to one. `in` is what the client sends, one by
 * one; the first may be STR_NONE. *prompts: the challenges, each followed by '|'. */
static int talk(
    const char *mechanism, const struct str *in, size_t count, struct auth_identity *out, struct buf *prompts)
{
	struct auth_identity identity;
	struct buf challenge = BUF_INIT, why = BUF_INIT;
	struct auth_conv *v;
	int r = auth_conv_start(
	    s.chain, test_facts(), str_of(mechanism), in[0], clock_ms() + 10000, &v, &challenge);
	size_t i;

	for (i = 1; i < count && r == MORTISE_SASL_CONTINUE; i++) {
		if (prompts != NULL) {
			buf_addstr(prompts, buf_str(&challenge));
			buf_addc(prompts, '|');
		}
		buf_reset(&challenge);
		r = auth_conv_step(v, in[i], clock_ms() + 10000, &challenge);
	}
	if (r == MORTISE_SASL_DONE || r == MORTISE_SASL_FAIL || r == MORTISE_SASL_TEMP)
		r = auth_conv_identity(v, clock_ms() + 10000, s.arena, out != NULL ? out : &identity, &why);
	else
		r = -r;
	auth_conv_free(&v);
	if (getenv("TEST_VERBOSE") != NULL)
		fprintf(stderr, "# %s: %d %s\n", mechanism, r, buf_cstr(&why));
	buf_free(&challenge);
	buf_free(&why);
	return r;
}

#define O(literal) str_mem(literal, sizeof(literal) - 1)
#define TALK(mechanism, out, ...)                          \
	talk(mechanism, (const struct str[]){__VA_ARGS__}, \
	    sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str), out, NULL)

static void both_are_offered(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	auth_offer(s.registry, &s.options, true, &b);
	assert_string_equal(buf_cstr(&b), "PLAIN LOGIN");
	buf_reset(&b);
	auth_offer(s.registry, &s.options, false, &b);
	assert_string_equal(buf_cstr(&b), "");
	buf_free(&b);
}

static void plain(void **state)
{
	struct auth_identity i;

	(void)state;
	assert_int_equal(TALK("PLAIN", &i, O("\0fred\0se cret")), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "fred");
	assert_int_equal(i.uid, 1234);
	assert_int_equal(TALK("PLAIN", &i, O("fred\0fred\0se cret")), MORTISE_AUTH_OK);
	assert_int_equal(TALK("PLAIN", &i, STR_NONE, O("\0fred\0se cret")), MORTISE_AUTH_OK);
	assert_int_equal(TALK("PLAIN", &i, O("\0fred\0wrong")), MORTISE_AUTH_MISMATCH);
	assert_int_equal(TALK("PLAIN", &i, O("\0nobody-here\0x")), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(TALK("PLAIN", &i, O("\0gone\0x")), MORTISE_AUTH_DISABLED);
	/* attack-067: 8 bits exactly; a realm in the name stays in the name */
	assert_int_equal(TALK("PLAIN", &i, O("\0t@ex.ample\0008-\xfc-bit")), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "t@ex.ample");
	assert_int_equal(TALK("PLAIN", &i, O("\0t@ex.ample\0008-\xc3\xbc-bit")), MORTISE_AUTH_MISMATCH);
}

/* attack-036, 040 */
static void plain_malformed(void **state)
{
	static const struct str bad[] = {{"", 0}, {"\0", 1}, {"fred", 4}, {"\0fred", 5}, {"\0\0", 2},
	    {"\0fred\0se cret\0", 14}, {"\0fred\0se cret\0x", 15}, {"fred\0se cret", 12}, {"\0\0se cret", 9},
	    {"=", 1}};
	struct auth_identity i;
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_LEN(bad); k++) {
		int r = TALK("PLAIN", &i, bad[k]);

		if (r == -MORTISE_SASL_CONTINUE) /* an empty response counts as none at all */
			r = TALK("PLAIN", &i, bad[k], bad[k]);
		assert_true(r == -MORTISE_SASL_BAD || r == MORTISE_AUTH_MISMATCH);
	}
	assert_int_equal(TALK("PLAIN", &i, O("\0fred\0")), MORTISE_AUTH_MISMATCH);
}

/* attack-040, 041, 053 */
static void plain_for_somebody_else(void **state)
{
	struct auth_identity i;

	(void)state;
	assert_int_equal(TALK("PLAIN", &i, O("anne\0boss\0b")), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "anne");
	assert_int_equal(i.uid, 1235);
	assert_int_equal(TALK("PLAIN", &i, O("anne\0fred\0se cret")), MORTISE_AUTH_MISMATCH);
	assert_int_equal(TALK("PLAIN", &i, O("anne\0boss\0x")), MORTISE_AUTH_MISMATCH);
	assert_int_equal(TALK("PLAIN", &i, O("gone\0boss\0b")), MORTISE_AUTH_DISABLED);
	assert_int_equal(TALK("PLAIN", &i, O("none\0boss\0b")), MORTISE_AUTH_UNKNOWN);
}

static void login(void **state)
{
	struct auth_identity i;
	struct buf prompts = BUF_INIT;
	const struct str good[] = {STR_NONE, O("fred"), O("se cret")};

	(void)state;
	assert_int_equal(talk("LOGIN", good, 3, &i, &prompts), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "fred");
	assert_string_equal(buf_cstr(&prompts), "Username:|Password:|");
	buf_free(&prompts);
	assert_int_equal(TALK("LOGIN", &i, O("fred"), O("se cret")), MORTISE_AUTH_OK); /* SASL-IR */
	assert_int_equal(TALK("LOGIN", &i, STR_NONE, O("fred"), O("wrong")), MORTISE_AUTH_MISMATCH);
	assert_int_equal(TALK("LOGIN", &i, STR_NONE, O("nobody-here"), O("wrong")), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(TALK("LOGIN", &i, STR_NONE, O("anne*boss"), O("b")), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "anne");
	/* attack-036: empty at each step; an exchange that stops is no login */
	assert_int_equal(TALK("LOGIN", &i, STR_NONE, O(""), O("se cret")), -MORTISE_SASL_BAD);
	assert_int_equal(TALK("LOGIN", &i, STR_NONE, O(" \t "), O("se cret")), -MORTISE_SASL_BAD);
	assert_int_not_equal(TALK("LOGIN", &i, STR_NONE, O("fred"), O("")), MORTISE_AUTH_OK);
	assert_int_equal(TALK("LOGIN", &i, STR_NONE, O("fred")), -MORTISE_SASL_CONTINUE);
	assert_int_equal(TALK("LOGIN", &i, STR_NONE), -MORTISE_SASL_CONTINUE);
	assert_int_equal(
	    TALK("LOGIN", &i, STR_NONE, O("fred"), O("wrong"), O("se cret")), MORTISE_AUTH_MISMATCH);
}

static void long_messages(void **state)
{
	char *big = test_malloc(16384);
	struct auth_identity i;
	int r;

	(void)state;
	memset(big, 'x', 16384);
	big[0] = '\0';
	memcpy(big + 1, "fred", 5);
	r = TALK("PLAIN", &i, str_mem(big, 16384));
	assert_true(r == MORTISE_AUTH_MISMATCH || r == -MORTISE_SASL_BAD);
	r = TALK("LOGIN", &i, STR_NONE, str_mem(big + 10, 16000), O("x"));
	assert_true(r == MORTISE_AUTH_MISMATCH || r == -MORTISE_SASL_BAD);
	r = TALK("LOGIN", &i, STR_NONE, O("fred"), str_mem(big + 10, 16000));
	assert_true(r == MORTISE_AUTH_MISMATCH || r == -MORTISE_SASL_BAD);
	test_free(big);
}

/* attack-073: a backend that is down is no wrong password, whatever libsasl2 makes of it */
static void backend_down(void **state)
{
	struct auth_identity i;

	(void)state;
	unlink(path);
	assert_int_equal(TALK("PLAIN", &i, O("\0fred\0se cret")), MORTISE_AUTH_TEMP);
	assert_int_equal(TALK("LOGIN", &i, STR_NONE, O("fred"), O("se cret")), MORTISE_AUTH_TEMP);
}

static void not_offered(void **state)
{
	struct auth_identity i;

	(void)state;
	assert_int_equal(TALK("ANONYMOUS", &i, O("x")), -MORTISE_SASL_BAD);
	assert_int_equal(TALK("EXTERNAL", &i, O("fred")), -MORTISE_SASL_BAD);
}

/* A folder with a configuration for libsasl2 that would let anybody in is not even looked at; nor are its
 * other plug-ins loaded. */
static void the_librarys_own_ways_are_shut(void **state)
{
	struct auth_identity i;
	char line[512];
	FILE *maps;

	(void)state;
	assert_int_equal(TALK("PLAIN", &i, O("\0fred\0wrong")), MORTISE_AUTH_MISMATCH);
	maps = fopen("/proc/self/maps", "r");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps) != NULL) {
		assert_null(strstr(line, "libsasldb"));
		assert_null(strstr(line, "libanonymous"));
	}
	fclose(maps);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(both_are_offered), TEST(plain), TEST(plain_malformed),
	    TEST(plain_for_somebody_else), TEST(login), TEST(long_messages), TEST(backend_down),
	    TEST(not_offered), TEST(the_librarys_own_ways_are_shut)};
	int r, fd;

	if (mkdtemp(folder) == NULL)
		return 1;
	/* What libsasl2 would read if it were let. */
	snprintf(marker, sizeof(marker), "%s/mortise.conf", folder);
	fd = open(marker, O_WRONLY | O_CREAT, 0600);
	if (fd < 0 || io_write(fd, "pwcheck_method: auxprop\nmech_list: ANONYMOUS\n", 45) != 0)
		return 1;
	close(fd);
	setenv("SASL_CONF_PATH", folder, 1);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(marker);
	rmdir(folder);
	return r;
}
