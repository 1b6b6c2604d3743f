/*
 * exec: an external program knows the users.
 *
 * The program is started once a worker, when it is first needed, and answers questions for as long as it
 * lives: one line in, one line out, on its standard input and output; what it writes to its standard error
 * goes to the log's. The lines, for the administrator in mortise-exec(5):
 *
 *     verify user=fred password=open%20sesame service=imap remote=192.0.2.1 local=192.0.2.2 tls=yes
 *     lookup user=fred
 *
 *     ok name=fred uid=1000 gid=1000 home=/home/fred option.NAME=VALUE
 *     mismatch reason=...          also: unknown next disabled expired temp
 *
 * Words are separated by one space. In a value every octet that is not a letter, a digit or one of "-_.@/:+,"
 * is written as '%' and two hexadecimal digits, by us; the program may write any printable US-ASCII but space
 * and '%' as it is. So no user name and no password can bring a word of its own (attack-042).
 *
 * A program that does not answer in time, ends, or says what is not an answer is killed and costs this
 * attempt (TEMP); the next one starts it again. It runs as the auth worker does (auth.run_user), in a process
 * group of its own, with no descriptors but the three and an environment of PATH alone. When the worker ends
 * its standard input ends, and it should too.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mortise/password.h>

#include "../number.h"

#define WORDS_MAX 128u      /* in an answer */
#define LINE_MAX_OUT 16384u /* user, password and addresses, each octet as three, fit */

static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
static char *const environment[] = {path, NULL};

struct options {
	struct mortise_list command;
	const char *account;
	uint64_t timeout, answer_max;
};

static const struct mortise_option options[] = {
    MORTISE_OPTION(struct options, command, LIST, NULL, .flags = MORTISE_OPTION_REQUIRED, .since = "0.1",
        .help = "the program, with an absolute path, and its arguments"),
    MORTISE_OPTION(struct options, account, STRING, "", .since = "0.1",
        .help = "host account of users whose answer names none; empty: the account of the same name"),
    MORTISE_OPTION(struct options, timeout, DURATION, "10s", .min = "10ms", .max = "10m", .since = "0.1",
        .help = "time the program has for an answer; then it is killed"),
    MORTISE_OPTION(struct options, answer_max, SIZE, "16k", .min = "64", .max = "1M", .since = "0.1",
        .help = "longest answer, in octets"),
};

/* The program of this worker. */
struct program {
	pid_t pid;    /* 0: not started */
	int fd;       /* a socket: its standard input and output */
	bool greeted; /* it has answered before */
};

static struct program *program_of(struct mortise_call *call)
{
	struct mortise_instance *inst = call->instance;

	if (inst->state == NULL) {
		struct program *p = call->host->alloc(call, MORTISE_LIFE_INSTANCE, sizeof(*p));

		p->fd = -1;
		inst->state = p;
	}
	return inst->state;
}

