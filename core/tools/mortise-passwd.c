/*
 * mortise-passwd: sets a password in a file of the backend "file" (mortise-file(5)).
 *
 * The file is never changed in place: a new one is written beside it, synced, and renamed over it, so the
 * server sees the old file or the new one. Two runs at one time wait for each other (flock).
 */
#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/secure.h"
#include "base/banned.h"

#define FILE_MAX (64u << 20)
#define PASSWORD_MAX 4096u
#define SALT_SIZE 16u
#define ITERATIONS_DEFAULT 4096u
#define EXIT_USAGE 64
#define EXIT_DATA 65
#define EXIT_FILE 73

enum field { USER, SECRET, UID, GID, GECOS, HOME, SHELL, OPTIONS, FIELDS };

enum job { JOB_SET, JOB_DELETE, JOB_DISABLE, JOB_ENABLE };

struct request {
	enum job job;
	const char *file, *user, *scheme;
	uint32_t iterations;
	const char *set[FIELDS]; /* NULL: as it is */
};

static _Noreturn void die(int status, const char *format, ...) PRINTF_LIKE(2, 3);
static _Noreturn void die(int status, const char *format, ...)
{
	int number = errno;
	va_list ap;

	fputs("mortise-passwd: ", stderr);
	va_start(ap, format);
	errno = number;
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(status);
}

static _Noreturn void usage(FILE *to, int status)
{
	fputs("usage: mortise-passwd [--scheme crypt|scram-sha-256|scram-sha-1] [--iterations N] [--uid N "
	      "--gid N]\n"
	      "                      [--home DIR] [--options \"NAME=VALUE ...\"] FILE USER\n"
	      "       mortise-passwd --delete|--disable|--enable FILE USER\n"
	      "The password is read from the terminal, twice, or from standard input, one line.\n",
	    to);
	exit(status);
}

/* ---- the password ---- */

static bool read_line(struct buf *out)
{
	char c;
	ssize_t n;

	while ((n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n')
		if (out->n <= PASSWORD_MAX)
			buf_addc(out, c);
	return n == 1 || out->n > 0;
}

static void ask(const char *prompt, struct buf *out)
{
	struct termios old, quiet;

	if (tcgetattr(STDIN_FILENO, &old) != 0)
		die(EXIT_DATA, "terminal: %m");
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	fputs(prompt, stderr);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) != 0)
		die(EXIT_DATA, "terminal: %m");
	(void)read_line(out);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
	fputc('\n', stderr);
}

static void get_password(struct buf *out)
{
	buf_reserve(out, PASSWORD_MAX + 2); /* so that no copy is left behind by growing */
	if (isatty(STDIN_FILENO)) {
		struct buf again = BUF_INIT;

		buf_reserve(&again, PASSWORD_MAX + 2);
		ask("New password: ", out);
		ask("Again: ", &again);
		if (!str_eq(buf_str(out), buf_str(&again)))
			die(EXIT_DATA, "the two passwords differ");
		buf_wipe(&again);
	} else {
		(void)read_line(out);
	}
	if (out->n == 0)
		die(EXIT_DATA, "the password is empty");
	if (out->n > PASSWORD_MAX)
		die(EXIT_DATA, "the password is longer than %u octets", PASSWORD_MAX);
	if (str_find(buf_str(out), '\0') != out->n)
		die(EXIT_DATA, "the password holds a NUL");
}

/* ---- its hash ---- */

static void crypt_secret(const struct buf *password, struct buf *out)
{
	struct crypt_data *data = mem_new(struct crypt_data);
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *hash;

	if (password->n >= CRYPT_MAX_PASSPHRASE_SIZE)
		die(EXIT_DATA, "crypt(3) takes passwords of %d octets at most",
		    CRYPT_MAX_PASSPHRASE_SIZE - 1);
	if (crypt_gensalt_rn(NULL, 0, NULL, 0, setting, sizeof(setting)) == NULL)
		die(EXIT_DATA, "crypt_gensalt: %m");
	hash = crypt_r(password->p, setting, data);
	if (hash == NULL || hash[0] == '*')
		die(EXIT_DATA, "crypt: %m");
	buf_adds(out, hash);
	mem_wipe(data, sizeof(*data));
	mem_free(data);
}

