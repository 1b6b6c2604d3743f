/*
 * cram-md5: the database of the UW toolkit, /etc/cram-md5.pwd: a line a user, "user TAB secret", the secret
 * in clear, since challenge-response mechanisms (CRAM-MD5, APOP, SCRAM) need it. It serves plain passwords as
 * well.
 *
 * What UW did and is kept: lines end at CR or LF; a line that begins with '#', has no TAB or nothing behind
 * it is none; all behind the first TAB is the secret; the first line of a name counts. What is not kept: the
 * file takes no password checking away from other backends by being there, a file that others may read is
 * refused, and a secret is compared in constant time. The core asks again for a name in lower case
 * (auth.lowercase_retry).
 *
 * The file is read for every question, into memory that is wiped: it is as long as a site has users that need
 * it, and no change of it can be missed.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mortise/password.h>

struct options {
	const char *path;
	uint64_t size_max;
};

static const struct mortise_option options[] = {
    MORTISE_OPTION(struct options, path, PATH, "/etc/cram-md5.pwd", .since = "0.1",
        .help = "the file of users and secrets",
        .detail = "A regular file of root or of the user who checks passwords, that nobody else may reach."),
    MORTISE_OPTION(struct options, size_max, SIZE, "1M", .min = "1k", .max = "64M", .since = "0.1",
        .help = "larger files are refused"),
};

static int check_file(struct mortise_call *call, const struct stat *st)
{
	const struct options *o = call->instance->options;

	if (!S_ISREG(st->st_mode))
		return call->host->fault(call, MORTISE_E_PERM, "%s is not a regular file", o->path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return call->host->fault(call, MORTISE_E_PERM, "%s belongs to uid %u, not to root or uid %u",
		    o->path, (unsigned)st->st_uid, (unsigned)geteuid());
	if ((st->st_mode & 077) != 0)
		return call->host->fault(call, MORTISE_E_PERM,
		    "%s has mode %04o; others must not reach it: chmod 0400", o->path,
		    (unsigned)(st->st_mode & 07777));
	if ((uint64_t)st->st_size > o->size_max)
		return call->host->fault(call, MORTISE_E_TOOBIG, "%s is larger than size_max (%llu octets)",
		    o->path, (unsigned long long)o->size_max);
	return 0;
}

/* The octets that are there now, with a NUL behind them, or NULL with the reason recorded. */
static char *read_open(struct mortise_call *call, int fd, size_t *n)
{
	const struct options *o = call->instance->options;
	struct stat st;
	char *text;
	ssize_t got = 1;

	if (fstat(fd, &st) != 0) {
		call->host->fault_errno(call, "%s", o->path);
		return NULL;
	}
	if (check_file(call, &st) != 0)
		return NULL;
	text = call->host->alloc(call, MORTISE_LIFE_SECRET, (size_t)st.st_size + 1);
	for (*n = 0; *n < (size_t)st.st_size && got != 0;) {
		got = read(fd, text + *n, (size_t)st.st_size - *n);
		if (got > 0)
			*n += (size_t)got;
		else if (got < 0 && errno != EINTR) {
			call->host->fault_errno(call, "reading %s", o->path);
			return NULL;
		}
	}
	text[*n] = '\0';
	return text;
}

static char *read_file(struct mortise_call *call, size_t *n)
{
	const struct options *o = call->instance->options;
	int fd = open(o->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text;

	if (fd < 0) {
		call->host->fault_errno(call, "%s", o->path);
		return NULL;
	}
	text = read_open(call, fd, n);
	close(fd);
	return text;
}

/*
 * The secret of a user: OK, UNKNOWN or TEMP. Every line is looked at, found or not, so that the place of a
 * name in the file does not show in the time.
 */
static int find_secret(struct mortise_call *call, const char *user, const char **secret)
{
	size_t n, user_size = strlen(user), i;
	char *text = read_file(call, &n);

	*secret = NULL;
	if (text == NULL)
		return MORTISE_AUTH_TEMP;
	for (i = 0; i < n;) {
		char *line = text + i, *tab;
		size_t length = strcspn(line, "\r\n");

		if (memchr(line, '\0', length) != NULL || line[length] == '\0')
			length = strnlen(line, n - i);
		i += length + 1;
		line[length] = '\0';
		tab = strchr(line, '\t');
		if (line[0] == '#' || tab == NULL || tab[1] == '\0')
			continue;
		if (*secret == NULL && (size_t)(tab - line) == user_size &&
		    memcmp(line, user, user_size) == 0)
			*secret = tab + 1;
	}
	return *secret != NULL ? MORTISE_AUTH_OK : MORTISE_AUTH_UNKNOWN;
}

static int cram_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	const char *secret;
	int r = find_secret(call, attempt->user, &secret);

	(void)user;
	if (r != MORTISE_AUTH_OK)
		return r;
	return strlen(secret) == attempt->password_size &&
	               call->host->equal(call, secret, attempt->password, attempt->password_size)
	           ? MORTISE_AUTH_OK
	           : MORTISE_AUTH_MISMATCH;
}

static int cram_lookup(
    struct mortise_call *call, const char *name, uint32_t credential, struct mortise_user *record)
{
	const char *secret;
	int r = find_secret(call, name, &secret);

	if (r == MORTISE_AUTH_OK && credential == MORTISE_CREDENTIAL_PLAIN) {
		record->credential_kind = credential;
		record->credential = secret;
	}
	return r;
}

static const struct mortise_password_ops ops = {.size = sizeof(ops),
    .credentials = MORTISE_CREDENTIAL_VERIFY | MORTISE_CREDENTIAL_PLAIN,
    .verify = cram_verify,
    .lookup = cram_lookup};

MORTISE_MODULE(cram_md5, .kind = MORTISE_KIND_PASSWORD, .api_major = MORTISE_PASSWORD_MAJOR,
    .api_minor = MORTISE_PASSWORD_MINOR, .name = "cram-md5", .version = "0.1",
    .summary = "the secrets of /etc/cram-md5.pwd", .licence = "Apache-2.0", .url = "https://mortise.example/",
    .options = options, .option_count = sizeof(options) / sizeof(options[0]),
    .instance_size = sizeof(struct options), .ops = &ops);
