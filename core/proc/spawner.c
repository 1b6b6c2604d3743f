#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/control.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/privilege.h"
#include "base/secure.h"
#include "log/log.h"
#include "proc/roles.h"
#include "proc/sandbox.h"
#include "proc/spawner_int.h"
#include "proc/start.h"
#include "store/index.h"
#include "base/banned.h"

/* ---- descriptors that modules opened in prepare: sessions keep them ---- */

static void list_descriptors(struct descriptors *out)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *entry;

	if (d == NULL)
		return;
	while ((entry = readdir(d)) != NULL) {
		uint32_t fd;

		if (str_u32(str_of(entry->d_name), &fd) && (int)fd != dirfd(d))
			*vec_push(out) = (int)fd;
	}
	closedir(d);
}

static bool has(const struct descriptors *all, int fd)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (all->v[i] == fd)
			return true;
	return false;
}

static int load_modules(struct spawner *s, struct conf *conf, struct arena *a, struct conf_report *r)
{
	static const uint32_t kinds[] = {MORTISE_KIND_DRIVER};
	struct descriptors before = {0}, after = {0};
	struct module_options o;
	size_t i;

	list_descriptors(&before);
	conf_fill(conf, &module_conf_group, &o, a, r);
	s->settings.registry = registry_load(conf, &o, kinds, 1, true, r);
	if (conf_errors(r) == 0)
		registry_prepare(s->settings.registry, MORTISE_KIND_DRIVER);
	list_descriptors(&after);
	for (i = 0; i < after.n; i++)
		if (!has(&before, after.v[i]))
			*vec_push(&s->kept) = after.v[i];
	vec_free(&before);
	vec_free(&after);
	index_prepare();
	return conf_errors(r) == 0 ? 0 : -1;
}

/* ---- grants ---- */

static void grant_free(struct spawner *s, struct grant *g)
{
	TAILQ_REMOVE(&s->grants, g, entry);
	s->grant_count--;
	arena_free(&g->arena);
	mem_wipe(g, sizeof(*g));
	mem_free(g);
}

static void expire_grants(struct spawner *s)
{
	uint64_t now = clock_ms();
	struct grant *g, *next;

	for (g = TAILQ_FIRST(&s->grants); g != NULL; g = next) {
		next = TAILQ_NEXT(g, entry);
		if (g->expires <= now)
			grant_free(s, g);
	}
	if (s->grant_count >= s->limits.grants) {
		log_msg(MSG_GRANTS_FULL, "limits.grants = %llu", (unsigned long long)s->limits.grants);
		grant_free(s, TAILQ_FIRST(&s->grants));
	}
}

static bool read_grant(struct grant *g, struct unpack *u)
{
	struct str key = unpack_str(u);
	uint32_t i, n;

	if (key.n != AUTH_GRANT_SIZE)
		return false;
	memcpy(g->key, key.p, AUTH_GRANT_SIZE);
	g->expires = unpack_u64(u);
	g->user = unpack_cstr(u, g->arena);
	g->uid = (uid_t)unpack_u32(u);
	g->gid = (gid_t)unpack_u32(u);
	n = unpack_u32(u);
	if (u->bad || n > ARRAY_LEN(g->groups))
		return false;
	for (i = 0; i < n; i++)
		g->groups[i] = (gid_t)unpack_u32(u);
	g->group_count = n;
	g->home = unpack_cstr(u, g->arena);
	g->service = unpack_cstr(u, g->arena);
	g->remote = unpack_cstr(u, g->arena);
	n = unpack_u32(u);
	if (u->bad || n > SPAWNER_OPTIONS_MAX)
		return false;
	g->options = arena_array(g->arena, n + 1, sizeof(char *));
	for (i = 0; i < n; i++)
		g->options[i] = unpack_cstr(u, g->arena);
	g->option_count = n;
	return unpack_done(u) && g->user != NULL && g->home != NULL && g->service != NULL &&
	       g->remote != NULL;
}

