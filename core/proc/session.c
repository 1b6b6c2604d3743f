#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/privilege.h"
#include "imap/response.h"
#include "imap/session.h"
#include "log/log.h"
#include "mime/mime.h"
#include "net/stream.h"
#include "proc/sandbox.h"
#include "proc/session.h"
#include "base/banned.h"

int session_settings_fill(
    struct session_settings *s, struct conf *conf, struct arena *a, struct conf_report *r)
{
	struct limit_options limits;
	struct mime_options message;

	conf_fill(conf, &mime_conf_group, &message, a, r);
	mime_limits_set(&message);
	conf_fill(conf, &store_conf_group, &s->store, a, r);
	conf_fill(conf, &quota_conf_group, &s->quota, a, r);
	conf_fill(conf, &limit_conf_group, &limits, a, r);
	s->imap = arena_alloc(a, imap_conf_group.size);
	conf_fill(conf, &imap_conf_group, s->imap, a, r);
	s->write_timeout = limits.write_timeout;
	s->output_buffer = limits.output_buffer;
	return conf_errors(r) == 0 ? 0 : MORTISE_E_INVALID;
}

/* Sets an option of one group, if the text is for it: "name=value" or "group.name=value". */
static bool set_in_group(
    const struct conf_group *g, void *options, struct str name, struct str value, struct arena *a)
{
	struct str group = str_of(g->name);
	size_t i;

	if (str_find(name, '.') < name.n) {
		if (!str_starts(name, group) || name.n <= group.n || name.p[group.n] != '.')
			return false;
		name = str_from(name, group.n + 1);
	}
	for (i = 0; i < g->count; i++) {
		const struct mortise_option *o = &g->options[i];
		struct err e = ERR_INIT;

		if (!str_eqc(name, o->name) || (o->flags & MORTISE_OPTION_PER_USER) == 0 || value.p == NULL)
			continue;
		if (conf_set(o, options, value, a, &e) != 0)
			log_err(MSG_SESSION_FAILED, &e, "the user's record");
		return true;
	}
	return false;
}

/* Of the user's record, for options that a record may set. */
static void apply_user_option(struct session_settings *s, const char *text, struct arena *a)
{
	struct str value = str_of(text), name = str_cut(&value, '=');

	if (!set_in_group(&store_conf_group, &s->store, name, value, a) &&
	    !set_in_group(&quota_conf_group, &s->quota, name, value, a))
		log_msg(MSG_USER_OPTION,
		    "the user's record sets \"%.*s\", which it may not or which does not exist",
		    STR_FMT(name));
}

static int confine(const struct session_settings *s, struct store *store, struct arena *a, struct err *e)
{
	const char *const *directories;
	const char **all;
	size_t n = store_directories(store, a, &directories);

	if (!s->store.confine)
		return 0; /* the open view of the whole machine was asked for; the account is the wall */
	all = arena_array(a, n + 2, sizeof(*all));
	memcpy(all, directories, n * sizeof(*all));
	all[n++] = "/tmp"; /* lock files of old programs */
	all[n++] = "/var/tmp";
	return sandbox_session_files(all, n, e);
}

#define ALERT_MAX 4096

/* As the user; it is outside of what the session may see later. One that cannot be read is no failure. */
static int read_alert(const struct session_settings *s, struct arena *a, struct str *out)
{
	const char *path = imap_alert_file(s->imap);
	AUTO_CLOSE int fd = path[0] != '\0' ? open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
	char text[ALERT_MAX];
	ssize_t n = fd >= 0 ? io_pread(fd, text, sizeof(text), 0) : 0;

	*out = n > 0 ? arena_str(a, str_mem(text, (size_t)n)) : STR_NONE;
	return 0;
}

static int stop_descriptor(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

#define LOOK_INTERVAL 20u /* ms between two looks */

/* Long operations look here: 0, or CANCELLED once the session was told to stop. Asked for every message. */
static int stopped(void *arg)
{
	static uint64_t looked;
	const int *fd = arg;
	uint64_t now = clock_ms();

	if (now - looked < LOOK_INTERVAL)
		return 0;
	looked = now;
	return *fd >= 0 && io_wait(*fd, POLLIN, 1) == 1 ? MORTISE_E_CANCELLED : 0;
}

/* A login that was right and a session that cannot be: the client is told, the administrator told why. */
static int cannot_serve(struct stream *stream, const struct session_request *q, const struct err *e)
{
	log_err(MSG_SESSION_FAILED, e, "setting up the session");
	if (!q->preauth)
		response(stream_output(stream), q->tag, RESPONSE_NO, mortise_error_imap(e->code),
		    "The mail cannot be opened");
	response(stream_output(stream), STR(""), RESPONSE_BYE, NULL, "No session");
	(void)stream_flush(stream);
	return 1;
}

int session_run(struct session_settings *s, const struct session_request *q)
{
	AUTO_ARENA struct arena *a = arena_new("session");
	struct stream *stream = stream_new(q->in, q->out, s->output_buffer);
	struct store_user user = {.name = q->user, .home = q->home, .uid = q->uid};
	struct store *store = NULL;
	struct str alert = STR_NONE;
	struct err e = ERR_INIT;
	int stop_fd = stop_descriptor(), result;
	size_t i;

	log_set_session(q->id);
	log_set_user(q->user);
	/* What programs of a user find: drivers name the user in what they write. */
	(void)setenv("LOGNAME", q->user, 1);
	if (q->home != NULL)
		(void)setenv("HOME", q->home, 1);
	stream_set_write_timeout(stream, s->write_timeout);
	stream_unread(stream, q->input);
	for (i = 0; i < q->option_count; i++)
		apply_user_option(s, q->options[i], a);
	if (privilege_drop(q->uid, q->gid, q->groups, q->group_count, &e) != 0 || privilege_harden(&e) != 0 ||
	    read_alert(s, a, &alert) != 0 || store_open(&s->store, &user, s->registry, &store, &e) != 0 ||
	    store_set_quota(store, &s->quota, &e) != 0 || confine(s, store, a, &e) != 0) {
		result = cannot_serve(stream, q, &e);
		stream_free(&stream);
		return result;
	}
	registry_start(s->registry, MORTISE_KIND_DRIVER);
	if (sandbox_session_calls(&e) != 0) {
		result = cannot_serve(stream, q, &e);
	} else {
		struct imap_session_setup setup = {.stream = stream,
		    .store = store,
		    .options = s->imap,
		    .alert = alert,
		    .user = q->user,
		    .session = q->id,
		    .remote = q->remote,
		    .tls = q->tls,
		    .preauth = q->preauth,
		    .unauthenticate = q->tls && !q->preauth,
		    .tag = q->tag,
		    .ok_text = q->ok_text,
		    .stop_fd = stop_fd};

		store_set_stop(store, stopped, &stop_fd);
		log_msg(MSG_LOGIN, "logged in from %s%s", q->remote, q->tls ? " over TLS" : "");
		result = imap_session_run(&setup);
		log_msg(MSG_LOGOUT, "ended%s%s; %llu octets in, %llu out", result < 0 ? ": " : "",
		    result < 0 ? mortise_error_text(result) : "",
		    (unsigned long long)stream_octets_in(stream),
		    (unsigned long long)stream_octets_out(stream));
	}
	store_close(&store);
	registry_stop(s->registry, MORTISE_KIND_DRIVER);
	stream_free(&stream);
	if (result == IMAP_UNAUTHENTICATED)
		return SESSION_UNAUTHENTICATED;
	return result != 0 && result != MORTISE_E_CANCELLED;
}
