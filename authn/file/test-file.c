/* test-file.c: the password file, through the loaded module and the chain. */
#include "../test-modules.h"

#include <crypt.h>
#include <fcntl.h>

#define UID_OK "1234:1234:Somebody:/home/x:/bin/sh:"

/* RFC 5802 §5 and RFC 7677 §3: user "user", password "pencil". */
#define SCRAM1 "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE="
#define SCRAM256                                                                                     \
	"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=," \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static char folder[] = "/tmp/test-file.XXXXXX";
static char path[64];
static struct setting s;
static bool is_open;

static void write_octets(const char *text, size_t n, mode_t mode)
{
	write_with_mode(path, text, n, mode);
}

static void write_file(const char *text)
{
	write_octets(text, strlen(text), 0600);
}

static void open_with(const char *more)
{
	char lists[512];

	snprintf(lists, sizeof(lists),
	    "passwords = ( { type = \"@/authn/file/.libs/file.so\"; name = \"file\"; path = \"%s\"; %s } ); "
	    "sasl = [];",
	    path, more);
	setting_open(&s, lists, "minimum_uid = 500;", false);
	is_open = true;
}

static int setup(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "%s/passwd", folder);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (is_open)
		setting_close(&s);
	is_open = false;
	unlink(path);
	return 0;
}

static int answer(const char *user, const char *password)
{
	return try_password(&s, user, password, NULL, NULL);
}

static void crypt_hashes(void **state)
{
	static const char *const settings[] = {"$y$j9T$saltsaltsalt$", "$6$rounds=1000$saltsalt$",
	    "$5$rounds=1000$saltsalt$", "$2b$04$abcdefghijklmnopqrstuu", "$1$saltsalt$"};
	struct buf text = BUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(settings); i++) {
		struct crypt_data data = {.initialized = 0};
		const char *hash = crypt_r("s\xc3\xa9same open", settings[i], &data);

		assert_non_null(hash);
		assert_true(hash[0] != '*');
		buf_printf(&text, "u%zu:%s%s:" UID_OK "\n", i, i % 2 == 0 ? "{CRYPT}" : "", hash);
	}
	write_file(buf_cstr(&text));
	buf_free(&text);
	open_with("");
	for (i = 0; i < ARRAY_LEN(settings); i++) {
		char user[8];

		snprintf(user, sizeof(user), "u%zu", i);
		assert_int_equal(answer(user, "s\xc3\xa9same open"), MORTISE_AUTH_OK);
		/* attack-067: 8-bit is exact; attack-059: length and prefix do not help */
		assert_int_equal(answer(user, "s\xe9same open"), MORTISE_AUTH_MISMATCH);
		assert_int_equal(answer(user, "s\xc3\xa9same ope"), MORTISE_AUTH_MISMATCH);
		assert_int_equal(answer(user, "s\xc3\xa9same open "), MORTISE_AUTH_MISMATCH);
	}
	assert_int_equal(answer("nobody-there", "x"), MORTISE_AUTH_UNKNOWN);
}

static void scram_verifiers(void **state)
{
	struct buf why = BUF_INIT;
	const char *text = NULL;

	(void)state;
	write_file("one:" SCRAM1 ":" UID_OK "\n"
	           "two:" SCRAM256 ":" UID_OK "\n"
	           "both:" SCRAM256 " " SCRAM1 ":" UID_OK);
	open_with("");
	assert_int_equal(answer("one", "pencil"), MORTISE_AUTH_OK);
	assert_int_equal(answer("one", "pencils"), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("two", "pencil"), MORTISE_AUTH_OK);
	assert_int_equal(answer("two", "Pencil"), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("both", "pencil"), MORTISE_AUTH_OK);
	assert_int_equal(
	    auth_credential(s.chain, "both", MORTISE_CREDENTIAL_SCRAM_SHA1, 0, s.arena, &text, &why),
	    MORTISE_AUTH_OK);
	assert_string_equal(
	    text, "4096,QSXCR+Q6sek8bf92:6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=");
	assert_int_equal(
	    auth_credential(s.chain, "two", MORTISE_CREDENTIAL_SCRAM_SHA1, 0, s.arena, &text, &why),
	    MORTISE_AUTH_UNKNOWN);
	assert_int_equal(
	    auth_credential(s.chain, "two", MORTISE_CREDENTIAL_SCRAM_SHA256, 0, s.arena, &text, &why),
	    MORTISE_AUTH_OK);
	buf_free(&why);
}

