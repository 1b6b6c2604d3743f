/*
 * guests.c: mail that is not the user's own: "~NAME/…" and the shared roots "#shared/", "#public/", "#ftp/";
 * and what is his own under another root: "#mh/".
 *
 * Each is a store of its own as far as names and places go, made from the same options with another user, or
 * with another mail directory. Everything else, the index and journals above all, is the user's. The kernel
 * decides what he may do there; what he may not see does not exist.
 */
#include <pwd.h>

#include "base/path.h"
#include "log/log.h"
#include "store/store_int.h"
#include "base/banned.h"

#define RECORD_OCTETS 16384u

/* The shared roots of UW's servers, with the modes of what is made there. */
static const struct shared {
	const char *name;
	size_t option; /* of the path */
	uint32_t file_mode, directory_mode;
} shared[] = {
    {"#shared", offsetof(struct store_options, shared), 0660, 0770},
    {"#public", offsetof(struct store_options, public), 0666, 0777},
    {"#ftp", offsetof(struct store_options, ftp), 0644, 0755},
};

static const char *path_of(const struct store *s, const struct shared *x)
{
	const char *path = *(const char *const *)((const char *)s->o + x->option);

	return path != NULL && path[0] != '\0' ? path : NULL;
}

static bool has_others(const struct store *s)
{
	return s->o->other_users.count > 0;
}

void store_guest_namespaces(struct store *s)
{
	struct store_namespace *all = arena_array(s->arena, 4 + ARRAY_LEN(shared), sizeof(*all));
	size_t n = 0, i;

	all[n++] = (struct store_namespace){NAMESPACE_PERSONAL, "", '/'};
	if (s->mh_path != NULL) {
		all[n++] = (struct store_namespace){NAMESPACE_PERSONAL, MH_INBOX, '\0'};
		all[n++] = (struct store_namespace){NAMESPACE_PERSONAL, MH_PREFIX "/", '/'};
	}
	if (has_others(s))
		all[n++] = (struct store_namespace){NAMESPACE_OTHER, "~", '/'};
	for (i = 0; i < ARRAY_LEN(shared); i++)
		if (path_of(s, &shared[i]) != NULL)
			all[n++] = (struct store_namespace){
			    NAMESPACE_SHARED, arena_printf(s->arena, "%s/", shared[i].name), '/'};
	s->namespaces = all;
	s->namespace_count = n;
}

size_t store_guest_directories(const struct store *s, const char **out)
{
	size_t n = 0, i;

	for (i = 0; i < s->o->other_users.count; i++)
		out[n++] = s->o->other_users.items[i];
	for (i = 0; i < ARRAY_LEN(shared); i++)
		if (path_of(s, &shared[i]) != NULL)
			out[n++] = path_of(s, &shared[i]);
	if (s->mh_path != NULL)
		out[n++] = s->mh_path;
	return n;
}

size_t store_guest_directory_limit(const struct store *s)
{
	return s->o->other_users.count + ARRAY_LEN(shared) + 1;
}

/* Whether a path is in one of the directories that other users' mail may be in. */
static bool is_allowed(const struct store *s, const char *path)
{
	size_t i;

	for (i = 0; i < s->o->other_users.count; i++) {
		struct str top = str_of(s->o->other_users.items[i]), p = str_of(path);

		while (top.n > 0 && top.p[top.n - 1] == '/')
			top.n--;
		if (str_starts(p, top) && (p.n == top.n || p.p[top.n] == '/'))
			return true;
	}
	return false;
}

static void leave_out_places(struct store *s, struct store *guest)
{
	size_t kept = 0, i;

	for (i = 0; i < guest->place_count; i++)
		if (is_allowed(s, guest->places[i].directory))
			guest->places[kept++] = guest->places[i];
	guest->place_count = kept;
}

static struct store *join(struct store *s, struct store *guest, const char *prefix, int kind)
{
	guest->host = s;
	guest->prefix = arena_strdup(guest->arena, prefix);
	guest->kind = kind;
	guest->uid = s->uid;
	guest->next_guest = s->guests;
	s->guests = guest;
	return guest;
}

/* Links in a home would lead somewhere else: what is not below the configured directories is not there. */
static struct store *open_user(struct store *s, const char *prefix)
{
	char text[RECORD_OCTETS];
	struct passwd user, *u = NULL;
	struct store_user owner;
	struct err e = ERR_INIT;
	struct store *guest;

	if (!has_others(s) || getpwnam_r(prefix + 1, &user, text, sizeof(text), &u) != 0 || u == NULL ||
	    u->pw_uid == 0 || strcmp(u->pw_dir, "/") == 0)
		return NULL;
	owner = (struct store_user){u->pw_name, u->pw_dir, u->pw_uid};
	if (store_open_drivers(s->o, &owner, s->drivers, s->driver_count, &guest, &e) != 0) {
		log_debug("store", "%s: %s", prefix, e.admin);
		return NULL;
	}
	if (!is_allowed(s, guest->root_path)) {
		store_close(&guest);
		return NULL;
	}
	leave_out_places(s, guest);
	return join(s, guest, prefix, NAMESPACE_OTHER);
}