/* RFC 5802 §3 with the octets as typed. */
static void scram_secret(
    const struct buf *password, const char *prefix, const EVP_MD *md, uint32_t iterations, struct buf *out)
{
	unsigned char salt[SALT_SIZE], salted[EVP_MAX_MD_SIZE], client[EVP_MAX_MD_SIZE],
	    stored[EVP_MAX_MD_SIZE], server[EVP_MAX_MD_SIZE];
	int size = EVP_MD_get_size(md);
	unsigned n = 0;

	secure_random(salt, sizeof(salt));
	if (PKCS5_PBKDF2_HMAC(
	        password->p, (int)password->n, salt, sizeof(salt), (int)iterations, md, size, salted) != 1 ||
	    HMAC(md, salted, size, (const unsigned char *)"Client Key", 10, client, &n) == NULL ||
	    EVP_Digest(client, (size_t)size, stored, &n, md, NULL) != 1 ||
	    HMAC(md, salted, size, (const unsigned char *)"Server Key", 10, server, &n) == NULL)
		die(EXIT_DATA, "the library cannot do %s", prefix);
	buf_printf(out, "%s%u,", prefix, (unsigned)iterations);
	base64_encode(out, str_mem(salt, sizeof(salt)));
	buf_addc(out, ',');
	base64_encode(out, str_mem(stored, (size_t)size));
	buf_addc(out, ',');
	base64_encode(out, str_mem(server, (size_t)size));
	mem_wipe(salted, sizeof(salted));
	mem_wipe(client, sizeof(client));
}

static void make_secret(const struct request *q, struct buf *out)
{
	struct buf password = BUF_INIT;

	get_password(&password);
	if (strcmp(q->scheme, "crypt") == 0)
		crypt_secret(&password, out);
	else if (strcmp(q->scheme, "scram-sha-256") == 0)
		scram_secret(&password, "{SCRAM-SHA-256}", EVP_sha256(), q->iterations, out);
	else
		scram_secret(&password, "{SCRAM-SHA-1}", EVP_sha1(), q->iterations, out);
	buf_wipe(&password);
}

/* ---- the line ---- */

/* The line again, with what is to be changed. `line` is without LF; p NULL: a new one. */
static void rewrite(const struct request *q, struct str line, struct str secret, struct buf *out)
{
	struct str fields[FIELDS];
	size_t i, last = HOME;

	for (i = 0; i < FIELDS; i++)
		fields[i] = i < OPTIONS ? str_cut(&line, ':') : line;
	fields[USER] = str_of(q->user);
	if (q->job == JOB_SET)
		fields[SECRET] = secret;
	while (q->job == JOB_ENABLE && fields[SECRET].n > 0 &&
	       (fields[SECRET].p[0] == '!' || fields[SECRET].p[0] == '*'))
		fields[SECRET] = str_from(fields[SECRET], 1);
	for (i = UID; i < FIELDS; i++) {
		if (q->set[i] != NULL)
			fields[i] = str_of(q->set[i]);
		if (fields[i].n > 0 && i > last)
			last = i;
	}
	for (i = 0; i <= last; i++) {
		if (i > 0)
			buf_addc(out, ':');
		if (i == SECRET && q->job == JOB_DISABLE && !str_starts(fields[i], STR("!")))
			buf_addc(out, '!');
		buf_addstr(out, fields[i]);
	}
	buf_addc(out, '\n');
}

/* The whole new file. False: the user is not there and should be. */
static bool edit(const struct request *q, struct str text, struct str secret, struct buf *out)
{
	bool found = false;

	while (text.p != NULL && text.n > 0) {
		struct str line = str_cut(&text, '\n'), rest = line, user = str_cut(&rest, ':');

		if (!str_starts(line, STR("#")) && str_eqc(user, q->user)) {
			/* A user on two lines is refused by the server: this mends it. */
			if (!found && q->job != JOB_DELETE)
				rewrite(q, line, secret, out);
			found = true;
			continue;
		}
		buf_addstr(out, line);
		buf_addc(out, '\n');
	}
	if (!found && q->job == JOB_SET)
		rewrite(q, STR_NONE, secret, out);
	return found || q->job == JOB_SET;
}