static void plain_needs_its_option(void **state)
{
	(void)state;
	write_file("a:{PLAIN}open sesame:" UID_OK "\n");
	open_with("");
	assert_int_equal(answer("a", "open sesame"), MORTISE_AUTH_DISABLED);
	setting_close(&s);
	open_with("plain = true;");
	assert_int_equal(answer("a", "open sesame"), MORTISE_AUTH_OK);
	assert_int_equal(answer("a", "open"), MORTISE_AUTH_MISMATCH);
}

/* attack-065: locked, empty, unknown hash id, crypt() that gives NULL */
static void bad_secrets(void **state)
{
	(void)state;
	write_file("locked:!{PLAIN}x:" UID_OK "\n"
	           "star:*:" UID_OK "\n"
	           "shadow:x:" UID_OK "\n"
	           "empty::" UID_OK "\n"
	           "odd:$99$abc$def:" UID_OK "\n"
	           "cut:$6$salt$abc:" UID_OK "\n"
	           "star0:{CRYPT}*0:" UID_OK "\n"
	           "nokind:{SSHA}abcdef:" UID_OK "\n"
	           "few:{SCRAM-SHA-1}1,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/"
	           "fTE=:" UID_OK "\n"
	           "short:{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlG,D+CSWLOshSulAsxiupA+qs2/fTE=:" UID_OK "\n");
	open_with("plain = true;");
	assert_int_equal(answer("locked", "x"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("star", "*"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("shadow", "x"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("empty", "x"), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("odd", "x"), MORTISE_AUTH_DISABLED);
	assert_int_not_equal(answer("cut", "x"), MORTISE_AUTH_OK);
	assert_int_equal(answer("star0", "*0"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("nokind", "abcdef"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("few", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("short", "pencil"), MORTISE_AUTH_DISABLED);
}

static void identity(void **state)
{
	struct auth_identity i;

	(void)state;
	write_file(
	    "# comment\n\nfull:" SCRAM1 ":1234:1235:Full Name:/home/full:/bin/false:a=1 store.inbox=/x:y\n"
	    "root:" SCRAM1 ":0:0::/root:\nlow:" SCRAM1 ":499:1000::/home/low\n"
	    "wheel:" SCRAM1 ":1234:0::/home/w\nhomeless:" SCRAM1 ":1234:1234\n"
	    "nobody:" SCRAM1 "\nghost:" SCRAM1 "\n");
	open_with("");
	assert_int_equal(try_password(&s, "full", "pencil", &i, NULL), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "full");
	assert_int_equal(i.uid, 1234);
	assert_int_equal(i.gid, 1235);
	assert_string_equal(i.home, "/home/full");
	assert_int_equal(i.option_count, 2);
	assert_string_equal(i.options[1], "store.inbox=/x:y");
	/* attack-066: uid 0, below the floor; and gid 0, no home */
	assert_int_equal(answer("root", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("low", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("wheel", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("homeless", "pencil"), MORTISE_AUTH_DISABLED);
	/* no ids: the host account of that name */
	assert_int_equal(try_password(&s, "nobody", "pencil", &i, NULL), MORTISE_AUTH_OK);
	assert_true(i.uid > 500);
	assert_int_equal(answer("ghost", "pencil"), MORTISE_AUTH_UNKNOWN);
	/* capitals nobody knows: once more in lower case */
	assert_int_equal(try_password(&s, "FULL", "pencil", &i, NULL), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "full");
}

/* attack-049: two users with one password are still two; attack-043: names that mean something elsewhere */
static void users_are_told_apart(void **state)
{
	static const char *const names[] = {"anne", "ANNE", "%u", "$USER", "${x}", "*", "a'--"};
	struct buf text = BUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++)
		buf_printf(&text, "%s:" SCRAM1 ":%zu:2000::/home/%zu\n", names[i], 2000 + i, i);
	write_file(buf_cstr(&text));
	buf_free(&text);
	open_with("");
	for (i = 0; i < ARRAY_LEN(names); i++) {
		struct auth_identity who;

		assert_int_equal(try_password(&s, names[i], "pencil", &who, NULL), MORTISE_AUTH_OK);
		assert_string_equal(who.user, names[i]);
		assert_int_equal(who.uid, 2000 + i);
	}
}

/* attack-066 */
static void shells(void **state)
{
	(void)state;
	write_file("nobody:" SCRAM1 "\n"); /* its shell on Debian is nologin, which no /etc/shells lists */
	open_with("");
	assert_int_equal(answer("nobody", "pencil"), MORTISE_AUTH_OK);
	s.options.valid_shell = true;
	assert_int_equal(answer("nobody", "pencil"), MORTISE_AUTH_DISABLED);
}

static void account_option(void **state)
{
	struct auth_identity i;

	(void)state;
	write_file("virtual:" SCRAM1 ":::::/srv/mail/virtual\nv2:" SCRAM1 ":::gecos:/srv/v2::\n");
	open_with("account = \"nobody\";");
	assert_int_equal(try_password(&s, "v2", "pencil", &i, NULL), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "v2");
	assert_string_equal(i.home, "/srv/v2");
	/* a path where the shell stands is not a home: the account's own is taken */
	assert_int_equal(try_password(&s, "virtual", "pencil", &i, NULL), MORTISE_AUTH_OK);
	assert_string_not_equal(i.home, "/srv/mail/virtual");
}

/* A line of somebody else's making cannot become another line, another field or another user. */
static void hostile_lines(void **state)
{
	struct buf text = BUF_INIT;
	size_t i;

	(void)state;
	buf_adds(&text, "good:" SCRAM1 ":" UID_OK "\n");
	buf_add(&text, "nul\0x:" SCRAM1 ":" UID_OK "\n", sizeof("nul\0x:" SCRAM1 ":" UID_OK "\n") - 1);
	buf_adds(&text, "tab\t:" SCRAM1 ":" UID_OK "\n");
	buf_adds(&text, "cr:" SCRAM1 ":" UID_OK "\r\n");
	buf_adds(&text, "nofields\n:\n::::::::\n:" SCRAM1 ":" UID_OK "\n");
	buf_adds(
	    &text, "bigid:" SCRAM1 ":4294967295:1:::\nneg:" SCRAM1 ":-1:1:::\nhalf:" SCRAM1 ":1234::::\n");
	buf_adds(&text, "rel:" SCRAM1 ":1234:1234::home::\nopt:" SCRAM1 ":1234:1234::/h::novalue\n");
	buf_adds(&text, "long:" SCRAM1 ":1234:1234:");
	for (i = 0; i < 9000; i++)
		buf_addc(&text, 'x');
	buf_adds(&text, ":/h::\ntwin:" SCRAM1 ":" UID_OK "\n");
	for (i = 0; i < 3000; i++)
		buf_printf(&text, "filler%zu:" SCRAM1 ":" UID_OK "\n", i);
	buf_adds(&text, "twin:" SCRAM256 ":" UID_OK "\nlast:" SCRAM1 ":" UID_OK);
	write_octets(text.p, text.n, 0600);
	buf_free(&text);
	open_with("");
	assert_int_equal(answer("good", "pencil"), MORTISE_AUTH_OK);
	assert_int_equal(answer("last", "pencil"), MORTISE_AUTH_OK);
	assert_int_equal(answer("filler2999", "pencil"), MORTISE_AUTH_OK);
	assert_int_equal(answer("nul", "pencil"), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(answer("cr", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("twin", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("long", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("bigid", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("neg", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("half", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("rel", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("opt", "pencil"), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("nofields", "pencil"), MORTISE_AUTH_DISABLED);
	/* attack-042, 047: delimiters and paths in names are just names */
	assert_int_equal(answer("good:" SCRAM1, "pencil"), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(answer("good\nroot", "pencil"), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("../good", "pencil"), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(answer("# comment", "pencil"), MORTISE_AUTH_UNKNOWN);
}

/* attack-054 for this file, attack-155: secrets others may read are not used; attack-073: and that is TEMP */
static void modes_and_kinds_of_file(void **state)
{
	static const mode_t bad[] = {0644, 0640, 0620, 0604, 0666, 0660};
	struct buf why = BUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		write_octets("a:" SCRAM1 ":" UID_OK "\n", strlen("a:" SCRAM1 ":" UID_OK "\n"), bad[i]);
		open_with("");
		assert_int_equal(try_password(&s, "a", "pencil", NULL, &why), MORTISE_AUTH_TEMP);
		assert_non_null(strstr(buf_cstr(&why), "mode"));
		setting_close(&s);
	}
	chmod(path, 0640);
	open_with("group_readable = true;");
	assert_int_equal(answer("a", "pencil"), MORTISE_AUTH_OK);
	unlink(path);
	assert_int_equal(answer("a", "pencil"), MORTISE_AUTH_TEMP);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(answer("a", "pencil"), MORTISE_AUTH_TEMP);
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0); /* attack-131: does not wait for a writer */
	assert_int_equal(answer("a", "pencil"), MORTISE_AUTH_TEMP);
	unlink(path);
	write_octets("a:" SCRAM1 ":" UID_OK "\n", strlen("a:" SCRAM1 ":" UID_OK "\n"), 0600);
	assert_int_equal(answer("a", "pencil"), MORTISE_AUTH_OK);
	assert_int_equal(truncate(path, 17 << 20), 0);
	assert_int_equal(answer("a", "pencil"), MORTISE_AUTH_TEMP);
	buf_free(&why);
}

/* attack-050: a change of password, a lock and a removal count at the next attempt */
static void changes_are_seen(void **state)
{
	char other[80];

	(void)state;
	write_file("a:" SCRAM1 ":" UID_OK "\n");
	open_with("");
	assert_int_equal(answer("a", "pencil"), MORTISE_AUTH_OK);
	write_file("a:!" SCRAM1 ":" UID_OK "\n");
	assert_int_equal(answer("a", "pencil"), MORTISE_AUTH_DISABLED);
	write_file("b:" SCRAM1 ":" UID_OK "\n");
	assert_int_equal(answer("a", "pencil"), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(answer("b", "pencil"), MORTISE_AUTH_OK);
	snprintf(other, sizeof(other), "%s/new", folder);
	assert_int_equal(rename(path, other), 0);
	write_file("c:" SCRAM1 ":" UID_OK "\n");
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(answer("c", "pencil"), MORTISE_AUTH_OK);
	assert_int_equal(answer("b", "pencil"), MORTISE_AUTH_UNKNOWN);
}

static void passwords_of_odd_length(void **state)
{
	char *big = test_malloc(5000);

	(void)state;
	write_file("a:" SCRAM1 ":" UID_OK "\nb:$6$rounds=1000$saltsalt$abcdefghijklmnop:" UID_OK "\n");
	open_with("");
	assert_int_equal(answer("a", ""), MORTISE_AUTH_MISMATCH); /* attack-046 in spirit: never empty */
	memset(big, 'x', 4999);
	big[4999] = '\0';
	assert_int_equal(answer("a", big), MORTISE_AUTH_MISMATCH);
	big[4000] = '\0';
	assert_int_equal(answer("a", big), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("b", big), MORTISE_AUTH_MISMATCH);
	test_free(big);
}

/* mortise-passwd and this module mean the same format. */
static void what_the_tool_writes(void **state)
{
	static const char *const schemes[] = {"crypt", "scram-sha-256", "scram-sha-1"};
	struct auth_identity i;
	size_t k;

	(void)state;
	open_with("");
	for (k = 0; k < ARRAY_LEN(schemes); k++) {
		char command[512];
		FILE *tool;

		snprintf(command, sizeof(command),
		    "%s/core/tools/mortise-passwd --scheme %s --uid 5000 --gid 5000 --home /srv/x %s u%zu",
		    build_dir(), schemes[k], path, k);
		tool = popen(command, "w");
		assert_non_null(tool);
		fputs("p\xc3\xa4ss word\n", tool);
		assert_int_equal(pclose(tool), 0);
	}
	for (k = 0; k < ARRAY_LEN(schemes); k++) {
		char user[8];

		snprintf(user, sizeof(user), "u%zu", k);
		assert_int_equal(try_password(&s, user, "p\xc3\xa4ss word", &i, NULL), MORTISE_AUTH_OK);
		assert_int_equal(i.uid, 5000);
		assert_string_equal(i.home, "/srv/x");
		assert_int_equal(answer(user, "p\xc3\xa4ss  word"), MORTISE_AUTH_MISMATCH);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(crypt_hashes, setup, teardown),
	    cmocka_unit_test_setup_teardown(scram_verifiers, setup, teardown),
	    cmocka_unit_test_setup_teardown(plain_needs_its_option, setup, teardown),
	    cmocka_unit_test_setup_teardown(bad_secrets, setup, teardown),
	    cmocka_unit_test_setup_teardown(identity, setup, teardown),
	    cmocka_unit_test_setup_teardown(users_are_told_apart, setup, teardown),
	    cmocka_unit_test_setup_teardown(shells, setup, teardown),
	    cmocka_unit_test_setup_teardown(account_option, setup, teardown),
	    cmocka_unit_test_setup_teardown(hostile_lines, setup, teardown),
	    cmocka_unit_test_setup_teardown(modes_and_kinds_of_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(changes_are_seen, setup, teardown),
	    cmocka_unit_test_setup_teardown(passwords_of_odd_length, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_the_tool_writes, setup, teardown),
	};
	int r;

	if (mkdtemp(folder) == NULL)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return r;
}
