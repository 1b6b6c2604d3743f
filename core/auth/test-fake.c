#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth/test-fake.h"
#include "auth/work.h"

struct instance *fake_passwords[4], *fake_sasl[4];
size_t fake_password_count, fake_sasl_count;
int fake_start_exits;
int fake_own_sockets[FAKE_OWN_MAX];
size_t fake_own_count;

/* ---- the registry ---- */

struct instance *const *registry_instances(const struct registry *g, uint32_t kind, size_t *count)
{
	(void)g;
	*count = kind == MORTISE_KIND_PASSWORD ? fake_password_count : fake_sasl_count;
	return kind == MORTISE_KIND_PASSWORD ? fake_passwords : fake_sasl;
}

void registry_start(struct registry *g, uint32_t kind)
{
	size_t i;

	(void)g;
	if (kind != MORTISE_KIND_PASSWORD)
		return;
	if (fake_start_exits)
		_exit(3);
	for (i = 0; i < fake_own_count && i < FAKE_OWN_MAX; i++)
		(void)close(fake_own_sockets[i]);
}

void registry_stop(struct registry *g, uint32_t kind)
{
	(void)g;
	(void)kind;
}

/* ---- the backend ---- */

static void pause_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	(void)nanosleep(&t, NULL);
}

static int worker_socket(int *count)
{
	int fd, found = -1;

	*count = 0;
	for (fd = 0; fd < 256; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
			found = fd;
			++*count;
		}
	}
	return found;
}

static void write_to_parent(const struct buf *b)
{
	int count, fd = worker_socket(&count);

	if (send(fd, b->p != NULL ? b->p : "", b->n, MSG_NOSIGNAL) < 0)
		_exit(9);
}

static void done_message(struct buf *b, uint64_t id, uint32_t uid)
{
	const struct auth_identity i = {.user = "victim", .uid = uid, .gid = 2000, .home = "/home/victim"};

	pack_start(b, WORK_DONE);
	pack_u64(b, id);
	pack_str(b, STR_NONE);
	pack_cstr(b, "victim");
	pack_cstr(b, "because I say so");
	work_pack_ids(b, &i);
	work_pack_options(b, &i);
}

static void misbehave(const char *what)
{
	struct buf b = BUF_INIT;
	uint64_t id;

	if (strcmp(what, "garbage") == 0)
		buf_adds(&b, "once upon a time");
	if (strcmp(what, "short") == 0)
		buf_addc(&b, 1);
	if (strcmp(what, "double") == 0)
		for (id = 1; id < 40; id++) {
			/* A challenge nobody asked for, then the real answer comes behind it. */
			pack_start(&b, WORK_READY);
		}
	if (strcmp(what, "lie") == 0)
		done_message(&b, 999999, 2000); /* a conversation that is not this worker's */
	write_to_parent(&b);
	buf_free(&b);
}

/* The right conversation (a fresh pool counts from 1), an identity that may not be. */
static void lie_root(void)
{
	struct buf b = BUF_INIT;

	done_message(&b, 1, 0);
	write_to_parent(&b);
	buf_free(&b);
	pause_ms(5000);
}

static void grant(struct mortise_call *call, const char *name, struct mortise_user *user)
{
	const char **options = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof(char *));

	options[0] = call->host->print(call, MORTISE_LIFE_CALL, "pid=%d", (int)getpid());
	user->has_ids = true;
	user->uid = user->gid = 2000;
	user->group_count = 1;
	user->groups[0] = 3000;
	user->home = "/home/x";
	user->options = options;
	user->option_count = 1;
	if (strcmp(name, "root") == 0)
		user->uid = 0;
	if (strcmp(name, "low") == 0)
		user->uid = 20;
	if (strcmp(name, "gid0") == 0)
		user->gid = 0;
	if (strcmp(name, "nohome") == 0)
		user->home = NULL;
	if (strcmp(name, "baduser") == 0)
		user->name = "new\nline";
	if (strcmp(name, "spelled") == 0)
		user->name = "Spelled.Right";
}

static const struct {
	const char *name;
	int result;
} answers[] = {{"unknown", MORTISE_AUTH_UNKNOWN}, {"disabled", MORTISE_AUTH_DISABLED},
    {"expired", MORTISE_AUTH_EXPIRED}, {"temp", MORTISE_AUTH_TEMP}, {"next", MORTISE_AUTH_NEXT},
    {"odd", 12345}, {"negative", MORTISE_E_IO}, {"internal", MORTISE_AUTH_INTERNAL}};

