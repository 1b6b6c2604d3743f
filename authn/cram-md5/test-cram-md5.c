/* test-cram-md5.c: the toolkit's database, for plain passwords and for CRAM-MD5's secret. */
#include "../test-modules.h"

#include <fcntl.h>

static char folder[] = "/tmp/test-cram.XXXXXX";
static char path[64];
static struct setting s;

static void write_octets(const char *text, size_t n, mode_t mode)
{
	write_with_mode(path, text, n, mode);
}

static void write_file(const char *text)
{
	write_octets(text, strlen(text), 0400);
}

static int setup(void **state)
{
	char lists[512];

	(void)state;
	snprintf(path, sizeof(path), "%s/pwd", folder);
	snprintf(lists, sizeof(lists),
	    "passwords = ( { type = \"@/authn/cram-md5/.libs/cram-md5.so\"; name = \"cram-md5\"; path = "
	    "\"%s\"; "
	    "size_max = \"4k\"; } ); sasl = ( { type = \"@/authn/cyrus/.libs/cyrus.so\"; name = \"cyrus\"; } "
	    ");",
	    path);
	setting_open(&s, lists, "minimum_uid = 1; mechanisms = [ \"CRAM-MD5\", \"PLAIN\" ];", false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	setting_close(&s);
	unlink(path);
	return 0;
}

static int answer(const char *user, const char *password)
{
	return try_password(&s, user, password, NULL, NULL);
}

static int secret_of(const char *user, const char **text)
{
	struct buf why = BUF_INIT;
	int r = auth_credential(s.chain, user, MORTISE_CREDENTIAL_PLAIN, 0, s.arena, text, &why);

	buf_free(&why);
	return r;
}

/* uw-imap.md §6.4; the accounts are the host's, so that they must be there. */
static void lines(void **state)
{
	const char *text = NULL;

	(void)state;
	write_file("# nobody\tcomment\r\nno tab\nbin\t\r\rnobody\ttop secret\twith tab "
	           "\ndaemon\tone\ndaemon\ttwo\nsys\tlast");
	assert_int_equal(answer("nobody", "top secret\twith tab "), MORTISE_AUTH_OK);
	assert_int_equal(answer("nobody", "top secret\twith tab"), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("nobody", "top secret"), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("bin", "x"), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(answer("no", "tab"), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(answer("# nobody", "comment"), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(answer("daemon", "one"), MORTISE_AUTH_OK);
	assert_int_equal(answer("daemon", "two"), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("sys", "last"), MORTISE_AUTH_OK);
	/* the first, exact line; then the name in lower case */
	assert_int_equal(answer("NoBody", "top secret\twith tab "), MORTISE_AUTH_OK);
	assert_int_equal(secret_of("daemon", &text), MORTISE_AUTH_OK);
	assert_string_equal(text, "one");
	assert_int_equal(secret_of("nobody-there", &text), MORTISE_AUTH_UNKNOWN);
	/* a change is seen at once, however young the file is: attack-050 */
	write_file("daemon\tthree\n");
	assert_int_equal(answer("daemon", "one"), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("daemon", "three"), MORTISE_AUTH_OK);
	assert_int_equal(answer("nobody", "top secret\twith tab "), MORTISE_AUTH_UNKNOWN);
}

/* attack-054, attack-071, attack-073: what cannot be trusted is "cannot say", never "wrong password" */
static void files_that_are_refused(void **state)
{
	static const mode_t modes[] = {0644, 0440, 0604, 0460, 0401};
	char big[5000];
	size_t i;

	(void)state;
	assert_int_equal(answer("daemon", "one"), MORTISE_AUTH_TEMP); /* there is none */
	for (i = 0; i < ARRAY_LEN(modes); i++) {
		write_octets("daemon\tone\n", 11, modes[i]);
		assert_int_equal(answer("daemon", "one"), MORTISE_AUTH_TEMP);
		unlink(path);
	}
	memset(big, 'x', sizeof(big));
	write_octets(big, sizeof(big), 0600);
	assert_int_equal(answer("daemon", "one"), MORTISE_AUTH_TEMP);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(answer("daemon", "one"), MORTISE_AUTH_TEMP);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(answer("daemon", "one"), MORTISE_AUTH_TEMP);
	rmdir(path);
	write_octets("daemon\tone\n", sizeof("daemon\tone\n") - 1, 0600);
	assert_int_equal(answer("daemon", "one"), MORTISE_AUTH_OK);
	if (getuid() == 0) {
		assert_int_equal(chown(path, 65534, 65534), 0);
		assert_int_equal(answer("daemon", "one"), MORTISE_AUTH_TEMP);
	}
}

/* attack-067: NUL and 8-bit */
static void odd_octets(void **state)
{
	(void)state;
	write_octets("dae\0mon\tx\ndaemon\ts\xc3\xa9same\nbin\tab\0cd\nsys\tend\0",
	    sizeof("dae\0mon\tx\ndaemon\ts\xc3\xa9same\nbin\tab\0cd\nsys\tend\0") - 1, 0600);
	assert_int_equal(answer("daemon", "s\xc3\xa9same"), MORTISE_AUTH_OK);
	assert_int_equal(answer("daemon", "s\xe9same"), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("dae", "x"), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(answer("bin", "abcd"), MORTISE_AUTH_MISMATCH);
	write_octets("", sizeof("") - 1, 0600);
	assert_int_equal(answer("daemon", "x"), MORTISE_AUTH_UNKNOWN);
	write_octets("\0\0\0\n\t\n\tx\ndaemon\tone", sizeof("\0\0\0\n\t\n\tx\ndaemon\tone") - 1, 0600);
	assert_int_equal(answer("daemon", "one"), MORTISE_AUTH_OK);
}

static void mechanisms(void **state)
{
	struct buf offer = BUF_INIT;

	(void)state;
	auth_offer(s.registry, &s.options, true, &offer);
	assert_string_equal(buf_cstr(&offer), "CRAM-MD5 PLAIN");
	buf_free(&offer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(lines, setup, teardown),
	    cmocka_unit_test_setup_teardown(files_that_are_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(odd_octets, setup, teardown),
	    cmocka_unit_test_setup_teardown(mechanisms, setup, teardown),
	};
	int r;

	if (mkdtemp(folder) == NULL)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return r;
}