static bool on_auth_message(void *arg, struct link *l UNUSED, struct link_message *m)
{
	struct spawner *s = arg;
	struct grant *g;

	if (m->type != GRANT || m->fd_count != 0)
		return false;
	expire_grants(s);
	g = mem_new(struct grant);
	g->arena = arena_new("grant");
	TAILQ_INSERT_TAIL(&s->grants, g, entry);
	s->grant_count++;
	if (read_grant(g, m->fields))
		return true;
	grant_free(s, g);
	return false;
}

static void on_auth_ended(void *arg, struct link *l UNUSED, const char *why)
{
	struct spawner *s = arg;

	log_debug("proc", "auth: %s", why);
	link_free(&s->auth);
}

static const struct link_events auth_events = {.message = on_auth_message, .ended = on_auth_ended};

/* The grant, and why not. Every grant is compared, in time that does not depend on the key. */
static struct grant *find_grant(struct spawner *s, const struct spawn *q, const char **why)
{
	struct grant *g, *found = NULL;

	TAILQ_FOREACH (g, &s->grants, entry)
		if (secure_equal(g->key, q->grant.p, AUTH_GRANT_SIZE))
			found = g;
	*why = NULL;
	if (found == NULL)
		*why = "unknown or used";
	else if (found->expires <= clock_ms())
		*why = "expired";
	else if (strcmp(found->service, q->service) != 0 || strcmp(found->remote, q->remote) != 0)
		*why = "for another connection";
	return found;
}

/* ---- sessions ---- */