static void fall(const char *name)
{
	volatile int *nowhere = NULL;

	if (strcmp(name, "crash") == 0) {
		(void)signal(SIGSEGV, SIG_DFL);
		*nowhere = 1;
	}
	if (strcmp(name, "abort") == 0)
		abort();
	if (strcmp(name, "exit") == 0)
		exit(0);
	if (strcmp(name, "killed") == 0)
		raise(SIGKILL);
	if (strcmp(name, "stopped") == 0)
		raise(SIGSTOP);
	while (strcmp(name, "hang") == 0)
		pause_ms(1000);
	if (strcmp(name, "fork") == 0 && fork() < 0)
		_exit(9);
	/* A child that stays behind and holds the worker's socket open. */
	if (strcmp(name, "orphan") == 0) {
		if (fork() == 0)
			for (;;)
				pause_ms(1000);
		_exit(0);
	}
	if (strcmp(name, "print") == 0) {
		printf("not ok 99 - a module printed this\n");
		fflush(stdout);
	}
}

static int fake_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	const char *name = attempt->user;
	size_t i;
	int count;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (strcmp(name, answers[i].name) == 0)
			return answers[i].result;
	fall(name);
	if (strcmp(name, "garbage") == 0 || strcmp(name, "short") == 0 || strcmp(name, "lie") == 0 ||
	    strcmp(name, "double") == 0)
		misbehave(name);
	if (strcmp(name, "lie-root") == 0)
		lie_root();
	if (strcmp(name, "slow") == 0)
		pause_ms(200);
	if (strcmp(name, "sockets") == 0 && (worker_socket(&count) < 0 || count != 1))
		return MORTISE_AUTH_TEMP;
	if (strcmp(attempt->password, "right") != 0)
		return MORTISE_AUTH_MISMATCH;
	grant(call, name, user);
	return MORTISE_AUTH_OK;
}

static int fake_lookup(
    struct mortise_call *call, const char *name, uint32_t credential, struct mortise_user *record)
{
	size_t i;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (strcmp(name, answers[i].name) == 0)
			return answers[i].result;
	grant(call, name, record);
	if (credential != 0 && strcmp(name, "nocred") != 0) {
		record->credential_kind = credential;
		record->credential = "secret";
	}
	return MORTISE_AUTH_OK;
}

static const struct mortise_password_ops password_ops = {.size = sizeof(password_ops),
    .credentials = MORTISE_CREDENTIAL_VERIFY | MORTISE_CREDENTIAL_PLAIN,
    .verify = fake_verify,
    .lookup = fake_lookup};

const struct mortise_module fake_password_module = {MORTISE_MODULE_HEAD, .kind = MORTISE_KIND_PASSWORD,
    .api_major = MORTISE_PASSWORD_MAJOR, .api_minor = MORTISE_PASSWORD_MINOR, .name = "fake", .version = "1",
    .summary = "misbehaves", .licence = "Apache-2.0", .url = "", .ops = &password_ops};

/* Knows "unknown" and "next" only, to see when the second backend is asked. */
static int second_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	if (strcmp(attempt->user, "unknown") != 0 && strcmp(attempt->user, "next") != 0)
		return MORTISE_AUTH_UNKNOWN;
	grant(call, attempt->user, user);
	return MORTISE_AUTH_OK;
}

static const struct mortise_password_ops second_ops = {
    .size = sizeof(second_ops), .credentials = MORTISE_CREDENTIAL_VERIFY, .verify = second_verify};

const struct mortise_module fake_second_module = {MORTISE_MODULE_HEAD, .kind = MORTISE_KIND_PASSWORD,
    .api_major = MORTISE_PASSWORD_MAJOR, .api_minor = MORTISE_PASSWORD_MINOR, .name = "second",
    .version = "1", .summary = "second", .licence = "Apache-2.0", .url = "", .ops = &second_ops};

/* ---- the mechanisms ---- */

