/*
 * cclient-dump.c: what the real c-client library makes of a mailbox.
 *
 *     cclient-dump MAILBOX                      dump, opened read-only
 *     cclient-dump MAILBOX COMMAND...           opened read-write; one after another:
 *         dump                                  as above
 *         set UIDS FLAGS | clear UIDS FLAGS     e.g. set 1:3,7 '\Seen MyKey'
 *         append FILE FLAGS DATE                FILE with CRLF lines; DATE as in IMAP, or ""
 *         expunge | check | ping
 *         hold                                  prints "holding", waits for a line (or the end) of standard
 * input cclient-dump MAILBOX create
 *
 * A dump is
 *     UIDVALIDITY n
 *     UIDNEXT n
 *     KEYWORDS a b
 *     uid n flags "\Seen a" size octets date "…" digest SHA256-of-header-and-text
 * MAILBOX is a path; its folder becomes the home directory, since c-client refuses others to some users. Root
 * becomes the folder's owner first; c-client serves no root. Exit status 1: c-client said an error, on
 * standard error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wundef"
#include <c-client/c-client.h>
/* It names drivers by macros of its own. */
#undef unix
#include <c-client/linkage.h>
#pragma GCC diagnostic pop

static int failed;

static void say(const char *text, long level)
{
	fprintf(stderr, "%s: %s\n", level == ERROR ? "error" : level == WARN ? "warning" : "note", text);
	if (level == ERROR)
		failed = 1;
}

/* ---- what the library calls ---- */
void mm_searched(MAILSTREAM *stream, unsigned long number)
{
	(void)stream;
	(void)number;
}
void mm_exists(MAILSTREAM *stream, unsigned long number)
{
	(void)stream;
	(void)number;
}
void mm_expunged(MAILSTREAM *stream, unsigned long number)
{
	(void)stream;
	(void)number;
}
void mm_flags(MAILSTREAM *stream, unsigned long number)
{
	(void)stream;
	(void)number;
}
void mm_notify(MAILSTREAM *stream, char *text, long level)
{
	(void)stream;
	say(text, level);
}
void mm_list(MAILSTREAM *stream, int delimiter, char *name, long attributes)
{
	(void)stream;
	(void)delimiter;
	(void)name;
	(void)attributes;
}
void mm_lsub(MAILSTREAM *stream, int delimiter, char *name, long attributes)
{
	mm_list(stream, delimiter, name, attributes);
}
void mm_status(MAILSTREAM *stream, char *mailbox, MAILSTATUS *status)
{
	(void)stream;
	(void)mailbox;
	(void)status;
}
void mm_log(char *text, long level)
{
	if (level != NIL)
		say(text, level);
}
void mm_dlog(char *text)
{
	(void)text;
}
void mm_login(NETMBX *box, char *user, char *password, long trial)
{
	(void)box;
	(void)trial;
	user[0] = password[0] = '\0';
}
void mm_critical(MAILSTREAM *stream)
{
	(void)stream;
}
void mm_nocritical(MAILSTREAM *stream)
{
	(void)stream;
}
long mm_diskerror(MAILSTREAM *stream, long code, long serious)
{
	(void)stream;
	(void)serious;
	fprintf(stderr, "error: disk: %s\n", strerror((int)code));
	failed = 1;
	return T;
}
void mm_fatal(char *text)
{
	say(text, ERROR);
}

/* ---- commands ---- */
static const struct {
	const char *name;
	size_t offset;
} system_flags[] = {{"\\Seen", 0}, {"\\Deleted", 1}, {"\\Flagged", 2}, {"\\Answered", 3}, {"\\Draft", 4}};

static int has_flag(const MESSAGECACHE *m, size_t i)
{
	switch (i) {
	case 0:
		return m->seen;
	case 1:
		return m->deleted;
	case 2:
		return m->flagged;
	case 3:
		return m->answered;
	default:
		return m->draft;
	}
}

static void print_flags(MAILSTREAM *stream, const MESSAGECACHE *m)
{
	const char *space = "";

	printf("flags \"");
	for (size_t i = 0; i < sizeof system_flags / sizeof *system_flags; i++)
		if (has_flag(m, i)) {
			printf("%s%s", space, system_flags[i].name);
			space = " ";
		}
	for (int i = 0; i < NUSERFLAGS; i++)
		if ((m->user_flags >> i & 1) != 0 && stream->user_flags[i] != NULL) {
			printf("%s%s", space, stream->user_flags[i]);
			space = " ";
		}
	printf("\"");
}

static void print_digest(MAILSTREAM *stream, unsigned long number)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	unsigned long length;
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	char *text;

	EVP_DigestInit_ex(c, EVP_sha256(), NULL);
	text = mail_fetch_header(stream, number, NIL, NIL, &length, FT_PEEK);
	EVP_DigestUpdate(c, text, length);
	text = mail_fetch_text(stream, number, NIL, &length, FT_PEEK);
	EVP_DigestUpdate(c, text, length);
	EVP_DigestFinal_ex(c, digest, &size);
	EVP_MD_CTX_free(c);
	printf("digest ");
	for (unsigned i = 0; i < size; i++)
		printf("%02x", digest[i]);
}

