/* test-passwd.c: passwd and shadow entries of this test's own (nss_wrapper), through the loaded module. */
#include "../test-modules.h"

#include <crypt.h>
#include <fcntl.h>
#include <time.h>

static char folder[64];
static struct setting s;

/* What the entries hold; "@" is a hash of "open sesame", a number behind '+' or '-' is in days from today. */
static const struct {
	const char *user, *passwd, *shadow;
} entries[] = {
    {"old", "@", NULL},                 /* the hash in passwd itself */
    {"fine", "x", "@:+0:0:99999:7:::"}, /* attack-065 from here on */
    {"locked", "x", "!@:+0:0:99999:7:::"},
    {"star", "x", "*:+0:0:99999:7:::"},
    {"empty", "x", ":+0:0:99999:7:::"},
    {"clear", "", NULL},
    {"short", "a", NULL},
    {"strange", "x", "$zz$unknown$hash:+0:0:99999:7:::"},
    {"gone", "x", "@:-20:0:99999:7::-1:"},
    {"lastday", "x", "@:-20:0:99999:7::+0:"},
    {"change", "x", "@:0:0:99999:7:::"},
    {"aged", "x", "@:-31:0:30:7:::"},
    {"nearly", "x", "@:-30:0:30:7:::"},
    {"noshadow", "x", NULL},
    {"nodates", "x", "@:::::::"},
};

static void write_file(const char *name, const struct buf *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, text->p, text->n), 0);
	close(fd);
}

static void expand(struct buf *out, const char *text, const char *hash)
{
	long today = (long)(time(NULL) / 86400);

	for (; *text != '\0'; text++) {
		if (*text == '@') {
			buf_adds(out, hash);
		} else if (*text == '+' || (*text == '-' && text[1] >= '0' && text[1] <= '9')) {
			char *end;

			buf_printf(out, "%ld", today + strtol(text, &end, 10));
			text = end - 1;
		} else {
			buf_addc(out, *text);
		}
	}
}

static void write_files(void)
{
	struct crypt_data data = {.initialized = 0};
	const char *hash = crypt_r("open sesame", "$6$rounds=1000$saltsalt$", &data);
	struct buf passwd = BUF_INIT, shadow = BUF_INIT, group = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(entries); i++) {
		buf_printf(&passwd, "%s:", entries[i].user);
		expand(&passwd, entries[i].passwd, hash);
		buf_printf(&passwd, ":%zu:1000::/home/%s:/bin/sh\n", 1000 + i, entries[i].user);
		if (entries[i].shadow == NULL)
			continue;
		buf_printf(&shadow, "%s:", entries[i].user);
		expand(&shadow, entries[i].shadow, hash);
		buf_addc(&shadow, '\n');
	}
	buf_adds(&group, "users:x:1000:\n");
	write_file("passwd", &passwd);
	write_file("shadow", &shadow);
	write_file("group", &group);
	buf_free(&passwd);
	buf_free(&shadow);
	buf_free(&group);
}

static int answer(const char *user, const char *password, struct buf *why)
{
	return try_password(&s, user, password, NULL, why);
}