static const struct mortise_mechanism mechanisms[] = {
    {"PLAIN", MORTISE_MECHANISM_PLAINTEXT | MORTISE_MECHANISM_CLIENT_FIRST, MORTISE_CREDENTIAL_VERIFY},
    {"LOGIN", MORTISE_MECHANISM_PLAINTEXT, MORTISE_CREDENTIAL_VERIFY}, {"TWICE", 0, MORTISE_CREDENTIAL_PLAIN},
    {"CLAIM", 0, MORTISE_CREDENTIAL_VERIFY}, {"SAYS", 0, 0}, {"ODD", 0, 0},
    {"SCRAMMED", 0, MORTISE_CREDENTIAL_SCRAM_SHA256}, {NULL, 0, 0}};

static char *copy_octets(struct mortise_call *call, const char *p, size_t n)
{
	char *copy = call->host->alloc(call, MORTISE_LIFE_BOX, n + 1);

	memcpy(copy, p, n);
	return copy;
}

static int check(struct mortise_call *call, struct mortise_conversation *conv, const char *user,
    const char *password, size_t size)
{
	conv->authentication = copy_octets(call, user, strlen(user));
	/* As libraries do: yes or no. The core must remember what was behind a "no". */
	return conv->verify(conv, call, user, password, size) == MORTISE_AUTH_OK ? MORTISE_SASL_DONE
	                                                                         : MORTISE_SASL_FAIL;
}

static int say(struct mortise_octets *out, const char *text)
{
	*out = (struct mortise_octets){text, strlen(text)};
	return MORTISE_SASL_CONTINUE;
}

static int fake_step(struct mortise_call *call, struct mortise_conversation *conv, struct mortise_octets in,
    struct mortise_octets *out)
{
	const char *mechanism = conv->mechanism, *text, *nul;

	text = copy_octets(call, in.data != NULL ? in.data : "", in.size);
	nul = memchr(text, '\0', in.size);
	if (strcmp(mechanism, "PLAIN") == 0)
		return nul == NULL ? MORTISE_SASL_BAD
		                   : check(call, conv, text, nul + 1, in.size - (size_t)(nul + 1 - text));
	if (strcmp(mechanism, "LOGIN") == 0 && conv->state == NULL) {
		conv->state = (void *)(uintptr_t)text;
		return say(out, "Password:");
	}
	if (strcmp(mechanism, "LOGIN") == 0)
		return check(call, conv, conv->state, text, in.size);
	if (strcmp(mechanism, "TWICE") == 0) {
		const char *secret;

		return conv->credential(conv, call, text, MORTISE_CREDENTIAL_PLAIN, &secret) ==
		                   MORTISE_AUTH_OK &&
		               strcmp(secret, "secret") == 0
		           ? MORTISE_SASL_FAIL
		           : MORTISE_SASL_BAD;
	}
	if (strcmp(mechanism, "CLAIM") == 0) {
		int r = check(call, conv, "ok", text, in.size);

		conv->authentication = "other";
		return r;
	}
	if (strcmp(mechanism, "SAYS") == 0) {
		conv->authentication = text[0] != '\0' ? text : NULL;
		conv->authorisation = nul != NULL ? nul + 1 : NULL;
		*out = (struct mortise_octets){"last words", 10};
		return MORTISE_SASL_DONE;
	}
	return 777;
}

static int fake_start(struct mortise_call *call, struct mortise_conversation *conv, struct mortise_octets in,
    struct mortise_octets *out)
{
	if (in.data != NULL)
		return fake_step(call, conv, in, out);
	return say(out, strcmp(conv->mechanism, "LOGIN") == 0 ? "Username:" : "");
}

static void fake_dispose(struct mortise_call *call, struct mortise_conversation *conv)
{
	(void)call;
	conv->state = NULL;
}

static const struct mortise_sasl_ops sasl_ops = {.size = sizeof(sasl_ops),
    .mechanisms = mechanisms,
    .start = fake_start,
    .step = fake_step,
    .dispose = fake_dispose};

const struct mortise_module fake_sasl_module = {MORTISE_MODULE_HEAD, .kind = MORTISE_KIND_SASL,
    .api_major = MORTISE_SASL_MAJOR, .api_minor = MORTISE_SASL_MINOR, .name = "fakesasl", .version = "1",
    .summary = "mechanisms for tests", .licence = "Apache-2.0", .url = "", .ops = &sasl_ops};