static void dump(MAILSTREAM *stream)
{
	printf("UIDVALIDITY %lu\nUIDNEXT %lu\nKEYWORDS", stream->uid_validity, stream->uid_last + 1);
	for (int i = 0; i < NUSERFLAGS; i++)
		if (stream->user_flags[i] != NULL)
			printf(" %s", stream->user_flags[i]);
	printf("\n");
	for (unsigned long i = 1; i <= stream->nmsgs; i++) {
		MESSAGECACHE *m;
		char date[MAILTMPLEN];

		mail_fetch_fast(stream, (char *)"1:*", NIL);
		m = mail_elt(stream, i);
		mail_date(date, m);
		printf("uid %lu ", mail_uid(stream, i));
		print_flags(stream, m);
		printf(" size %lu date \"%s\" ", m->rfc822_size, date);
		print_digest(stream, i);
		printf("\n");
	}
	fflush(stdout);
}

static char *read_file(const char *name, size_t *size)
{
	FILE *f = fopen(name, "rb");
	char *p;
	long n;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0) {
		perror(name);
		exit(1);
	}
	rewind(f);
	p = malloc((size_t)n + 1);
	*size = fread(p, 1, (size_t)n, f);
	p[*size] = '\0';
	fclose(f);
	return p;
}

static void append(MAILSTREAM *stream, char *mailbox, const char *file, char *flags, char *date)
{
	STRING text;
	size_t size;
	char *data = read_file(file, &size);

	INIT(&text, mail_string, data, size);
	if (!mail_append_full(stream, mailbox, flags, *date != '\0' ? date : NIL, &text))
		failed = 1;
	free(data);
}

static void hold(void)
{
	char line[80];

	printf("holding\n");
	fflush(stdout);
	if (fgets(line, sizeof line, stdin) == NULL)
		return;
}

/* One command at argv; how many words it took. */
static int command(MAILSTREAM *stream, char *mailbox, int argc, char **argv)
{
	if (strcmp(argv[0], "dump") == 0) {
		dump(stream);
		return 1;
	}
	if (strcmp(argv[0], "expunge") == 0) {
		mail_expunge(stream);
		return 1;
	}
	if (strcmp(argv[0], "check") == 0) {
		mail_check(stream);
		return 1;
	}
	if (strcmp(argv[0], "ping") == 0) {
		mail_ping(stream);
		return 1;
	}
	if (strcmp(argv[0], "hold") == 0) {
		hold();
		return 1;
	}
	if (strcmp(argv[0], "set") == 0 && argc >= 3) {
		mail_flag(stream, argv[1], argv[2], ST_UID | ST_SET);
		return 3;
	}
	if (strcmp(argv[0], "clear") == 0 && argc >= 3) {
		mail_flag(stream, argv[1], argv[2], ST_UID);
		return 3;
	}
	if (strcmp(argv[0], "append") == 0 && argc >= 4) {
		append(stream, mailbox, argv[1], argv[2], argv[3]);
		mail_ping(stream);
		return 4;
	}
	fprintf(stderr, "error: unknown command %s\n", argv[0]);
	exit(2);
}

/* Goes to live in the mailbox's folder; its name there. */
static char *settle(char *path)
{
	char *slash = strrchr(path, '/');
	struct stat st;

	if (slash == NULL)
		return path;
	*slash = '\0';
	if (stat(path, &st) != 0) {
		perror(path);
		exit(1);
	}
	if (geteuid() == 0 && st.st_uid != 0 &&
	    (setgroups(0, NULL) != 0 || setgid(st.st_gid) != 0 || setuid(st.st_uid) != 0)) {
		perror("setuid");
		exit(1);
	}
	setenv("HOME", path, 1);
	return slash + 1;
}

int main(int argc, char **argv)
{
	MAILSTREAM *stream;
	char *name;

	if (argc < 2) {
		fprintf(stderr, "usage: cclient-dump MAILBOX [COMMAND...]\n");
		return 2;
	}
	name = settle(argv[1]);
#include <c-client/linkage.c>
	if (argc == 3 && strcmp(argv[2], "create") == 0)
		return mail_create(NIL, name) ? failed : 1;
	stream = mail_open(NIL, name, argc == 2 ? OP_READONLY : NIL);
	if (stream == NULL)
		return 1;
	if (argc > 2 && stream->rdonly) {
		fprintf(stderr, "error: only read-only\n");
		failed = 1;
	}
	if (argc == 2)
		dump(stream);
	for (int i = 2; i < argc;)
		i += command(stream, name, argc - i, argv + i);
	mail_close(stream);
	return failed;
}
