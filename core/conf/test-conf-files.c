#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/io.h"
#include "conf/commands.h"
#include "conf/conf_int.h"
#include "conf/log_options.h"
#include "conf/manual.h"
#include "base/banned.h"

static char folder[32];
static struct arena *arena;
static struct conf_report *report;
static struct conf *conf;

static const char *in_folder(const char *name)
{
	return arena_printf(arena, "%s/%s", folder, name);
}

static int setup(void **state)
{
	(void)state;
	arena = arena_new("test");
	report = conf_report_new(arena);
	conf = NULL;
	snprintf(folder, sizeof(folder), "/tmp/mortise-conf-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	return mkdir(in_folder("imapd.conf.d"), 0755);
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	conf_free(&conf);
	arena_free(&arena);
	return system(command);
}

static const char *put(const char *name, const char *text, mode_t mode)
{
	const char *path = in_folder(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

/* The report with the folder's name taken out of it. */
static const char *told_of(const struct conf_report *r)
{
	struct buf short_text = BUF_INIT;
	char *text = NULL;
	size_t n = 0, at;
	struct str rest;
	const char *result;
	FILE *f = open_memstream(&text, &n);

	conf_report_print(r, f);
	fclose(f);
	rest = str_mem(text, n);
	while ((at = str_search(rest, str_of(folder))) != SIZE_MAX) {
		buf_addstr(&short_text, str_sub(rest, 0, at));
		rest = str_from(rest, at + strlen(folder) + 1);
	}
	buf_addstr(&short_text, rest);
	result = arena_strdup(arena, buf_cstr(&short_text));
	buf_free(&short_text);
	free(text);
	return result;
}

static void load(void)
{
	conf_free(&conf);
	report = conf_report_new(arena);
	conf = conf_load(in_folder("imapd.conf"), report);
}

struct box {
	uint64_t size;
	const char *path;
	struct mortise_secret secret;
	struct mortise_list list;
	bool flag;
};
static const struct mortise_option box_options[] = {
    MORTISE_OPTION(struct box, size, SIZE, "8k", .min = "1k", .max = "1G", .help = "how large it is",
        .flags = MORTISE_OPTION_RELOADABLE, .since = "0.1", .detail = "As a \"size\"."),
    MORTISE_OPTION(struct box, path, PATH, "box", .help = "where it is"),
    MORTISE_OPTION(struct box, secret, SECRET, NULL, .help = "its key"),
    MORTISE_OPTION(struct box, list, LIST, "a, b", .help = "what is in it"),
    MORTISE_OPTION(struct box, flag, BOOL, "yes", .help = "whether it is open"),
};
static const struct conf_group box_group = {
    "box", box_options, ARRAY_LEN(box_options), sizeof(struct box), "a box"};
static const struct conf_group *const groups[] = {&box_group, &log_conf_group};

static struct box fill(void)
{
	struct box b;

	conf_fill(conf, &box_group, &b, arena, report);
	return b;
}

static void later_files_win_setting_by_setting(void **state)
{
	struct conf_instance *v;
	struct box b;

	(void)state;
	put("imapd.conf", "box = { size = 1024; path = \"main\"; };\ndrivers = (\"unix\", \"mbx\");\n", 0644);
	put("imapd.conf.d/20-b.conf", "box = { size = 3072; };\ndrivers = ({ type = \"mbx\"; x = 1; });\n",
	    0644);
	put("imapd.conf.d/10-a.conf", "box = { size = 2048;\n list = [ \"c\" ]; };\ndrivers = (\"mh\");\n",
	    0644);
	put("imapd.conf.d/30-c.conf.bak", "nonsense", 0644);
	put("imapd.conf.d/.hidden.conf", "nonsense", 0644);
	load();
	b = fill();
	assert_string_equal(told_of(report), "");
	assert_int_equal(b.size, 3072);
	assert_string_equal(b.path, in_folder("main"));
	assert_int_equal(b.list.count, 1);
	assert_int_equal(conf_instances(conf, "drivers", NULL, arena, &v, report), 3);
	assert_string_equal(v[0].name, "unix");
	assert_string_equal(v[1].name, "mbx"); /* in the place of the one it replaces */
	assert_non_null(v[1].node);
	assert_string_equal(v[1].file, in_folder("imapd.conf.d/20-b.conf"));
	assert_string_equal(v[2].name, "mh");
}

static void problems_of_all_files_are_told_in_order(void **state)
{
	struct conf_instance *v;

	(void)state;
	put("imapd.conf", "\nbox = { size = 1; };\ndrivers = (\"/opt/a.so\");\n", 0644);
	put("imapd.conf.d/1.conf", "box = ;\n", 0644);
	put("imapd.conf.d/2.conf", "box = {\n sise = 5; };\ndrivers = (\n\"/opt/b.so\");", 0644);
	load();
	fill();
	assert_int_equal(conf_instances(conf, "drivers", NULL, arena, &v, report), 1);
	assert_string_equal(told_of(report),
	    "imapd.conf:2: box: size = 1: is less than the minimum, 1k [MRT-0212]\n"
	    "imapd.conf.d/1.conf:1: no value before this ; [MRT-0202]\n"
	    "imapd.conf.d/2.conf:2: box: unknown option \"sise\"; did you mean \"size\"? [MRT-0213]\n"
	    "imapd.conf.d/2.conf:4: drivers = \"/opt/b.so\": a module may be named by its path in the main "
	    "file only "
	    "[MRT-0221]\n");
}

static void unreadable_files_are_told(void **state)
{
	(void)state;
	load();
	assert_string_equal(
	    told_of(report), "imapd.conf: cannot be opened: No such file or directory [MRT-0200]\n");
	assert_int_equal(mkfifo(in_folder("imapd.conf"), 0600), 0); /* must not hang */
	load();
	assert_string_equal(told_of(report), "imapd.conf: is not a regular file [MRT-0200]\n");
	unlink(in_folder("imapd.conf"));
	put("imapd.conf", "", 0644);
	assert_int_equal(symlink("nowhere", in_folder("imapd.conf.d/x.conf")), 0);
	assert_int_equal(symlink(in_folder("imapd.conf.d"), in_folder("imapd.conf.d/y.conf")), 0);
	load();
	assert_string_equal(told_of(report), "imapd.conf.d/y.conf: is not a regular file [MRT-0200]\n");
}

/* attack-155: a huge file. */
static void huge_files_are_refused(void **state)
{
	int fd;

	(void)state;
	fd = open(put("imapd.conf", "", 0644), O_WRONLY);
	assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
	close(fd);
	load();
	assert_string_equal(told_of(report), "imapd.conf: more than 1048576 octets [MRT-0201]\n");
}

static void too_many_files_are_refused(void **state)
{
	size_t i;

	(void)state;
	put("imapd.conf", "", 0644);
	for (i = 0; i <= CONF_FILES_MAX; i++)
		put(arena_printf(arena, "imapd.conf.d/%zu.conf", i), "", 0644);
	load();
	assert_string_equal(told_of(report), "imapd.conf.d: more than 256 files [MRT-0201]\n");
}

static void root_trusts_only_roots_files(void **state)
{
	(void)state;
	if (geteuid() != 0)
		return; /* not skip(): its TAP line is "not ok" */
	put("imapd.conf", "", 0666);
	put("imapd.conf.d/a.conf", "", 0664);
	put("imapd.conf.d/b.conf", "", 0644);
	assert_int_equal(chown(in_folder("imapd.conf.d/b.conf"), 12345, 0), 0);
	load();
	assert_string_equal(told_of(report),
	    "imapd.conf: is writable by everyone (mode 0666) [MRT-0205]\n"
	    "imapd.conf.d/a.conf: is writable by its group (mode 0664) [MRT-0205]\n"
	    "imapd.conf.d/b.conf: is owned by uid 12345, not by root [MRT-0205]\n");
}

static void the_default_file_may_be_missing(void **state)
{
	struct box b;

	(void)state;
	if (access(MORTISE_CONFDIR "/imapd.conf", F_OK) == 0)
		return;
	conf = conf_load(NULL, report);
	assert_string_equal(conf_file(conf), "(none)");
	b = fill();
	assert_int_equal(b.size, 8192);
	assert_string_equal(b.path, MORTISE_CONFDIR "/box");
	assert_string_equal(told_of(report), "");
}

static const char *secret_problem(const char *value)
{
	put("imapd.conf", arena_printf(arena, "box = { secret = \"%s\"; };", value), 0644);
	load();
	fill();
	return told_of(report);
}

/* attack-155: secret files readable by others. */
static void secrets_are_read_from_safe_places_only(void **state)
{
	char long_text[CONF_SECRET_MAX + 2];
	const char *path;
	struct box b;

	(void)state;
	path = put("key", "open sesame\n", 0600);
	assert_string_equal(secret_problem(arena_printf(arena, "file:%s", path)), "");
	b = fill();
	assert_int_equal(b.secret.size, 11);
	assert_memory_equal(b.secret.data, "open sesame", 11);
	chmod(path, 0640);
	assert_string_equal(secret_problem(arena_printf(arena, "file:%s", path)), "");
	chmod(path, 0644);
	assert_string_equal(secret_problem(arena_printf(arena, "file:%s", path)),
	    "imapd.conf:1: box: \"secret\": key can be read or written by others (mode 0644): use 0600, or "
	    "0640 with a "
	    "group of its own [MRT-0216]\n");
	chmod(path, 0620);
	assert_non_null(
	    strstr(secret_problem(arena_printf(arena, "file:%s", path)), "read or written by others"));
	if (geteuid() == 0) {
		chmod(path, 0600);
		assert_int_equal(chown(path, 12345, 0), 0);
		assert_non_null(
		    strstr(secret_problem(arena_printf(arena, "file:%s", path)), "is owned by uid 12345"));
	}
	put("empty", "\n", 0600);
	assert_non_null(
	    strstr(secret_problem(arena_printf(arena, "file:%s", in_folder("empty"))), "is empty"));
	memset(long_text, 'x', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	put("long", long_text, 0600);
	assert_non_null(strstr(
	    secret_problem(arena_printf(arena, "file:%s", in_folder("long"))), "is more than 65536 octets"));
	assert_non_null(strstr(secret_problem("file:key"), "needs an absolute path"));
	assert_non_null(strstr(secret_problem("file:/no/such/file"), "cannot be opened: No such file"));
	assert_non_null(strstr(secret_problem("fd:999"), "descriptor 999: Bad file descriptor"));
	assert_non_null(strstr(secret_problem("fd:0"), "does not stand in the configuration"));
}

static void an_inline_secret_is_refused_and_never_shown(void **state)
{
	char *text = NULL;
	size_t n;
	FILE *f;

	(void)state;
	assert_string_equal(secret_problem("hunter2"), "imapd.conf:1: box: \"secret\": a secret does not "
	                                               "stand in the configuration: write \"file:/path\" or "
	                                               "\"fd:N\" (3 or more) [MRT-0216]\n");
	f = open_memstream(&text, &n);
	conf_dump(conf, groups, 1, false, f);
	fclose(f);
	assert_null(strstr(text, "hunter2"));
	assert_non_null(strstr(text, "\tsecret = \"(not shown)\"; # "));
	free(text);
	put("imapd.conf", "box = { secret = 12345678; };", 0644);
	load();
	fill();
	assert_null(strstr(told_of(report), "12345678"));
}

static void a_secret_from_a_pipe_can_be_read_twice(void **state)
{
	int pipes[2];
	struct box b;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(io_write(pipes[1], "abc\n", 4), 0);
	close(pipes[1]);
	assert_string_equal(secret_problem(arena_printf(arena, "fd:%d", pipes[0])), "");
	b = fill();
	assert_int_equal(b.secret.size, 3);
	b = fill();
	assert_int_equal(b.secret.size, 3);
	close(pipes[0]);
}

static void a_sealed_configuration_keeps_values_and_origins(void **state)
{
	struct err e = ERR_INIT;
	struct conf_instance *v;
	struct box b;
	int fd;

	(void)state;
	put("imapd.conf",
	    "box = { size = 4096; path = \"x\"; flag = false; list = ( \"p\", \"q\" );\n nonsense = 1; };\n"
	    "drivers = (\"unix\",\n{ type = \"mh\"; name = \"home\"; });",
	    0644);
	put("imapd.conf.d/a.conf", "\n\nbox = { size = 1; };", 0644);
	load();
	fd = conf_seal(conf, &e);
	assert_true(fd >= 0);
	conf_free(&conf);
	conf = conf_unseal(fd, &e);
	assert_non_null(conf);
	assert_string_equal(conf_file(conf), in_folder("imapd.conf"));
	b = fill();
	assert_string_equal(b.path, in_folder("x"));
	assert_false(b.flag);
	assert_string_equal(b.list.items[1], "q");
	assert_string_equal(told_of(report),
	    "imapd.conf:2: box: unknown option \"nonsense\" [MRT-0213]\n"
	    "imapd.conf.d/a.conf:3: box: size = 1: is less than the minimum, 1k "
	    "[MRT-0212]\n");
	assert_int_equal(conf_instances(conf, "drivers", NULL, arena, &v, report), 2);
	assert_string_equal(v[1].name, "home");
	assert_int_equal(v[1].line, 4);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0); /* others may read it too */
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	close(fd);
}

/* attack-143: what is not a sealed memory file, or was damaged, is refused. */
static void damaged_seals_are_refused(void **state)
{
	struct err e = ERR_INIT;
	struct conf *c;
	struct stat st;
	char *text, *copy;
	size_t n, i;
	int fd, file;

	(void)state;
	put("imapd.conf", "box = { size = 4096; }; a = ( 1, \"x\" ); b = true;", 0644);
	load();
	fd = conf_seal(conf, &e);
	assert_int_equal(fstat(fd, &st), 0);
	n = (size_t)st.st_size;
	text = mem_alloc(n);
	copy = mem_alloc(n);
	assert_int_equal(io_pread(fd, text, n, 0), n);
	close(fd);
	file = open(put("sealed", "mortise-conf 1\n", 0600), O_RDWR);
	assert_null(conf_unseal(file, &e));
	assert_int_equal(e.code, MORTISE_E_INVALID);
	close(file);
	for (i = 0; i < n; i++) { /* cut at every octet */
		err_clear(&e);
		fd = io_memfd("t", text, i);
		assert_null(conf_unseal(fd, &e));
		assert_int_equal(e.code, MORTISE_E_CORRUPT);
		close(fd);
	}
	for (i = 0; i < n * 8; i++) { /* flip every bit: refused or read, never a crash */
		err_clear(&e);
		memcpy(copy, text, n);
		copy[i / 8] ^= (char)(1 << i % 8);
		fd = io_memfd("t", copy, n);
		c = conf_unseal(fd, &e);
		conf_free(&c);
		close(fd);
	}
	mem_free(text);
	mem_free(copy);
}

static const char *dump(bool changed)
{
	char *text = NULL;
	size_t n;
	const char *copy;
	FILE *f = open_memstream(&text, &n);

	conf_dump(conf, groups, 1, changed, f);
	fclose(f);
	copy = arena_strdup(arena, text);
	free(text);
	return copy;
}

static void a_dump_shows_values_and_origins(void **state)
{
	const char *key = put("key", "x", 0600);

	(void)state;
	put("imapd.conf",
	    arena_printf(arena,
	        "box = {\n size = \"8192\";\n list = ( \"p\\\"q\" );\n secret = \"file:%s\"; };\n"
	        "passwords = ( \"pam\", { type = \"ldap\"; bind = \"hunter2\"; } );\n",
	        key),
	    0644);
	load();
	assert_string_equal(dump(true),
	    arena_printf(arena,
	        "# changed values of %s\n"
	        "box = {\n"
	        "\tsecret = \"file:%s\"; # %s:4\n"
	        "\tlist = [ \"p\\\"q\" ]; # %s:3\n"
	        "};\n"
	        "passwords = ( \"pam\", {\n"
	        "\ttype = \"ldap\"; # %s:5\n"
	        "\tbind = \"(not shown)\"; # %s:5\n"
	        "} );\n",
	        conf_file(conf), key, conf_file(conf), conf_file(conf), conf_file(conf), conf_file(conf)));
	assert_non_null(
	    strstr(dump(false), arena_printf(arena, "\tsize = \"8k\"; # %s:2\n", conf_file(conf))));
	assert_non_null(strstr(dump(false), "\tflag = true; # default\n"));
	assert_non_null(strstr(dump(false), arena_printf(arena, "\tpath = \"%s/box\"; # default\n", folder)));
}

/* What is dumped is a configuration with the same values. */
static void a_dump_can_be_read_again(void **state)
{
	const char *first, *again;

	(void)state;
	put("imapd.conf", "box = { size = 5000; path = \"~/m \\\\ n\"; list = [ \"a,b\" ]; flag = false; };",
	    0644);
	load();
	first = dump(true);
	put("imapd.conf", first, 0644);
	load();
	assert_string_equal(told_of(report), "");
	again = dump(true);
	assert_non_null(strstr(again, "size = 5000;"));
	assert_non_null(strstr(again, "path = \"~/m \\\\ n\";"));
	assert_non_null(strstr(again, "list = [ \"a,b\" ];"));
	assert_non_null(strstr(again, "flag = false;"));
}

static const char *described(enum conf_format format)
{
	struct buf b AUTO_BUF = BUF_INIT;

	conf_describe("box", box_options, ARRAY_LEN(box_options), sizeof(box_options[0]), format, &b);
	return arena_strdup(arena, buf_cstr(&b));
}

static void tables_describe_themselves(void **state)
{
	const char *text = described(CONF_TEXT);

	(void)state;
	assert_ptr_equal(
	    strstr(text,
	        "box\n  size\n      how large it is\n      size; default \"8k\"; from 1k to 1G; takes "
	        "effect on reload; since 0.1\n      As a \"size\".\n"),
	    text);
	assert_non_null(
	    strstr(described(CONF_MDOC), ".It Va \"size\"\nHow large it is.\nAs a \\(dqsize\\(dq.\n"));
	assert_non_null(strstr(described(CONF_JSON),
	    "\"name\": \"size\", \"type\": \"size\", \"default\": \"8k\", \"min\": \"1k\""));
	assert_non_null(strstr(described(CONF_JSON), "\"detail\": \"As a \\\"size\\\".\""));
}

/* A sample is a valid file, and says nothing but defaults when its comments are taken off. */
static void a_sample_is_valid(void **state)
{
	const char *sample = described(CONF_SAMPLE);
	struct buf b AUTO_BUF = BUF_INIT;
	struct str rest = str_of(sample);
	struct box v;

	(void)state;
	put("imapd.conf", sample, 0644);
	load();
	fill();
	assert_string_equal(told_of(report), "");
	while (rest.p != NULL) {
		struct str line = str_cut(&rest, '\n');

		if (str_starts(line, STR("\t# ")) && str_search(line, STR(" = ")) != SIZE_MAX)
			line = str_from(line, 3);
		buf_addstr(&b, line);
		buf_addc(&b, '\n');
	}
	put("imapd.conf", buf_cstr(&b), 0644);
	load();
	v = fill();
	assert_string_equal(told_of(report), "");
	assert_int_equal(v.size, 8192);
	assert_int_equal(v.list.count, 2);
	assert_string_equal(dump(true), arena_printf(arena, "# changed values of %s\n", conf_file(conf)));
}

static const char *table_problem(struct mortise_option o)
{
	static struct err e;

	err_clear(&e);
	conf_check_table(&o, 1, sizeof(o), sizeof(struct box), &e);
	return e.admin;
}

static void bad_tables_are_refused(void **state)
{
	struct mortise_option good = box_options[0], o, twice[2] = {good, good};
	const char *outside = arena_printf(
	    arena, "option \"size\": its field is outside the struct of %zu octets", sizeof(struct box));
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(
	    conf_check_table(box_options, ARRAY_LEN(box_options), sizeof(good), sizeof(struct box), &e), 0);
	assert_int_equal(conf_check_table(log_conf_group.options, log_conf_group.count, sizeof(good),
	                     log_conf_group.size, &e),
	    0);
	assert_string_equal(table_problem(good), "");
#define WITH(field, value, text) \
	o = good;                \
	o.field = value;         \
	assert_string_equal(table_problem(o), text)
	WITH(name, "Size", "option 0: a name is lower case, digits and _");
	WITH(name, NULL, "option 0: a name is lower case, digits and _");
	WITH(name, "type", "option \"type\": the name is the server's own");
	WITH(type, 7, "option \"size\": unknown type 7");
	WITH(help, NULL, "option \"size\" has no help");
	WITH(fallback, "8x",
	    "option \"size\": its default \"8x\" is not a size: octets, as digits and an optional k, M, G or "
	    "T");
	WITH(fallback, "1", "option \"size\": its default \"1\" is less than the minimum, 1k");
	WITH(fallback, "2G", "option \"size\": its default \"2G\" is more than the maximum, 1G");
	WITH(min, "x",
	    "option \"size\": its minimum \"x\" is not a size: octets, as digits and an optional k, M, G or "
	    "T");
	WITH(max, "1", "option \"size\": its maximum \"1\" is less than the minimum, 1k");
	WITH(type, MORTISE_OPTION_ENUM, "option \"size\" has no values to choose from");
	WITH(type, MORTISE_OPTION_STRING, "option \"size\": only a number has a range");
	WITH(flags, MORTISE_OPTION_REQUIRED, "option \"size\" is required and has a default");
	WITH(offset, sizeof(struct box), outside);
	WITH(offset, SIZE_MAX, outside);
	WITH(offset, 1, outside);
	assert_true(conf_check_table(twice, 2, sizeof(good), sizeof(struct box), &e) < 0);
	assert_string_equal(e.admin, "option \"size\" is in the table twice");
	err_clear(&e);
	assert_true(conf_check_table(NULL, 1, sizeof(good), sizeof(struct box), &e) < 0);
	err_clear(&e);
	assert_true(conf_check_table(&good, 1, 8, sizeof(struct box), &e) < 0);
}

/* A module compiled against a shorter row: what it does not have is not read. */
static void shorter_rows_are_understood(void **state)
{
	struct row {
		char octets[offsetof(struct mortise_option, detail)];
	} rows[2];
	struct conf_instance i = {.name = "x", .type = "x", .list = "drivers"};
	struct err e = ERR_INIT;
	struct box b;

	(void)state;
	memcpy(&rows[0], &box_options[0], sizeof(rows[0]));
	memcpy(&rows[1], &box_options[4], sizeof(rows[1]));
	assert_int_equal(conf_check_table((const void *)rows, 2, sizeof(rows[0]), sizeof(b), &e), 0);
	put("imapd.conf", "module = { x = { size = 2048; flag = false; }; };", 0644);
	load();
	conf_fill_instance(
	    conf, &i, "x", (const void *)rows, 2, sizeof(rows[0]), sizeof(b), &b, arena, report);
	assert_string_equal(told_of(report), "");
	assert_int_equal(b.size, 2048);
	assert_false(b.flag);
}

static void fill_instances(struct conf *c, struct arena *a, struct conf_report *r, void *arg)
{
	struct conf_instance *v;
	size_t i, n = conf_instances(c, "drivers", NULL, a, &v, r);
	struct box b;

	(void)arg;
	for (i = 0; i < n; i++)
		conf_fill_instance(c, &v[i], v[i].type, box_options, ARRAY_LEN(box_options),
		    sizeof(box_options[0]), sizeof(b), &b, a, r);
}

static const char *check(bool strict, int expected)
{
	char *text = NULL;
	size_t n;
	const char *copy;
	FILE *f = open_memstream(&text, &n);

	assert_int_equal(
	    conf_command_check(in_folder("imapd.conf"), groups, 2, strict, fill_instances, NULL, f),
	    expected);
	fclose(f);
	copy = arena_strdup(arena, text);
	free(text);
	return copy;
}

static void the_check_command(void **state)
{
	const char *text;

	(void)state;
	put("imapd.conf", "log = { level = \"info\"; };\ndrivers = ( { type = \"box\"; size = 2048; } );\n",
	    0644);
	text = check(true, 0);
	assert_non_null(strstr(text, "imapd.conf: good\n"));
	put("imapd.conf",
	    "log = { levle = 1; };\ndrivers = (\n { type = \"box\"; size = 1; } );\nmodule = { z = { }; "
	    "};\nlgo = { };",
	    0644);
	text = check(false, 78);
	assert_non_null(
	    strstr(text, ":1: log: unknown option \"levle\"; did you mean \"level\"? [MRT-0213]\n"));
	assert_non_null(
	    strstr(text, ":3: driver \"box\": size = 1: is less than the minimum, 1k [MRT-0212]\n"));
	assert_non_null(strstr(text, ":4: warning: module.z: "));
	assert_non_null(strstr(text, ":5: unknown setting \"lgo\"; did you mean \"log\"? [MRT-0214]\n"));
	assert_non_null(strstr(text, "imapd.conf: 3 errors, 1 warning\n"));
	put("imapd.conf", "module = { z = { }; };", 0644);
	check(false, 0);
	check(true, 78);
}

static void the_dump_command(void **state)
{
	char *text = NULL, *errors = NULL;
	size_t n, m;
	FILE *f = open_memstream(&text, &n), *g = open_memstream(&errors, &m);

	(void)state;
	put("imapd.conf",
	    "log = { level = \"warn\"; };\ndrivers = ( { type = \"box\"; size = 1; secret = \"pw\"; } );\n",
	    0644);
	assert_int_equal(
	    conf_command_dump(in_folder("imapd.conf"), groups, 2, true, fill_instances, NULL, f, g), 78);
	fclose(f);
	fclose(g);
	assert_non_null(strstr(text, "log = {\n\tlevel = \"warn\"; # "));
	assert_non_null(strstr(text, "\tsize = 1; # ")); /* known now to be no secret */
	assert_non_null(strstr(text, "\tsecret = \"(not shown)\"; # "));
	assert_non_null(strstr(errors, "is less than the minimum"));
	assert_null(strstr(text, "pw"));
	free(text);
	free(errors);
}

/* The manuals are clean mdoc, when there is somebody to say so. */
static void manuals_are_clean(void **state)
{
	struct buf b AUTO_BUF = BUF_INIT;
	FILE *f;

	(void)state;
	conf_manual(groups, 2, &b);
	assert_non_null(strstr(b.p, ".Ss log\nWhat is logged, and where.\n"));
	put("imapd.conf.5", buf_cstr(&b), 0644);
	buf_reset(&b);
	conf_manual_messages(&b);
	assert_non_null(strstr(b.p, ".It MRT\\-0213 (error)\n"));
	put("mortise-messages.7", buf_cstr(&b), 0644);
	assert_int_equal(conf_command_describe(groups, 2, "html", stderr), 64);
	f = fopen("/dev/null", "w");
	assert_int_equal(conf_command_describe(groups, 2, "json", f), 0);
	fclose(f);
	if (system("command -v mandoc >/dev/null") != 0)
		return;
	assert_int_equal(
	    system(arena_printf(arena, "mandoc -T lint -W warning %s/imapd.conf.5 %s/mortise-messages.7 >&2",
	        folder, folder)),
	    0);
}

static void the_log_group(void **state)
{
	struct log_options o;
	struct err e = ERR_INIT;
	struct log_sink *s;

	(void)state;
	put("imapd.conf",
	    "log = { level = \"error\"; debug = [ \"a\", \"b\" ]; target = \"file\"; file = \"log\"; };",
	    0644);
	load();
	conf_fill(conf, &log_conf_group, &o, arena, report);
	assert_string_equal(told_of(report), "");
	log_options_apply(&o);
	assert_true(log_debugging("b"));
	log_set_debug("");
	log_set_level(LOG_LEVEL_INFO);
	s = log_options_sink(&o, &e);
	assert_non_null(s);
	log_sink_close(&s);
	assert_int_equal(access(in_folder("log"), F_OK), 0);
}

/* A line of the shipped file that shows a setting: "# name = …", "#\tname = …" or "# };". */
static bool shows_setting(struct str line)
{
	size_t i = 2;

	if (!str_starts(line, STR("# ")) && !str_starts(line, STR("#\t")))
		return false;
	while (i < line.n && ((line.p[i] >= 'a' && line.p[i] <= 'z') || line.p[i] == '_'))
		i++;
	return str_starts(str_from(line, 2), STR("};")) ||
	       (i > 2 && str_starts(str_from(line, i), STR(" = ")));
}

/* etc/imapd.conf sets nothing, and with its comments taken off it says the same. */
static void the_shipped_file_shows_the_defaults(void **state)
{
	const char *top = getenv("top_srcdir");
	struct buf b AUTO_BUF = BUF_INIT;
	struct conf *none AUTO_CONF = conf_new();
	struct conf_instance *v;
	struct log_options o, p;
	char text[8192];
	struct str rest;
	ssize_t n;
	int fd;

	(void)state;
	fd = open(arena_printf(arena, "%s/etc/imapd.conf", top != NULL ? top : "."), O_RDONLY);
	if (fd < 0)
		return;
	n = io_read(fd, text, sizeof(text));
	close(fd);
	rest = str_mem(text, (size_t)n);
	while (rest.p != NULL) {
		struct str line = str_cut(&rest, '\n');

		buf_addstr(&b, shows_setting(line) ? str_from(line, 2) : line);
		buf_addc(&b, '\n');
	}
	conf = conf_parse(str_mem(text, (size_t)n), "etc", report);
	assert_string_equal(told_of(report), "");
	assert_null(conf->root->first);
	conf_free(&conf);
	conf = conf_parse(buf_str(&b), "etc", report);
	assert_string_equal(told_of(report), "");
	assert_int_equal(conf_instances(conf, "drivers", NULL, arena, &v, report), 1);
	assert_int_equal(conf_instances(conf, "passwords", NULL, arena, &v, report), 1);
	assert_int_equal(conf_instances(conf, "sasl", NULL, arena, &v, report), 1);
	assert_non_null(conf_child(conf->root, "tls"));
	assert_non_null(conf_child(conf->root, "store"));
	conf_fill(conf, &log_conf_group, &o, arena, report);
	conf_fill(none, &log_conf_group, &p, arena, report);
	assert_string_equal(told_of(report), "");
	assert_int_equal(o.level, p.level);
	assert_int_equal(o.target, p.target);
	assert_int_equal(o.facility, p.facility);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(later_files_win_setting_by_setting),
	    TEST(problems_of_all_files_are_told_in_order),
	    TEST(unreadable_files_are_told),
	    TEST(huge_files_are_refused),
	    TEST(too_many_files_are_refused),
	    TEST(root_trusts_only_roots_files),
	    TEST(the_default_file_may_be_missing),
	    TEST(secrets_are_read_from_safe_places_only),
	    TEST(an_inline_secret_is_refused_and_never_shown),
	    TEST(a_secret_from_a_pipe_can_be_read_twice),
	    TEST(a_sealed_configuration_keeps_values_and_origins),
	    TEST(damaged_seals_are_refused),
	    TEST(a_dump_shows_values_and_origins),
	    TEST(a_dump_can_be_read_again),
	    TEST(tables_describe_themselves),
	    TEST(a_sample_is_valid),
	    TEST(bad_tables_are_refused),
	    TEST(shorter_rows_are_understood),
	    TEST(the_check_command),
	    TEST(the_dump_command),
	    TEST(manuals_are_clean),
	    TEST(the_log_group),
	    TEST(the_shipped_file_shows_the_defaults),
	};

	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