static void stop_program(struct program *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	if (p->pid > 0) {
		kill(-p->pid, SIGKILL);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	p->pid = 0;
	p->greeted = false;
}

/* In the child, where only what is safe after fork may be called. */
static void become_program(const struct options *o, char *const *arguments, int fd)
{
	sigset_t none;
	int i;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
		_exit(126);
	close_range(3, ~0u, 0);
	execve(o->command.items[0], arguments, environment);
	_exit(127);
}

static int start_program(struct mortise_call *call, struct program *p)
{
	const struct options *o = call->instance->options;
	char **arguments =
	    call->host->alloc(call, MORTISE_LIFE_CALL, (o->command.count + 1) * sizeof(*arguments));
	int pair[2];
	size_t i;

	for (i = 0; i < o->command.count; i++)
		arguments[i] = call->host->print(call, MORTISE_LIFE_CALL, "%s", o->command.items[i]);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return call->host->fault_errno(call, "no socket for %s", o->command.items[0]);
	p->pid = fork();
	if (p->pid == 0)
		become_program(o, arguments, pair[1]);
	close(pair[1]);
	if (p->pid < 0) {
		p->pid = 0;
		close(pair[0]);
		return call->host->fault_errno(call, "%s cannot be started", o->command.items[0]);
	}
	setpgid(p->pid, p->pid); /* whoever of the two is first */
	p->fd = pair[0];
	return 0;
}

/* ---- lines ---- */

struct line {
	char *text;
	size_t n;
};

static void add_text(struct line *l, const char *text)
{
	for (; *text != '\0' && l->n < LINE_MAX_OUT; text++)
		l->text[l->n++] = *text;
}

static void add_value(struct line *l, const char *key, const char *value)
{
	static const char digits[] = "0123456789ABCDEF", plain[] = "-_.@/:+,";

	add_text(l, " ");
	add_text(l, key);
	add_text(l, "=");
	for (; *value != '\0' && l->n + 3 <= LINE_MAX_OUT; value++) {
		unsigned char c = (unsigned char)*value;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr(plain, c) != NULL) {
			l->text[l->n++] = (char)c;
		} else {
			l->text[l->n++] = '%';
			l->text[l->n++] = digits[c >> 4];
			l->text[l->n++] = digits[c & 15];
		}
	}
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; false when it is not a value: an octet that may not stand there, half an escape, a NUL. */
static bool decode(char *value)
{
	char *out = value;

	for (; *value != '\0'; value++) {
		if (*value == '%') {
			int high = hex_value(value[1]), low = high >= 0 ? hex_value(value[2]) : -1;

			if (low < 0 || (high | low) == 0)
				return false;
			*out++ = (char)(high << 4 | low);
			value += 2;
		} else if (*value > ' ' && *value < 0x7f) {
			*out++ = *value;
		} else {
			return false;
		}
	}
	*out = '\0';
	return true;
}

/* ---- one question, one answer ---- */

#define ENDED                                                                                        \
	1 /* the program had ended before it was asked; any other that is not 0 has a fault recorded \
	   */

static int send_line(struct mortise_call *call, struct program *p, const struct line *l, uint64_t deadline)
{
	size_t sent = 0;

	while (sent < l->n) {
		ssize_t n = send(p->fd, l->text + sent, l->n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0)
			sent += (size_t)n;
		else if (errno == EAGAIN && call->host->wait_fd(call, p->fd, POLLOUT, deadline) != 1)
			return call->host->fault(call, MORTISE_E_TEMP, "the program does not read");
		else if (errno == EPIPE || errno == ECONNRESET)
			return ENDED;
		else if (errno != EAGAIN && errno != EINTR)
			return call->host->fault_errno(call, "writing to the program");
	}
	return 0;
}

/* The answer without its line feed; what stands behind one makes it none. */
static int read_line(struct mortise_call *call, struct program *p, uint64_t deadline, char **out)
{
	const struct options *o = call->instance->options;
	char *text = call->host->alloc(call, MORTISE_LIFE_SECRET, o->answer_max + 1);
	size_t got = 0;

	while (got == 0 || text[got - 1] != '\n') {
		ssize_t n;

		if (got >= o->answer_max)
			return call->host->fault(
			    call, MORTISE_E_TEMP, "the answer is longer than answer_max");
		if (call->host->wait_fd(call, p->fd, POLLIN, deadline) != 1)
			return call->host->fault(call, MORTISE_E_TEMP, "the program does not answer");
		n = recv(p->fd, text + got, o->answer_max - got, MSG_DONTWAIT);
		if ((n == 0 || (n < 0 && errno == ECONNRESET)) && got == 0)
			return ENDED;
		if (n == 0)
			return call->host->fault(call, MORTISE_E_TEMP, "the program has ended in its answer");
		if (n > 0)
			got += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return call->host->fault_errno(call, "reading from the program");
	}
	text[got - 1] = '\0';
	if (strlen(text) != got - 1 || strchr(text, '\n') != NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "the answer is more than one line of text");
	*out = text;
	return 0;
}

static const struct {
	const char *word;
	int result;
} results[] = {{"ok", MORTISE_AUTH_OK}, {"mismatch", MORTISE_AUTH_MISMATCH},
    {"unknown", MORTISE_AUTH_UNKNOWN}, {"next", MORTISE_AUTH_NEXT}, {"disabled", MORTISE_AUTH_DISABLED},
    {"expired", MORTISE_AUTH_EXPIRED}, {"temp", MORTISE_AUTH_TEMP}};

/* What an answer says, word by word. */
struct answer {
	int result;
	const char *name, *account, *home, *uid, *gid, *reason;
	const char **options;
	size_t option_count;
};

static const struct {
	const char *key;
	size_t offset;
} keys[] = {{"name", offsetof(struct answer, name)}, {"account", offsetof(struct answer, account)},
    {"home", offsetof(struct answer, home)}, {"uid", offsetof(struct answer, uid)},
    {"gid", offsetof(struct answer, gid)}, {"reason", offsetof(struct answer, reason)}};

static bool take_word(struct answer *a, char *word)
{
	char *value = strchr(word, '=');
	size_t i;

	if (value == NULL)
		return false;
	*value++ = '\0';
	if (!decode(value))
		return false;
	if (strncmp(word, "option.", 7) == 0 && word[7] != '\0' && a->option_count < WORDS_MAX) {
		value[-1] = '=';
		a->options[a->option_count++] = word + 7;
		return true;
	}
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(word, keys[i].key) == 0) {
			const char **field = (const char **)(void *)((char *)a + keys[i].offset);

			if (*field != NULL)
				return false;
			*field = value;
			return true;
		}
	return false;
}