/* ---- the file ---- */

/* Opens and locks it, and makes sure that it still has its name then. */
static int open_locked(const struct request *q, struct stat *st)
{
	for (;;) {
		int flags = q->job == JOB_SET ? O_RDWR | O_CREAT : O_RDWR;
		int fd = open(q->file, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
		struct stat now;

		if (fd < 0)
			die(EXIT_FILE, "%s: %m", q->file);
		if (fstat(fd, st) != 0)
			die(EXIT_FILE, "%s: %m", q->file);
		if (!S_ISREG(st->st_mode))
			die(EXIT_FILE, "%s is not a regular file", q->file);
		if (st->st_size > (off_t)FILE_MAX)
			die(EXIT_FILE, "%s is larger than %u octets", q->file, FILE_MAX);
		while (flock(fd, LOCK_EX) != 0)
			if (errno != EINTR)
				die(EXIT_FILE, "locking %s: %m", q->file);
		if (stat(q->file, &now) == 0 && now.st_dev == st->st_dev && now.st_ino == st->st_ino) {
			(void)fstat(fd, st);
			return fd;
		}
		close(fd);
	}
}

static void read_all(const struct request *q, int fd, const struct stat *st, struct buf *out)
{
	ssize_t n;

	buf_reserve(out, (size_t)st->st_size + 1);
	n = io_read(fd, out->p, (size_t)st->st_size);
	if (n < 0)
		die(EXIT_FILE, "reading %s: %m", q->file);
	out->n = (size_t)n;
	out->p[n] = '\0';
}

static void replace(const char *file, const struct stat *st, const struct buf *content)
{
	struct buf name = BUF_INIT;
	const char *slash = strrchr(file, '/');
	int fd, dir;

	buf_printf(&name, "%s.XXXXXX", file);
	fd = mkostemp(buf_cstr(&name), O_CLOEXEC);
	if (fd < 0)
		die(EXIT_FILE, "%s: %m", buf_cstr(&name));
	if (fchmod(fd, st->st_mode & 07777) != 0 ||
	    ((st->st_uid != geteuid() || st->st_gid != getegid()) &&
	        fchown(fd, st->st_uid, st->st_gid) != 0) ||
	    io_write(fd, content->p, content->n) != 0 || io_fsync(fd) != 0 || close(fd) != 0 ||
	    rename(buf_cstr(&name), file) != 0) {
		int number = errno;

		(void)unlink(buf_cstr(&name));
		errno = number;
		die(EXIT_FILE, "writing %s: %m", buf_cstr(&name));
	}
	buf_reset(&name);
	buf_add(&name, file, slash == NULL ? 0 : slash == file ? 1 : (size_t)(slash - file));
	dir = open(name.n > 0 ? buf_cstr(&name) : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || io_fsync(dir) != 0)
		die(EXIT_FILE, "syncing the folder of %s: %m", file);
	close(dir);
	buf_free(&name);
}

/* ---- arguments ---- */

static bool field_ok(const char *s, bool colon)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f || (*s == ':' && !colon))
			return false;
	return true;
}

