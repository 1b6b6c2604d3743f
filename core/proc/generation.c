#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "log/log.h"
#include "proc/master_int.h"
#include "base/banned.h"

/* "NAME=VALUE" of what the master was started with, or NULL. */
static const char *inherited(const struct master *m, const char *name)
{
	size_t size = strlen(name), k;

	for (k = 0; m->original_environment[k] != NULL; k++)
		if (strncmp(m->original_environment[k], name, size) == 0 &&
		    m->original_environment[k][size] == '=')
			return m->original_environment[k];
	return NULL;
}

/* "NAME" keeps what the master was started with, "NAME=VALUE" sets; nothing else reaches a role. */
static char **make_environment(const struct master *m, const struct process_options *o, struct arena *a)
{
	char **out = arena_array(a, o->environment.count + 4, sizeof(char *));
	size_t n = 0, i;

	out[n++] = arena_strdup(a, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	out[n++] = arena_strdup(a, "LANG=C.UTF-8");
	for (i = 0; i < o->environment.count; i++) {
		const char *want = o->environment.items[i];
		const char *found = strchr(want, '=') != NULL ? want : inherited(m, want);

		if (found != NULL)
			out[n++] = arena_strdup(a, found);
	}
	/* Last: what was asked for comes first. Without TZ, libc looks at this file for every date. */
	out[n++] = arena_strdup(a, "TZ=:/etc/localtime");
	return out;
}

/* The log role's: whether standard error is the journal decides how its lines begin. */
static char **make_log_environment(const struct master *m, char **common, struct arena *a)
{
	const char *journal = inherited(m, "JOURNAL_STREAM");
	size_t n = 0;
	char **out;

	while (common[n] != NULL)
		n++;
	out = arena_array(a, n + 2, sizeof(char *));
	memcpy(out, common, n * sizeof(char *));
	if (journal != NULL)
		out[n] = arena_strdup(a, journal);
	return out;
}

/* A listener the running generation already has is shared, not opened again. */
static bool share_listener(const struct generation *old, struct listeners *all, bool tls, const char *address)
{
	bool found = false;
	size_t i;

	for (i = 0; old != NULL && i < old->listeners.n; i++) {
		const struct listener *l = &old->listeners.v[i];
		struct listener *copy;

		if (l->tls != tls || l->inherited || strcmp(l->address, address) != 0)
			continue;
		copy = vec_push(all);
		*copy = *l;
		copy->fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 3);
		ASSERT(copy->fd >= 0);
		found = true;
	}
	return found;
}

static void open_list(
    struct master *m, struct generation *g, bool tls, const struct mortise_list *list, struct conf_report *r)
{
	size_t i;

	for (i = 0; i < list->count; i++) {
		struct err e = ERR_INIT;

		if (share_listener(m->current, &g->listeners, tls, list->items[i]))
			continue;
		if (listen_open(&g->listeners, "imap", tls, list->items[i], &g->listen, &e) != 0)
			conf_problem(r, MSG_LISTEN_FAILED, conf_file(g->conf), 0, "listen.%s: %s",
			    tls ? "imaps" : "imap", e.admin);
	}
}

static void open_listeners(struct master *m, struct generation *g, struct conf_report *r)
{
	size_t i;

	for (i = 0; i < m->inherited.n; i++) {
		struct listener *copy;

		if (m->inherited.v[i].tls && g->tls_fd < 0)
			continue;
		copy = vec_push(&g->listeners);
		*copy = m->inherited.v[i];
		copy->fd = fcntl(m->inherited.v[i].fd, F_DUPFD_CLOEXEC, 3);
		ASSERT(copy->fd >= 0);
	}
	if (m->inherited.n > 0)
		return;
	open_list(m, g, false, &g->listen.imap, r);
	if (g->tls_fd >= 0)
		open_list(m, g, true, &g->listen.imaps, r);
}

struct generation *generation_load(struct master *m, struct conf_report *r)
{
	struct generation *g = mem_new(struct generation);
	struct err e = ERR_INIT;

	g->number = ++m->generations;
	g->arena = arena_new("generation");
	g->conf_fd = g->tls_fd = -1;
	g->conf = conf_load(m->config, r);
	conf_fill(g->conf, &process_conf_group, &g->process, g->arena, r);
	conf_fill(g->conf, &limit_conf_group, &g->limits, g->arena, r);
	conf_fill(g->conf, &listen_conf_group, &g->listen, g->arena, r);
	conf_fill(g->conf, &tls_conf_group, &g->tls, g->arena, r);
	conf_fill(g->conf, &log_conf_group, &g->log, g->arena, r);
	if (conf_errors(r) == 0 && tls_seal(&g->tls, &g->tls_fd, &e) != 0)
		conf_problem(r, MSG_TLS_FILES, conf_file(g->conf), 0, "tls: %s", e.admin);
	if (conf_errors(r) == 0) {
		g->conf_fd = conf_seal(g->conf, &e);
		if (g->conf_fd < 0)
			conf_problem(r, MSG_START_FAILED, conf_file(g->conf), 0, "%s", e.admin);
	}
	if (conf_errors(r) == 0)
		open_listeners(m, g, r);
	if (conf_errors(r) == 0 && g->listeners.n == 0)
		conf_problem(
		    r, MSG_LISTEN_FAILED, conf_file(g->conf), 0, "listen: there is no address to listen at");
	if (conf_errors(r) != 0) {
		generation_free(m, &g);
		return NULL;
	}
	g->environment = make_environment(m, &g->process, g->arena);
	g->log_environment = make_log_environment(m, g->environment, g->arena);
	g->fronts = process_fronts(&g->process);
	return g;
}

static bool listens(const struct generation *g, const char *address)
{
	size_t i;

	for (i = 0; g != NULL && i < g->listeners.n; i++)
		if (strcmp(g->listeners.v[i].address, address) == 0)
			return true;
	return false;
}

void generation_close_listeners(struct master *m, struct generation *g)
{
	size_t i;

	for (i = 0; i < g->listeners.n; i++) {
		struct listener *l = &g->listeners.v[i];

		if ((m->current != g && listens(m->current, l->address)) ||
		    (m->next != g && listens(m->next, l->address)))
			io_close(&l->fd); /* a socket file stays with the generation that goes on */
		else
			listen_close(l);
	}
	vec_free(&g->listeners);
}

void generation_free(struct master *m, struct generation **gp)
{
	struct generation *g = *gp;

	if (g == NULL)
		return;
	*gp = NULL;
	generation_close_listeners(m, g);
	io_close(&g->conf_fd);
	io_close(&g->tls_fd);
	if (g->conf != NULL)
		conf_free(&g->conf);
	arena_free(&g->arena);
	mem_free(g);
}

bool generation_alive(const struct master *m, const struct generation *g)
{
	const struct child *c;

	TAILQ_FOREACH (c, &m->children, entry)
		if (c->generation == g)
			return true;
	return false;
}
