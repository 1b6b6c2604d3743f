#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "log/log.h"
#include "proc/master_int.h"
#include "proc/start.h"
#include "base/banned.h"

static bool send_simple(struct child *c, enum control_message what, uint64_t grace)
{
	AUTO_BUF struct buf b = BUF_INIT;

	pack_start(&b, what);
	if (what == CONTROL_STOP)
		pack_u64(&b, grace);
	return c->link != NULL && link_send(c->link, &b, NULL, 0);
}

static void send_file(struct child *c, const char *name, int fd)
{
	AUTO_BUF struct buf b = BUF_INIT;

	pack_start(&b, CONTROL_FILE);
	pack_cstr(&b, name);
	(void)link_send(c->link, &b, &fd, 1);
}

static void send_listeners(struct child *c)
{
	const struct listeners *all = &c->generation->listeners;
	size_t i;

	for (i = 0; i < all->n; i++) {
		AUTO_BUF struct buf b = BUF_INIT;

		pack_start(&b, CONTROL_LISTENER);
		pack_cstr(&b, all->v[i].service);
		pack_u32(&b, all->v[i].tls);
		pack_cstr(&b, all->v[i].address);
		(void)link_send(c->link, &b, &all->v[i].fd, 1);
	}
}

static void send_peer(struct child *to, const struct child *peer, int fd)
{
	AUTO_BUF struct buf b = BUF_INIT;

	pack_start(&b, CONTROL_PEER);
	pack_u32(&b, peer->role);
	pack_u32(&b, peer->id);
	if (to->link != NULL)
		(void)link_send(to->link, &b, &fd, 1);
}

/* Who talks to whom. */
static bool neighbours(enum role a, enum role b)
{
	return a != b && a != ROLE_LOG && b != ROLE_LOG;
}

/* Connects a new process with its neighbours of the same generation. */
static void wire(struct master *m, struct child *c)
{
	struct child *other;

	TAILQ_FOREACH (other, &m->children, entry) {
		int pair[2];

		if (other == c || other->generation != c->generation || !neighbours(c->role, other->role))
			continue;
		if (link_pair(pair) != 0) {
			log_msg(MSG_START_FAILED, "socketpair: %s", strerror(errno));
			continue;
		}
		send_peer(c, other, pair[0]);
		send_peer(other, c, pair[1]);
		close(pair[0]);
		close(pair[1]);
	}
}

static bool on_message(void *arg, struct link *l UNUSED, struct link_message *m)
{
	struct child *c = arg;

	if (m->type != CONTROL_READY || m->fd_count != 0 || !unpack_done(m->fields) ||
	    c->state == CHILD_READY) {
		log_msg(MSG_ROLE_LIES, "%s[%d] said what it may not say (%#x); killing it",
		    role_name(c->role), (int)c->pid, m->type);
		return false;
	}
	if (c->state == CHILD_STARTING) {
		c->state = CHILD_READY;
		master_child_ready(c->master, c);
	}
	return true;
}

/* A role that closes its control socket is either ending or out of order; it must not linger. */
static void on_ended(void *arg, struct link *l UNUSED, const char *why UNUSED)
{
	struct child *c = arg;

	link_free(&c->link);
	if (c->state != CHILD_ENDING)
		(void)kill(c->pid, SIGKILL);
}

static const struct link_events control_events = {.message = on_message, .ended = on_ended};

static void give_start(struct master *m, struct child *c)
{
	if (c->role == ROLE_FRONT) {
		if (c->generation->tls_fd >= 0)
			send_file(c, "tls", c->generation->tls_fd);
		send_listeners(c);
	}
	if (c->role == ROLE_SPAWNER)
		send_file(c, "table", m->table_fd);
	if (c->generation != NULL)
		wire(m, c);
	(void)send_simple(c, CONTROL_GO, 0);
}

static void start_child(struct master *m, struct generation *g, enum role role)
{
	struct generation *settings = g != NULL ? g : m->next != NULL ? m->next : m->current;
	struct start s = {.role = role,
	    .log = role == ROLE_LOG ? m->log_pair[0] : m->log_pair[1],
	    .text = role == ROLE_LOG ? m->text_pipe[0] : -1,
	    .stderr_fd = role == ROLE_LOG ? STDERR_FILENO : m->text_pipe[1],
	    .conf = settings->conf_fd,
	    .environment = role == ROLE_LOG ? settings->log_environment : settings->environment};
	struct err e = ERR_INIT;
	struct child *c;
	int pair[2];
	pid_t pid;

	if (link_pair(pair) != 0) {
		log_msg(MSG_START_FAILED, "%s: socketpair: %s", role_name(role), strerror(errno));
		return;
	}
	s.control = pair[1];
	if (role == ROLE_FRONT)
		s.files = settings->limits.connections / settings->fronts * 2 + 128;
	pid = role_start(&s, &e);
	close(pair[1]);
	if (pid < 0) {
		log_err(MSG_START_FAILED, &e, role_name(role));
		close(pair[0]);
		return;
	}
	c = mem_new(struct child);
	*c = (struct child){.role = role,
	    .id = ++m->last_id,
	    .pid = pid,
	    .started = clock_ms(),
	    .generation = g,
	    .master = m};
	c->link = link_new(m->base, pair[0], &control_events, c);
	TAILQ_INSERT_TAIL(&m->children, c, entry);
	give_start(m, c);
}