static void check(const struct request *q)
{
	uint32_t number;
	size_t i;

	if (q->user[0] == '\0' || q->user[0] == '#' || strlen(q->user) > 255 || !field_ok(q->user, false))
		die(EXIT_DATA,
		    "the user name is empty, too long, begins with # or holds a colon or control character");
	if (strcmp(q->scheme, "crypt") != 0 && strcmp(q->scheme, "scram-sha-256") != 0 &&
	    strcmp(q->scheme, "scram-sha-1") != 0)
		die(EXIT_USAGE, "there is no scheme %s", q->scheme);
	if (q->iterations < ITERATIONS_DEFAULT || q->iterations > 10000000)
		die(EXIT_USAGE, "--iterations is 4096 to 10000000");
	for (i = UID; i < FIELDS; i++)
		if (q->set[i] != NULL && !field_ok(q->set[i], i == OPTIONS))
			die(EXIT_DATA, "a field holds a colon or a control character");
	for (i = UID; i <= GID; i++)
		if (q->set[i] != NULL && q->set[i][0] != '\0' && !str_u32(str_of(q->set[i]), &number))
			die(EXIT_DATA, "--uid and --gid are numbers");
	if ((q->set[UID] == NULL) != (q->set[GID] == NULL))
		die(EXIT_USAGE, "--uid and --gid go together");
	if (q->set[HOME] != NULL && q->set[HOME][0] != '\0' && q->set[HOME][0] != '/')
		die(EXIT_DATA, "--home is an absolute path");
}

static void arguments(int argc, char **argv, struct request *q)
{
	static const struct option longs[] = {{"scheme", required_argument, NULL, 's'},
	    {"iterations", required_argument, NULL, 'i'}, {"uid", required_argument, NULL, 'u'},
	    {"gid", required_argument, NULL, 'g'}, {"home", required_argument, NULL, 'd'},
	    {"options", required_argument, NULL, 'o'}, {"delete", no_argument, NULL, 'D'},
	    {"disable", no_argument, NULL, 'L'}, {"enable", no_argument, NULL, 'U'},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	static const struct {
		int letter;
		enum field field;
	} fields[] = {{'u', UID}, {'g', GID}, {'d', HOME}, {'o', OPTIONS}};
	int c;
	size_t i;

	while ((c = getopt_long(argc, argv, "s:i:u:g:d:o:DLUh", longs, NULL)) != -1) {
		for (i = 0; i < ARRAY_LEN(fields); i++)
			if (fields[i].letter == c)
				q->set[fields[i].field] = optarg;
		if (c == 'h')
			usage(stdout, 0);
		if (c == '?' || ((c == 'D' || c == 'L' || c == 'U') && q->job != JOB_SET))
			usage(stderr, EXIT_USAGE);
		if (c == 's')
			q->scheme = optarg;
		if (c == 'i' && !str_u32(str_of(optarg), &q->iterations))
			usage(stderr, EXIT_USAGE);
		if (c == 'D' || c == 'L' || c == 'U')
			q->job = c == 'D' ? JOB_DELETE : c == 'L' ? JOB_DISABLE : JOB_ENABLE;
	}
	if (argc - optind != 2)
		usage(stderr, EXIT_USAGE);
	q->file = argv[optind];
	q->user = argv[optind + 1];
	check(q);
}

int main(int argc, char **argv)
{
	struct request q = {.job = JOB_SET, .scheme = "crypt", .iterations = ITERATIONS_DEFAULT};
	struct buf secret = BUF_INIT, old = BUF_INIT, new = BUF_INIT;
	char *real;
	struct stat st;
	int fd;

	arguments(argc, argv, &q);
	/* Through a symbolic link the file it leads to is replaced, not the link. */
	real = realpath(q.file, NULL);
	if (real != NULL)
		q.file = real;
	if (q.job == JOB_SET)
		make_secret(&q, &secret);
	fd = open_locked(&q, &st);
	read_all(&q, fd, &st, &old);
	if (!edit(&q, buf_str(&old), buf_str(&secret), &new))
		die(EXIT_DATA, "%s: there is no user %s", q.file, q.user);
	if (new.p == NULL)
		buf_reserve(&new, 1);
	replace(q.file, &st, &new);
	if ((st.st_mode & 077) != 0)
		fprintf(stderr, "mortise-passwd: warning: %s has mode %04o; the server wants 0600\n", q.file,
		    (unsigned)(st.st_mode & 07777));
	close(fd);
	free(real);
	buf_wipe(&secret);
	buf_wipe(&old);
	buf_wipe(&new);
	return 0;
}
