#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/pool.h"
#include "auth/role.h"
#include "base/clock.h"
#include "base/control.h"
#include "base/io.h"
#include "base/pack.h"
#include "base/privilege.h"
#include "log/log.h"
#include "base/banned.h"

#define EXIT_CONFIG 78

struct role_state {
	int control;
	struct auth_pool *pool;
	bool go, said_ready, draining, stopping;
	uint64_t stop_at;
};

static void say_ready(struct role_state *s)
{
	struct buf out = BUF_INIT;

	pack_start(&out, CONTROL_READY);
	if (io_send(s->control, out.p, out.n, NULL, 0) != 0)
		s->draining = true;
	buf_free(&out);
	s->said_ready = true;
}

static bool on_peer(struct role_state *s, struct unpack *u, int *fd)
{
	uint32_t role = unpack_u32(u);

	(void)unpack_u32(u); /* which one: of no use here */
	if (!unpack_done(u) || *fd < 0 || (role != ROLE_FRONT && role != ROLE_SPAWNER))
		return false;
	if (role == ROLE_FRONT)
		auth_pool_front(s->pool, *fd);
	else
		auth_pool_spawner(s->pool, *fd);
	*fd = -1;
	return true;
}

static bool on_stop(struct role_state *s, struct unpack *u)
{
	uint64_t grace = unpack_u64(u);

	if (!unpack_done(u))
		return false;
	s->stopping = true;
	s->stop_at = clock_ms() + (grace < 3600000 ? grace : 3600000);
	auth_pool_refuse(s->pool);
	return true;
}

static bool handle(struct role_state *s, const char *message, size_t n, int *fd)
{
	struct unpack u;

	switch (unpack_start(&u, message, n)) {
	case CONTROL_PEER:
		return on_peer(s, &u, fd);
	case CONTROL_GO:
		s->go = true;
		return unpack_done(&u);
	case CONTROL_DRAIN:
		s->draining = true;
		return unpack_done(&u);
	case CONTROL_STOP:
		return on_stop(s, &u);
	default:
		return false;
	}
}

static void on_control(struct role_state *s)
{
	char message[512];
	int fds[IO_MAX_FDS];
	size_t count = IO_MAX_FDS, i;
	ssize_t n = io_recv(s->control, message, sizeof(message), fds, &count);
	int fd = -1;

	if (n == 0 || (n < 0 && errno != EMSGSIZE)) {
		s->draining = true; /* the master is gone */
		s->control = -1;
		return;
	}
	if (n < 0)
		count = 0;
	if (count > 0)
		fd = fds[0];
	for (i = 1; i < count; i++)
		io_close(&fds[i]);
	if (n < 0 || count > 1 || !handle(s, message, (size_t)n, &fd))
		log_msg(MSG_AUTH_CONTROL, "a message of the master cannot be understood");
	io_close(&fd);
}

static bool finished(const struct role_state *s)
{
	if (s->stopping && (auth_pool_attempts(s->pool) == 0 || clock_ms() >= s->stop_at))
		return true;
	return s->draining && auth_pool_fronts(s->pool) == 0;
}

static void serve(struct role_state *s)
{
	while (!finished(s)) {
		uint64_t wake = s->stopping || s->draining || !s->said_ready ? clock_ms() + 50 : 0;

		if (s->stopping && s->stop_at < wake)
			wake = s->stop_at;
		if (auth_pool_turn(s->pool, s->control, wake) == 1)
			on_control(s);
		if (s->go && !s->said_ready && auth_pool_settled(s->pool))
			say_ready(s);
	}
}

static int become_run_user(const struct auth_options *o, bool unprivileged, struct err *e)
{
	gid_t groups[MORTISE_USER_GROUPS_MAX];
	int count = MORTISE_USER_GROUPS_MAX;
	struct passwd *pw;
	uid_t uid;
	gid_t gid;

	if (unprivileged || o->run_user[0] == '\0')
		return 0;
	if (privilege_account(o->run_user, false, &uid, &gid, e) != 0)
		return e->code;
	pw = getpwuid(uid);
	if (pw == NULL || getgrouplist(pw->pw_name, gid, groups, &count) < 0)
		count = 0;
	return privilege_drop(uid, gid, groups, (size_t)count, e);
}

static void warn_about_offer(struct registry *g, const struct auth_options *o)
{
	AUTO_BUF struct buf offer = BUF_INIT;
	size_t count, i;

	(void)registry_instances(g, MORTISE_KIND_PASSWORD, &count);
	if (count == 0)
		log_msg(MSG_AUTH_NO_BACKEND, "no password backend is loaded: nobody can log in");
	auth_offer(g, o, true, &offer);
	for (i = 0; i < o->mechanisms.count; i++)
		if (!auth_offered(buf_str(&offer), str_of(o->mechanisms.items[i])))
			log_msg(MSG_AUTH_NOT_OFFERED,
			    "mechanism %s is configured but no loaded module and backend can do it",
			    o->mechanisms.items[i]);
}

struct registry *auth_prepare(
    struct conf *conf, bool unprivileged, struct arena *a, struct conf_report *report, struct auth_options *o)
{
	static const uint32_t kinds[] = {MORTISE_KIND_PASSWORD, MORTISE_KIND_SASL};
	struct module_options modules;
	struct registry *g;
	struct err e = ERR_INIT;

	conf_fill(conf, &auth_conf_group, o, a, report);
	conf_fill(conf, &module_conf_group, &modules, a, report);
	g = registry_load(conf, &modules, kinds, ARRAY_LEN(kinds), true, report);
	if (conf_errors(report) > 0)
		return NULL;
	registry_prepare(g, MORTISE_KIND_PASSWORD);
	registry_prepare(g, MORTISE_KIND_SASL);
	if (become_run_user(o, unprivileged, &e) != 0) {
		log_err(MSG_AUTH_RUN_USER, &e, "changing to auth.run_user");
		return NULL;
	}
	warn_about_offer(g, o);
	return g;
}

int auth_role(struct conf *conf, int control, bool unprivileged)
{
	struct arena *a = arena_new("auth role");
	struct role_state s = {.control = control};
	struct auth_options options;
	struct conf_report *report = conf_report_new(a);
	struct registry *g = auth_prepare(conf, unprivileged, a, report, &options);

	conf_report_log(report);
	if (g == NULL) {
		arena_free(&a);
		return EXIT_CONFIG;
	}
	s.pool = auth_pool_new(g, &options, unprivileged, control);
	serve(&s);
	auth_pool_free(&s.pool);
	registry_free(&g);
	arena_free(&a);
	return 0;
}