static struct store *open_shared(struct store *s, const char *prefix, const struct shared *x)
{
	const struct store_user self = {s->user, s->home, s->uid};
	struct store_options *o = arena_dup(s->arena, s->o, sizeof(*o));
	const char *const *inbox = arena_dup(
	    s->arena, &(const char *){arena_printf(s->arena, "%s/INBOX", path_of(s, x))}, sizeof(*inbox));
	struct err e = ERR_INIT;
	struct store *guest;

	o->mail_dir = path_of(s, x);
	o->inbox = (struct mortise_list){inbox, 1};
	o->file_mode = x->file_mode;
	o->directory_mode = x->directory_mode;
	o->dot_folders = false;
	if (store_open_drivers(o, &self, s->drivers, s->driver_count, &guest, &e) != 0) {
		log_err(MSG_STORE_SHARED, &e, prefix);
		return NULL;
	}
	return join(s, guest, prefix, NAMESPACE_SHARED);
}

/* The one driver has it all. */
static struct store *open_mh(struct store *s)
{
	const struct store_user self = {s->user, s->home, s->uid};
	struct store_options *o = arena_dup(s->arena, s->o, sizeof(*o));
	struct instance **driver = arena_array(s->arena, 1, sizeof(struct instance *));
	const char **inbox = arena_array(s->arena, 1, sizeof(char *));
	struct err e = ERR_INIT;
	struct store *guest;

	*driver = store_driver(s, STR("mh"));
	if (*driver == NULL)
		err_fault(&e, MORTISE_E_UNAVAILABLE, "store.mh: the driver mh is not loaded");
	*inbox = arena_printf(s->arena, "%s/inbox", s->mh_path);
	o->mail_dir = s->mh_path;
	o->inbox = (struct mortise_list){inbox, 1};
	o->default_driver = "mh";
	o->dot_folders = false;
	if (e.code != 0 || store_open_drivers(o, &self, driver, 1, &guest, &e) != 0) {
		log_err(MSG_STORE_SHARED, &e, MH_PREFIX);
		return NULL;
	}
	return join(s, guest, MH_PREFIX, NAMESPACE_PERSONAL);
}

/* Names of users are theirs; those of roots are not told apart by case. */
static bool same_prefix(const char *a, const char *b)
{
	return a[0] == '#' ? str_ieq(str_of(a), str_of(b)) : strcmp(a, b) == 0;
}

static struct store *open_guest(struct store *s, const char *prefix)
{
	size_t i;

	if (prefix[0] == '~')
		return open_user(s, prefix);
	if (same_prefix(prefix, MH_PREFIX) && s->mh_path != NULL)
		return open_mh(s);
	for (i = 0; i < ARRAY_LEN(shared); i++)
		if (same_prefix(prefix, shared[i].name) && path_of(s, &shared[i]) != NULL)
			return open_shared(s, shared[i].name, &shared[i]);
	return NULL;
}

static int unknown(const char *prefix, struct err *e)
{
	return err_fail(e, MORTISE_E_NOTFOUND, prefix[0] == '~' ? "No such mailbox" : "No such namespace");
}

int store_guest(struct store *s, const char *prefix, struct store **out, struct err *e)
{
	struct store *guest;

	CHECK_OBJ(s, STORE_MAGIC);
	*out = NULL;
	if (s->host != NULL)
		return unknown(prefix, e);
	/* One's own mail under one's own name. */
	if (prefix[0] == '~' && has_others(s) && strcmp(prefix + 1, s->user) == 0)
		return 0;
	for (guest = s->guests; guest != NULL && !same_prefix(prefix, guest->prefix);
	     guest = guest->next_guest)
		;
	if (guest == NULL && s->guest_count >= s->o->guests) {
		log_msg(
		    MSG_STORE_GUESTS, "%s: store.guests is %llu", prefix, (unsigned long long)s->o->guests);
		return err_fail(e, MORTISE_E_LIMIT, "Too many other users' mailboxes in one session");
	}
	if (guest == NULL) {
		guest = open_guest(s, prefix);
		if (guest == NULL)
			return unknown(prefix, e);
		s->guest_count++;
	}
	guest->stop = s->stop;
	guest->stop_arg = s->stop_arg;
	*out = guest;
	return 0;
}

void store_close_guests(struct store *s)
{
	struct store *guest;

	while ((guest = s->guests) != NULL) {
		s->guests = guest->next_guest;
		store_close(&guest);
	}
}
