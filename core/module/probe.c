/*
 * probe.c: a child that dies in our place.
 *
 * The child loads the module and does with it whatever the caller asks; what it has to say it sends as
 * datagrams. The parent believes them only as text. A crash, an exit, a hang, output on the terminal: each
 * becomes a sentence that says what the module was being asked for at that moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/pack.h"
#include "module/module_int.h"
#include "base/banned.h"

#define OUTPUT_MAX 400u

enum { SAY_STEP = 1, SAY_REFUSED, SAY_MORE, SAY_DONE };

/* In the child: where to report to. */
static int report_fd = -1;

static void send_report(struct buf *b)
{
	if (report_fd >= 0)
		(void)io_send(report_fd, b->p, b->n, NULL, 0);
	buf_free(b);
}

void module_step(const char *what)
{
	struct buf b = BUF_INIT;

	if (report_fd < 0)
		return;
	pack_start(&b, SAY_STEP);
	pack_cstr(&b, what);
	send_report(&b);
}

void probe_tell(struct str octets)
{
	while (octets.n > 0) {
		struct str piece = str_sub(octets, 0, PACK_MAX / 2);
		struct buf b = BUF_INIT;

		pack_start(&b, SAY_MORE);
		pack_str(&b, piece);
		send_report(&b);
		octets = str_from(octets, piece.n);
	}
}

static _Noreturn void run_child(int sock, int out, probe_fn *work, void *arg)
{
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTERM, SIGCHLD};
	const struct rlimit none = {0, 0};
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setrlimit(RLIMIT_CORE, &none);
	for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
		signal(crashes[i], SIG_DFL);
	if (null >= 0)
		(void)dup2(null, 0);
	(void)dup2(out, 1);
	(void)dup2(out, 2);
	report_fd = sock;
	if (work(arg, &e) != 0) {
		pack_start(&b, SAY_REFUSED);
		pack_u32(&b, (uint32_t)-e.code);
		pack_cstr(&b, e.admin);
	} else {
		pack_start(&b, SAY_DONE);
	}
	send_report(&b);
	_exit(0);
}

/* ---- the parent ---- */

struct watch {
	pid_t pid;
	int sock, out;
	uint64_t deadline;
	bool done, refused, late;
	char step[80];
	struct buf output;
	struct buf *told;
	struct err *err;
};

static void hear(struct watch *w, const char *p, size_t n)
{
	struct unpack u;
	uint16_t type = unpack_start(&u, p, n);
	struct str text;
	uint32_t code;

	switch (type) {
	case SAY_STEP:
		text = unpack_str(&u);
		snprintf(w->step, sizeof(w->step), "%.*s", (int)(text.n < 70 ? text.n : 70),
		    text.p != NULL ? text.p : "");
		break;
	case SAY_MORE:
		text = unpack_str(&u);
		if (!u.bad && w->told != NULL)
			buf_addstr(w->told, text);
		break;
	case SAY_REFUSED:
		code = unpack_u32(&u);
		text = unpack_str(&u);
		if (unpack_done(&u))
			err_fault(w->err, module_known_code(code < 1000 ? -(int)code : 0), "%.*s",
			    (int)(text.n < 470 ? text.n : 470), text.p != NULL ? text.p : "");
		w->refused = true;
		break;
	case SAY_DONE:
		w->done = true;
		break;
	default:
		break;
	}
}

static void listen_to(struct watch *w)
{
	static char datagram[PACK_MAX];

	while (!w->done && !w->refused) {
		struct pollfd p[2] = {{.fd = w->sock, .events = POLLIN}, {.fd = w->out, .events = POLLIN}};
		uint64_t now = clock_ms();
		char text[512];
		ssize_t n;

		if (now >= w->deadline) {
			w->late = true;
			return;
		}
		if (poll(p, 2, (int)(w->deadline - now < 60000 ? w->deadline - now : 60000)) < 0 &&
		    errno != EINTR)
			return;
		if (p[1].revents != 0) {
			n = read(w->out, text, sizeof(text));
			if (n > 0)
				buf_add(&w->output, text, (size_t)n);
			else if (n == 0 || (errno != EINTR && errno != EAGAIN))
				io_close(&w->out);
		}
		if (p[0].revents != 0) {
			n = io_recv(w->sock, datagram, sizeof(datagram), NULL, NULL);
			if (n <= 0)
				return;
			hear(w, datagram, (size_t)n);
		}
	}
}

/* The status, or -1 when it had to be killed (w->late) or is not to be had. */
static int reap(struct watch *w)
{
	int status = -1;
	pid_t r = 0;

	/* It says nothing more: give it until the deadline to end by itself. */
	while (!w->late && (r = waitpid(w->pid, &status, WNOHANG)) == 0) {
		(void)io_wait(-1, 0, clock_ms() + 2);
		w->late = clock_ms() >= w->deadline;
	}
	/* It, and whatever it has started. */
	(void)kill(-w->pid, SIGKILL);
	if (!w->late)
		return r == w->pid ? status : -1;
	(void)kill(w->pid, SIGKILL);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	return -1;
}

/* What it wrote and nobody has read yet. */
static void drain(struct watch *w)
{
	char text[512];
	ssize_t n;

	if (w->out < 0 || io_nonblock(w->out, 1) != 0)
		return;
	while (!w->output.overflow && (n = read(w->out, text, sizeof(text))) > 0)
		buf_add(&w->output, text, (size_t)n);
}

static int judge(struct watch *w, int status, const char *subject, uint64_t timeout)
{
	const char *step = w->step[0] != '\0' ? w->step : "starting";

	if (w->refused)
		return w->err->code;
	if (w->done && !w->late)
		return 0;
	if (w->late)
		return err_fault(w->err, MORTISE_E_UNAVAILABLE, "%s hung while %s: killed after %llu ms",
		    subject, step, (unsigned long long)timeout);
	if (status >= 0 && WIFSIGNALED(status))
		return err_fault(w->err, MORTISE_E_UNAVAILABLE, "%s crashed while %s: signal %d (%s)",
		    subject, step, WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (status >= 0 && WIFEXITED(status))
		return err_fault(w->err, MORTISE_E_UNAVAILABLE,
		    "%s ended the process while %s: exit(%d), which a module may not call", subject, step,
		    WEXITSTATUS(status));
	return err_fault(w->err, MORTISE_E_UNAVAILABLE, "%s was lost while %s", subject, step);
}

int probe_run(const struct module_options *o, const char *subject, probe_fn *work, void *arg,
    struct buf *told, struct buf *output, struct err *e)
{
	struct watch w = {.deadline = clock_ms() + o->probe_timeout,
	    .told = told,
	    .err = e,
	    .output = {.limit = OUTPUT_MAX}};
	int sock[2], out[2], status, r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) != 0)
		return err_errno(e, "socketpair");
	if (pipe2(out, O_CLOEXEC) != 0) {
		r = err_errno(e, "pipe");
		close(sock[0]);
		close(sock[1]);
		return r;
	}
	fflush(NULL);
	w.pid = fork();
	if (w.pid == 0)
		run_child(sock[1], out[1], work, arg);
	close(sock[1]);
	close(out[1]);
	w.sock = sock[0];
	w.out = out[0];
	if (w.pid < 0) {
		r = err_errno(e, "fork");
	} else {
		listen_to(&w);
		status = reap(&w);
		r = judge(&w, status, subject, o->probe_timeout);
	}
	drain(&w);
	if (output != NULL)
		buf_addstr(output, buf_str(&w.output));
	buf_free(&w.output);
	io_close(&w.sock);
	io_close(&w.out);
	return r;
}