static unsigned count(const struct master *m, const struct generation *g, enum role role)
{
	const struct child *c;
	unsigned n = 0;

	TAILQ_FOREACH (c, &m->children, entry)
		n += c->generation == g && c->role == role && c->state != CHILD_ENDING;
	return n;
}

void children_ensure(struct master *m, struct generation *g, enum role role)
{
	unsigned wanted = role == ROLE_FRONT ? g->fronts : 1, have = count(m, g, role);

	for (; have < wanted; have++)
		start_child(m, g, role);
}

void children_start_log(struct master *m)
{
	start_child(m, NULL, ROLE_LOG);
}

void children_tell(struct master *m, const struct generation *g, enum control_message what, uint64_t grace)
{
	struct child *c;

	TAILQ_FOREACH (c, &m->children, entry)
		if (c->generation == g) {
			c->state = CHILD_ENDING;
			(void)send_simple(c, what, grace);
		}
}

void children_stop(struct master *m, uint64_t grace)
{
	struct child *c;

	TAILQ_FOREACH (c, &m->children, entry)
		if (c->role != ROLE_LOG) {
			c->state = CHILD_ENDING;
			(void)send_simple(c, CONTROL_STOP, grace);
		}
}

void children_signal(struct master *m, const struct generation *g, int signal_number)
{
	struct child *c;

	TAILQ_FOREACH (c, &m->children, entry)
		if (c->generation == g)
			(void)kill(c->pid, signal_number);
}

bool children_ready(const struct master *m, const struct generation *g)
{
	const struct child *c;
	unsigned ready = 0;

	TAILQ_FOREACH (c, &m->children, entry)
		ready += c->generation == g && c->state == CHILD_READY;
	return ready == g->fronts + 2;
}

/* Starts again what is missing of a role, now that its wait is over. */
static void on_respawn(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct respawn *s = arg;
	struct master *m = s->master;

	if (m->stopping)
		return;
	if (s->role == ROLE_LOG) {
		if (count(m, NULL, ROLE_LOG) == 0)
			children_start_log(m);
	} else {
		children_ensure(m, m->current, s->role);
	}
}

void children_init(struct master *m)
{
	unsigned i;

	TAILQ_INIT(&m->children);
	for (i = 0; i < ARRAY_LEN(m->respawn); i++) {
		struct respawn *s = &m->respawn[i];

		s->master = m;
		s->role = (enum role)i;
		s->timer = event_new(m->base, -1, 0, on_respawn, s);
	}
}

/* When a role that died is started again: soon, later each time, at last not at all. */
static void schedule_respawn(struct master *m, const struct child *c)
{
	const struct process_options *o = &m->current->process;
	struct respawn *s = &m->respawn[c->role];
	uint64_t now = clock_ms();
	struct timeval wait;

	if (now - s->minute > 60000) {
		s->minute = now;
		s->starts = 0;
		s->delay = o->restart_delay;
		s->given_up = false;
	}
	if (s->given_up || event_pending(s->timer, EV_TIMEOUT, NULL))
		return;
	if (++s->starts > o->restarts) {
		s->given_up = true;
		log_msg(MSG_ROLE_GIVEN_UP,
		    "%s died %llu times in a minute; not starting it again before a reload",
		    role_name(c->role), (unsigned long long)s->starts);
		return;
	}
	wait.tv_sec = (time_t)(s->delay / 1000);
	wait.tv_usec = (suseconds_t)(s->delay % 1000 * 1000);
	event_add(s->timer, &wait);
	s->delay = s->delay * 2 < o->restart_delay_max ? s->delay * 2 : o->restart_delay_max;
}

static void describe_end(const struct child *c, int status)
{
	if (c->state == CHILD_ENDING && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		log_debug("proc", "%s[%d] ended", role_name(c->role), (int)c->pid);
		return;
	}
	if (WIFSIGNALED(status))
		log_msg(MSG_ROLE_DIED, "%s[%d] died of signal %d (%s)", role_name(c->role), (int)c->pid,
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		log_msg(MSG_ROLE_DIED, "%s[%d] exited with status %d", role_name(c->role), (int)c->pid,
		    WEXITSTATUS(status));
}

static void child_gone(struct master *m, struct child *c, int status)
{
	bool again = !m->stopping && (c->generation == NULL || c->generation == m->current) &&
	             c->state != CHILD_ENDING;

	describe_end(c, status);
	TAILQ_REMOVE(&m->children, c, entry);
	if (c->role == ROLE_SPAWNER)
		table_sweep(m->table, c->pid);
	if (again)
		schedule_respawn(m, c);
	master_child_gone(m, c, status);
	link_free(&c->link);
	mem_free(c);
}

void children_reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c;

		TAILQ_FOREACH (c, &m->children, entry)
			if (c->pid == pid)
				break;
		if (c != NULL) {
			child_gone(m, c, status);
		} else if (pid == m->checker) {
			master_checker_gone(m, status);
		} else {
			/* A session whose spawner has died: we are its subreaper. */
			int slot = table_find(m->table, pid);

			if (slot >= 0)
				table_release(m->table, slot);
		}
	}
}