static int compare_fd(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Everything but the connection (3), the log and what modules keep. */
static void close_others(struct spawner *s, int connection)
{
	unsigned next = ROLE_FD_LOG + 1;
	size_t i;

	(void)dup2(connection, ROLE_FD_CONTROL);
	if (s->kept.n > 1)
		qsort(s->kept.v, s->kept.n, sizeof(int), compare_fd);
	for (i = 0; i < s->kept.n; i++) {
		unsigned fd = (unsigned)s->kept.v[i];

		if (fd > next)
			(void)syscall(SYS_close_range, next, fd - 1, 0);
		if (fd >= next)
			next = fd + 1;
	}
	(void)syscall(SYS_close_range, next, ~0u, 0);
}

static void child_signals(void)
{
	static const int reset[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
	sigset_t set;
	size_t i;

	for (i = 0; i < ARRAY_LEN(reset); i++)
		(void)signal(reset[i], SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
}

/* Other users' grants are none of the session's business, of no use to it as they are. */
static void forget_grants(struct spawner *s)
{
	struct grant *g;

	TAILQ_FOREACH (g, &s->grants, entry)
		mem_wipe(g->key, sizeof(g->key));
}

static _Noreturn void become_session(
    struct spawner *s, const struct grant *g, const struct spawn *q, int fd, struct session *record)
{
	struct session_request r = {.in = ROLE_FD_CONTROL,
	    .out = ROLE_FD_CONTROL,
	    .user = g->user,
	    .home = g->home,
	    .remote = g->remote,
	    .id = record->id,
	    .uid = g->uid,
	    .gid = g->gid,
	    .groups = g->groups,
	    .group_count = g->group_count,
	    .options = g->options,
	    .option_count = g->option_count,
	    .tls = q->tls != 0,
	    .input = q->input,
	    .tag = q->tag,
	    .ok_text = q->ok_text};

	child_signals();
	close_others(s, fd);
	forget_grants(s);
	log_crumb_share(record->crumb);
	(void)prctl(PR_SET_NAME, "session", 0, 0, 0);
	role_set_title("imapd: session");
	log_start("session");
	log_use_socket(ROLE_FD_LOG);
	_exit(session_run(&s->settings, &r));
}

/* A page of its own for each session: what it was doing when it died. */
static const char *volatile *crumb_page(void)
{
	void *p = mmap(NULL, sizeof(char *), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void session_free(struct spawner *s, struct session *c)
{
	if (c->slot >= 0)
		table_release(s->table, c->slot);
	if (c->crumb != NULL)
		(void)munmap((void *)(uintptr_t)c->crumb, sizeof(char *));
	if (c->listed)
		TAILQ_REMOVE(&s->sessions, c, entry);
	mem_free(c->user);
	mem_free(c);
}

static int claim(struct spawner *s, struct session *c, const struct grant *g, struct err *e)
{
	struct table_limits l = {.sessions = s->limits.sessions,
	    .per_user = s->limits.sessions_per_user,
	    .per_address = s->limits.sessions_per_address};

	c->slot = table_claim(s->table, &l, str_of(g->user), str_of(g->remote), e);
	if (c->slot < 0)
		log_msg(MSG_LIMIT_SESSIONS, "%s from %s: %s", g->user, g->remote, e->admin);
	return c->slot < 0 ? c->slot : 0;
}

/* 0, or the code why there is no session. */
static int spawn(
    struct spawner *s, const struct grant *g, const struct spawn *q, struct front_peer *front, int fd)
{
	struct session *c = mem_new(struct session);
	struct err e = ERR_INIT;
	unsigned char random[4];
	sigset_t block, old;

	c->slot = -1;
	if (claim(s, c, g, &e) != 0) {
		session_free(s, c);
		return e.code;
	}
	secure_random(random, sizeof(random));
	(void)snprintf(c->id, sizeof(c->id), "%02x%02x%02x%02x", random[0], random[1], random[2], random[3]);
	c->front = front->id;
	c->connection = q->id;
	c->user = mem_strdup(g->user);
	c->crumb = crumb_page();
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &block, &old);
	c->pid = c->crumb != NULL ? fork() : -1;
	if (c->pid == 0)
		become_session(s, g, q, fd, c);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	if (c->pid < 0) {
		log_msg(MSG_START_FAILED, "fork: %s", strerror(errno));
		session_free(s, c);
		return MORTISE_E_UNAVAILABLE;
	}
	(void)madvise((void *)(uintptr_t)c->crumb, sizeof(char *), MADV_DONTFORK);
	table_set_pid(s->table, c->slot, c->pid);
	c->listed = true;
	TAILQ_INSERT_TAIL(&s->sessions, c, entry);
	return 0;
}

static bool read_spawn(struct spawn *q, struct unpack *u, struct arena *a)
{
	q->id = unpack_u64(u);
	q->grant = unpack_str(u);
	q->service = unpack_cstr(u, a);
	q->remote = unpack_cstr(u, a);
	q->local = unpack_cstr(u, a);
	q->tls = unpack_u32(u);
	q->input = unpack_str(u);
	q->tag = unpack_str(u);
	q->ok_text = unpack_cstr(u, a);
	return unpack_done(u) && q->grant.n == AUTH_GRANT_SIZE && q->service != NULL && q->remote != NULL &&
	       q->local != NULL && q->ok_text != NULL && reader_tag_ok(q->tag) && q->tag.n < 80;
}

static bool on_front_message(void *arg, struct link *l, struct link_message *m)
{
	AUTO_ARENA struct arena *a = arena_new("spawn");
	AUTO_BUF struct buf answer = BUF_INIT;
	struct front_peer *front = arg;
	struct spawner *s = front->spawner;
	struct spawn q;
	struct grant *g;
	const char *why;
	int code = MORTISE_E_UNAVAILABLE;

	if (m->type != SPAWN || m->fd_count != 1 || !read_spawn(&q, m->fields, a))
		return false;
	/* Auth told us of the grant before it told the front; the loop may look at the front first. */
	if (s->auth != NULL)
		link_pump(s->auth);
	g = find_grant(s, &q, &why);
	if (why != NULL)
		log_msg(MSG_GRANT_REFUSED, "%s: grant is %s", q.remote, why);
	else if (!s->stopping)
		code = spawn(s, g, &q, front, m->fds[0]);
	if (g != NULL)
		grant_free(s, g); /* used, whatever came of it */
	pack_start(&answer, SPAWNED);
	pack_u64(&answer, q.id);
	pack_u32(&answer, code == 0);
	pack_u32(&answer, (uint32_t)code);
	(void)link_send(l, &answer, NULL, 0);
	return true;
}

static void maybe_end(struct spawner *s)
{
	if (s->stopping && TAILQ_EMPTY(&s->sessions))
		event_base_loopbreak(s->base);
	if (s->draining && TAILQ_EMPTY(&s->fronts) && TAILQ_EMPTY(&s->sessions))
		event_base_loopbreak(s->base);
}

static void on_front_ended(void *arg, struct link *l UNUSED, const char *why)
{
	struct front_peer *front = arg;
	struct spawner *s = front->spawner;

	log_debug("proc", "front %u: %s", front->id, why);
	TAILQ_REMOVE(&s->fronts, front, entry);
	link_free(&front->link);
	mem_free(front);
	maybe_end(s);
}

static const struct link_events front_events = {.message = on_front_message, .ended = on_front_ended};

/* ---- the end of sessions ---- */

static void tell_front(struct spawner *s, const struct session *c, bool unauthenticated)
{
	AUTO_BUF struct buf b = BUF_INIT;
	struct front_peer *front;

	TAILQ_FOREACH (front, &s->fronts, entry)
		if (front->id == c->front)
			break;
	if (front == NULL)
		return;
	pack_start(&b, ENDED);
	pack_u64(&b, c->connection);
	pack_u32(&b, unauthenticated);
	(void)link_send(front->link, &b, NULL, 0);
}

/* The instance a session was in when it died; only pointers that we know are looked through. */
static struct instance *crashed_in(const struct spawner *s, const struct session *c)
{
	size_t count, i;
	struct instance *const *all = registry_instances(s->settings.registry, MORTISE_KIND_DRIVER, &count);

	for (i = 0; i < count; i++)
		if (*c->crumb != NULL && *c->crumb == all[i]->pub.name)
			return all[i];
	return NULL;
}

/*
 * Crashes of one user in a row count once: somebody who crashes his own sessions at will must not be able to
 * take the module from everybody else.
 */
static void count_crash(struct spawner *s, struct instance *i, const char *user)
{
	struct crash_count *k;

	for (k = s->crashes; k != NULL; k = k->next)
		if (k->instance == i)
			break;
	if (k == NULL) {
		k = mem_new(struct crash_count);
		k->instance = i;
		k->next = s->crashes;
		s->crashes = k;
	}
	if (k->user != NULL && strcmp(k->user, user) == 0)
		return;
	mem_free(k->user);
	k->user = mem_strdup(user);
	if (++k->count < s->limits.module_crashes || i->suspect)
		return;
	log_msg(MSG_INSTANCE_SUSPECT, "module \"%s\" crashed %llu sessions and is not called any more",
	    i->pub.name, (unsigned long long)k->count);
	instance_suspect(i);
}

static void describe_end(struct spawner *s, const struct session *c, int status)
{
	struct instance *in = crashed_in(s, c);

	if (WIFSIGNALED(status) && (!s->stopping || WTERMSIG(status) != SIGKILL)) {
		log_msg(MSG_SESSION_CRASHED, "session %s of %s died of signal %d (%s)%s%s", c->id, c->user,
		    WTERMSIG(status), strsignal(WTERMSIG(status)), in != NULL ? " in module " : "",
		    in != NULL ? in->pub.name : "");
	} else if (WIFEXITED(status) && in != NULL) {
		log_msg(MSG_SESSION_CRASHED, "session %s of %s: module %s ended the process (status %d)",
		    c->id, c->user, in->pub.name, WEXITSTATUS(status));
	} else {
		return;
	}
	if (in != NULL && (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL))
		count_crash(s, in, c->user);
}

static void on_child(evutil_socket_t number UNUSED, short what UNUSED, void *arg)
{
	struct spawner *s = arg;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct session *c;

		TAILQ_FOREACH (c, &s->sessions, entry)
			if (c->pid == pid)
				break;
		if (c == NULL)
			continue;
		describe_end(s, c, status);
		tell_front(s, c, WIFEXITED(status) && WEXITSTATUS(status) == SESSION_UNAUTHENTICATED);
		session_free(s, c);
	}
	maybe_end(s);
}

/* ---- the master's orders ---- */

static int take_fd(struct link_message *m)
{
	int fd = m->fds[0];

	m->fds[0] = -1;
	return fd;
}

static bool take_peer(struct spawner *s, struct link_message *m)
{
	uint32_t role = unpack_u32(m->fields), id = unpack_u32(m->fields);
	struct front_peer *front;

	if (!unpack_done(m->fields) || m->fd_count != 1)
		return false;
	if (role == ROLE_AUTH) {
		link_free(&s->auth);
		s->auth = link_new(s->base, take_fd(m), &auth_events, s);
		return true;
	}
	if (role != ROLE_FRONT)
		return false;
	front = mem_new(struct front_peer);
	front->spawner = s;
	front->id = id;
	front->link = link_new(s->base, take_fd(m), &front_events, front);
	TAILQ_INSERT_TAIL(&s->fronts, front, entry);
	return true;
}

static bool take_table(struct spawner *s, struct link_message *m)
{
	struct str name = unpack_str(m->fields);
	struct err e = ERR_INIT;

	if (!unpack_done(m->fields) || m->fd_count != 1 || !str_eqc(name, "table") || s->table != NULL)
		return false;
	s->table = table_map(m->fds[0], &e);
	if (s->table == NULL)
		log_err(MSG_START_FAILED, &e, "spawner");
	return s->table != NULL;
}

static void signal_sessions(struct spawner *s, int number)
{
	struct session *c;

	TAILQ_FOREACH (c, &s->sessions, entry)
		(void)kill(c->pid, number);
}

static void on_grace_over(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	signal_sessions(arg, SIGKILL);
}

static bool stop(struct spawner *s, struct link_message *m)
{
	uint64_t grace = unpack_u64(m->fields);
	struct timeval t = {.tv_sec = (time_t)(grace / 1000), .tv_usec = (suseconds_t)(grace % 1000 * 1000)};

	if (!unpack_done(m->fields))
		return false;
	s->stopping = true;
	signal_sessions(s, SIGTERM);
	event_add(s->grace, &t);
	maybe_end(s);
	return true;
}

static bool go(struct spawner *s, struct link *l)
{
	AUTO_BUF struct buf b = BUF_INIT;

	if (s->table == NULL)
		return false;
	pack_start(&b, CONTROL_READY);
	(void)link_send(l, &b, NULL, 0);
	return true;
}

static bool on_control(void *arg, struct link *l, struct link_message *m)
{
	struct spawner *s = arg;

	switch (m->type) {
	case CONTROL_PEER:
		return take_peer(s, m);
	case CONTROL_FILE:
		return take_table(s, m);
	case CONTROL_GO:
		return unpack_done(m->fields) && go(s, l);
	case CONTROL_DRAIN:
		s->draining = true;
		maybe_end(s);
		return unpack_done(m->fields);
	case CONTROL_STOP:
		return stop(s, m);
	default:
		return false;
	}
}

static void on_control_ended(void *arg, struct link *l UNUSED, const char *why UNUSED)
{
	struct spawner *s = arg;

	link_free(&s->control);
	s->draining = true;
	maybe_end(s);
}

static const struct link_events control_events = {.message = on_control, .ended = on_control_ended};

int spawner_run(struct conf *conf, bool unprivileged UNUSED)
{
	AUTO_ARENA struct arena *a = arena_new("spawner");
	struct conf_report *r = conf_report_new(a);
	static struct spawner s;
	struct event *child;
	struct err e = ERR_INIT;
	int failed;

	TAILQ_INIT(&s.grants);
	TAILQ_INIT(&s.sessions);
	TAILQ_INIT(&s.fronts);
	conf_fill(conf, &limit_conf_group, &s.limits, a, r);
	failed = load_modules(&s, conf, a, r);
	failed |= session_settings_fill(&s.settings, conf, a, r);
	conf_report_log(r);
	if (failed)
		return 78;
	s.base = event_base_new();
	if (s.base == NULL)
		return 71;
	(void)setenv("LOGNAME", "", 1); /* sessions set it: what that needs from libc is bound here */
	if (sandbox_spawner(&e) != 0 || privilege_harden(&e) != 0) {
		log_err(MSG_SANDBOX, &e, "spawner");
		return 71;
	}
	child = evsignal_new(s.base, SIGCHLD, on_child, &s);
	event_add(child, NULL);
	s.grace = event_new(s.base, -1, 0, on_grace_over, &s);
	s.control = link_new(s.base, ROLE_FD_CONTROL, &control_events, &s);
	event_base_dispatch(s.base);
	return 0;
}