static void passwords(void **state)
{
	static const struct {
		const char *user;
		int right, wrong;
		const char *why;
	} cases[] = {
	    {"old", MORTISE_AUTH_OK, MORTISE_AUTH_MISMATCH, ""},
	    {"fine", MORTISE_AUTH_OK, MORTISE_AUTH_MISMATCH, ""},
	    {"nodates", MORTISE_AUTH_OK, MORTISE_AUTH_MISMATCH, ""},
	    {"locked", MORTISE_AUTH_DISABLED, MORTISE_AUTH_DISABLED, "locked"},
	    {"star", MORTISE_AUTH_DISABLED, MORTISE_AUTH_DISABLED, "locked"},
	    {"empty", MORTISE_AUTH_DISABLED, MORTISE_AUTH_DISABLED, "no password"},
	    {"clear", MORTISE_AUTH_DISABLED, MORTISE_AUTH_DISABLED, "no password"},
	    {"short", MORTISE_AUTH_DISABLED, MORTISE_AUTH_DISABLED, ""},
	    {"noshadow", MORTISE_AUTH_DISABLED, MORTISE_AUTH_DISABLED, ""},
	    {"strange", MORTISE_AUTH_DISABLED, MORTISE_AUTH_DISABLED, "does not know the hash"},
	    /* expiry is told only to who knows the password */
	    {"gone", MORTISE_AUTH_EXPIRED, MORTISE_AUTH_MISMATCH, "account expired 1 days ago"},
	    {"lastday", MORTISE_AUTH_OK, MORTISE_AUTH_MISMATCH, ""},
	    {"change", MORTISE_AUTH_EXPIRED, MORTISE_AUTH_MISMATCH, "must be changed"},
	    {"aged", MORTISE_AUTH_EXPIRED, MORTISE_AUTH_MISMATCH, "password expired 1 days ago"},
	    {"nearly", MORTISE_AUTH_OK, MORTISE_AUTH_MISMATCH, ""},
	    {"nobody-there", MORTISE_AUTH_UNKNOWN, MORTISE_AUTH_UNKNOWN, ""},
	};
	struct buf why = BUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		if (answer(cases[i].user, "open sesame", &why) != cases[i].right)
			fail_msg("%s, right: %s", cases[i].user, buf_cstr(&why));
		if (strstr(buf_cstr(&why), cases[i].why) == NULL)
			fail_msg(
			    "%s: \"%s\" does not say \"%s\"", cases[i].user, buf_cstr(&why), cases[i].why);
		if (answer(cases[i].user, "Open sesame", &why) != cases[i].wrong)
			fail_msg("%s, wrong: %s", cases[i].user, buf_cstr(&why));
	}
	/* attack-067 */
	assert_int_equal(answer("fine", "open sesame ", &why), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("fine", "open", &why), MORTISE_AUTH_MISMATCH);
	/* the hash itself is no password */
	assert_int_equal(answer("short", "a", &why), MORTISE_AUTH_DISABLED);
	assert_int_equal(answer("noshadow", "x", &why), MORTISE_AUTH_DISABLED);
	buf_free(&why);
}

static void records(void **state)
{
	struct auth_identity i;
	struct buf why = BUF_INIT;

	(void)state;
	assert_int_equal(try_password(&s, "FINE", "open sesame", &i, NULL), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "fine");
	assert_int_equal(i.uid, 1001);
	assert_string_equal(i.home, "/home/fine");
	/* a locked password is no locked account; one that has expired is */
	assert_int_equal(auth_lookup(s.chain, "locked", 0, s.arena, &i, &why), MORTISE_AUTH_OK);
	assert_int_equal(auth_lookup(s.chain, "change", 0, s.arena, &i, &why), MORTISE_AUTH_OK);
	assert_int_equal(auth_lookup(s.chain, "gone", 0, s.arena, &i, &why), MORTISE_AUTH_EXPIRED);
	assert_int_equal(auth_lookup(s.chain, "nobody-there", 0, s.arena, &i, &why), MORTISE_AUTH_UNKNOWN);
	buf_free(&why);
}

/* nss_wrapper wants to be loaded first: the program runs itself once more. */
static int run_wrapped(char **argv)
{
	static char template[] = "/tmp/test-passwd.XXXXXX";
	char text[256];

	if (mkdtemp(template) == NULL)
		return 1;
	setenv("TEST_FOLDER", template, 1);
	snprintf(text, sizeof(text), "%s/passwd", template);
	setenv("NSS_WRAPPER_PASSWD", text, 1);
	snprintf(text, sizeof(text), "%s/shadow", template);
	setenv("NSS_WRAPPER_SHADOW", text, 1);
	snprintf(text, sizeof(text), "%s/group", template);
	setenv("NSS_WRAPPER_GROUP", text, 1);
	preload_library("libnss_wrapper.so");
	snprintf(folder, sizeof(folder), "%s", template);
	write_files();
	execv("/proc/self/exe", argv);
	return 1;
}

static void remove_files(void)
{
	static const char *const names[] = {"passwd", "shadow", "group"};
	char path[128];
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(passwords), cmocka_unit_test(records)};
	const char *place = getenv("TEST_FOLDER");
	int r;

	(void)argc;
	if (place == NULL)
		return run_wrapped(argv);
	snprintf(folder, sizeof(folder), "%s", place);
	setting_open(&s,
	    "passwords = ( { type = \"@/authn/passwd/.libs/passwd.so\"; name = \"passwd\"; } ); sasl = [];",
	    "minimum_uid = 500;", false);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	setting_close(&s);
	remove_files();
	return r;
}