/* Whether the text is an answer. */
static bool take_answer(struct mortise_call *call, char *text, struct answer *a)
{
	char *rest = text, *word = strsep(&rest, " ");
	size_t i;

	memset(a, 0, sizeof(*a));
	a->options = call->host->alloc(call, MORTISE_LIFE_CALL, WORDS_MAX * sizeof(*a->options));
	for (i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		if (strcmp(word, results[i].word) == 0)
			a->result = results[i].result;
	if (a->result == 0 && strcmp(word, "ok") != 0)
		return false;
	for (i = 0; rest != NULL; i++) {
		word = strsep(&rest, " ");
		if (i == WORDS_MAX || !take_word(a, word))
			return false;
	}
	return true;
}

/* False: uid and gid are not two numbers. */
static bool fill_record(struct mortise_call *call, const struct answer *a, struct mortise_user *user)
{
	const struct options *o = call->instance->options;

	user->name = a->name;
	user->home = a->home;
	user->account = a->account;
	user->options = a->options;
	user->option_count = a->option_count;
	user->has_ids = a->uid != NULL;
	if ((a->uid != NULL) != (a->gid != NULL))
		return false;
	if (a->uid != NULL)
		return number_of(a->uid, &user->uid) && number_of(a->gid, &user->gid);
	if (a->account == NULL && o->account[0] != '\0')
		user->account = o->account;
	return true;
}

/* 0, ENDED, or another code; *result is MORTISE_AUTH_… then. */
static int converse(struct mortise_call *call, struct program *p, const struct line *question,
    uint64_t deadline, struct mortise_user *user, int *result)
{
	struct answer a;
	char *text = NULL;
	int r = send_line(call, p, question, deadline);

	if (r == 0)
		r = read_line(call, p, deadline, &text);
	if (r != 0)
		return r;
	if (!take_answer(call, text, &a) || (a.result == MORTISE_AUTH_OK && !fill_record(call, &a, user)))
		return call->host->fault(
		    call, MORTISE_E_TEMP, "the program's answer is not one of mortise-exec(5)");
	if (a.reason != NULL)
		call->host->fault(call, MORTISE_E_PERM, "%s", a.reason);
	*result = a.result;
	p->greeted = true;
	return 0;
}

static int ask(struct mortise_call *call, struct line *question, struct mortise_user *user)
{
	const struct options *o = call->instance->options;
	struct program *p = program_of(call);
	uint64_t deadline = call->host->now(call) + o->timeout, limit = call->host->deadline(call);
	int result = MORTISE_AUTH_TEMP, r;
	bool before;

	if (limit != 0 && deadline > limit)
		deadline = limit;
	if (question->n >= LINE_MAX_OUT) {
		call->host->fault(call, MORTISE_E_TOOBIG, "the question is too long");
		return MORTISE_AUTH_MISMATCH;
	}
	question->text[question->n++] = '\n';
	/* One that has ended since its last answer costs nobody an attempt: the question goes to a new one.
	 */
	do {
		before = p->greeted;
		if (p->pid == 0 && start_program(call, p) != 0)
			return MORTISE_AUTH_TEMP;
		r = converse(call, p, question, deadline, user, &result);
		if (r != 0)
			stop_program(p);
	} while (r == ENDED && before);
	if (r == ENDED)
		call->host->fault(call, MORTISE_E_TEMP, "the program has ended");
	return result;
}

static struct line begin(struct mortise_call *call, const char *what, const char *user)
{
	struct line l = {.text = call->host->alloc(call, MORTISE_LIFE_SECRET, LINE_MAX_OUT + 1)};

	add_text(&l, what);
	add_value(&l, "user", user);
	return l;
}

static int exec_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	struct line l = begin(call, "verify", attempt->user);

	add_value(&l, "password", attempt->password);
	add_value(&l, "service", attempt->service);
	add_value(&l, "remote", attempt->remote);
	add_value(&l, "local", attempt->local);
	add_value(&l, "tls", attempt->tls ? "yes" : "no");
	return ask(call, &l, user);
}

static int exec_lookup(
    struct mortise_call *call, const char *name, uint32_t credential, struct mortise_user *record)
{
	struct line l = begin(call, "lookup", name);

	return credential == 0 ? ask(call, &l, record) : MORTISE_AUTH_NEXT;
}

static int exec_check(struct mortise_call *call, struct mortise_instance *inst)
{
	const struct options *o = inst->options;

	if (o->command.count == 0 || o->command.items[0][0] != '/')
		return call->host->fail(call, MORTISE_E_INVALID, "command must begin with an absolute path");
	if (access(o->command.items[0], X_OK) != 0)
		return call->host->fail(
		    call, MORTISE_E_INVALID, "command: %s cannot be run", o->command.items[0]);
	return 0;
}

static void exec_stop(struct mortise_call *call, struct mortise_instance *inst)
{
	(void)call;
	if (inst->state != NULL)
		stop_program(inst->state);
}

static const struct mortise_lifecycle lifecycle = {
    .size = sizeof(lifecycle), .check = exec_check, .stop = exec_stop};

static const struct mortise_password_ops ops = {.size = sizeof(ops),
    .credentials = MORTISE_CREDENTIAL_VERIFY,
    .verify = exec_verify,
    .lookup = exec_lookup};

MORTISE_MODULE(exec, .kind = MORTISE_KIND_PASSWORD, .api_major = MORTISE_PASSWORD_MAJOR,
    .api_minor = MORTISE_PASSWORD_MINOR, .name = "exec", .version = "0.1",
    .summary = "asks an external program", .licence = "Apache-2.0", .url = "https://mortise.example/",
    .options = options, .option_count = sizeof(options) / sizeof(options[0]),
    .instance_size = sizeof(struct options), .lifecycle = &lifecycle, .ops = &ops);
