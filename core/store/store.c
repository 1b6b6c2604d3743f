#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "log/log.h"
#include "store/store_int.h"
#include "base/banned.h"

static const struct mortise_option store_option_table[] = {
    MORTISE_OPTION(struct store_options, mail_dir, PATH, "~/mail", .help = "directory of a user's mailboxes",
        .detail = "`~` is the user's home directory, `%u` the user's name, `%h` the home directory, `%%` a "
                  "percent sign; this holds for every path of this group."),
    MORTISE_OPTION(struct store_options, inbox, LIST, "/var/mail/%u, ~/mbox",
        .help = "places where INBOX is looked for, in this order",
        .detail = "The first one that exists and that a driver knows is INBOX. When none exists INBOX is "
                  "empty, and the first message makes it at the first place whose directory is there."),
    MORTISE_OPTION(struct store_options, state_dir, PATH, "~/.mortise",
        .help = "directory for what the server keeps beside the mailboxes",
        .detail =
            "Rewrite journals live here, and the index: what the mailboxes cannot hold (mod-sequences, save "
            "dates, annotations; UIDs of formats that have none) and what is costly to compute. Mail can be "
            "read and written without it. On a file system of the network (NFS, SMB, AFS, Ceph) the index "
            "is not kept: machines cannot share it there. Then name a directory of this machine's disk, one "
            "a user, as \"/var/lib/mortise/%u\"."),
    MORTISE_OPTION(struct store_options, subscriptions, PATH, "~/.mailboxlist",
        .help = "file with the names of subscribed mailboxes"),
    MORTISE_OPTION(struct store_options, default_driver, STRING, "unix",
        .help = "driver for new mailboxes and for empty files"),
    MORTISE_OPTION(
        struct store_options, file_mode, OCTAL, "0600", .help = "mode of mailbox files that are made"),
    MORTISE_OPTION(
        struct store_options, directory_mode, OCTAL, "0700", .help = "mode of directories that are made"),
    MORTISE_OPTION(struct store_options, lock_timeout, DURATION, "1m", .max = "10m",
        .help = "how long to wait for a mailbox that another program has locked"),
    MORTISE_OPTION(struct store_options, list_depth, UINT, "20", .min = "1", .max = "100",
        .help = "levels of the mailbox tree that LIST descends and that names may have"),
    MORTISE_OPTION(struct store_options, list_entries, UINT, "100000", .min = "1",
        .help = "mailboxes that one LIST gives at most"),
    MORTISE_OPTION(struct store_options, confine, BOOL, "yes",
        .help = "symbolic links may not lead out of the mail directory"),
    MORTISE_OPTION(struct store_options, hide_dot_files, BOOL, "yes",
        .help = "files whose names begin with a dot are not mailboxes"),
    MORTISE_OPTION(struct store_options, dot_folders, BOOL, "no", .since = "0.1",
        .help = "mailboxes are Maildir++ folders",
        .detail =
            "Mailbox `Work/2026` is the directory `.Work.2026` of `mail_dir`, which is a maildir itself. "
            "Nothing else in it is a mailbox, and a level of a name has no dot in it."),
    MORTISE_OPTION(
        struct store_options, message_size, SIZE, "1G", .min = "1k", .help = "largest message that is taken"),
    MORTISE_OPTION(struct store_options, subscription_limit, UINT, "100000", .min = "1",
        .help = "names in the subscription file at most"),
    MORTISE_OPTION(struct store_options, archive, STRING, "Archive",
        .help = "mailbox for the special use \\Archive until a client gives it to another",
        .detail =
            "As with the four options below, a mailbox of this name has the special use (RFC 6154) when "
            "it exists; it is not made. An empty name: none."),
    MORTISE_OPTION(struct store_options, drafts, STRING, "Drafts",
        .help = "mailbox for the special use \\Drafts until a client gives it to another"),
    MORTISE_OPTION(struct store_options, junk, STRING, "Junk",
        .help = "mailbox for the special use \\Junk until a client gives it to another"),
    MORTISE_OPTION(struct store_options, sent, STRING, "Sent",
        .help = "mailbox for the special use \\Sent until a client gives it to another"),
    MORTISE_OPTION(struct store_options, trash, STRING, "Trash",
        .help = "mailbox for the special use \\Trash until a client gives it to another"),
    MORTISE_OPTION(struct store_options, admin, STRING, "",
        .help = "URI by which the administrator can be reached: METADATA's /shared/admin",
        .detail = "For example `mailto:postmaster@example.org`."),
    MORTISE_OPTION(struct store_options, comment, STRING, "",
        .help = "what clients may show about this server: METADATA's /shared/comment"),
    MORTISE_OPTION(struct store_options, metadata_size, SIZE, "32k", .min = "1k", .max = "16M",
        .help = "largest value of one METADATA entry"),
    MORTISE_OPTION(struct store_options, metadata_entries, UINT, "100", .min = "10", .max = "10000",
        .help = "most METADATA entries of one mailbox, and of an account"),
    MORTISE_OPTION(struct store_options, other_users, LIST, "", .since = "0.1",
        .help = "directories that the mail of other users may be in",
        .detail =
            "Mailbox `x` of user `fred` is then `~fred/x`, and what fred shares by file permissions or "
            "SETACL can be used. For example `\"/home\", \"/var/mail\"`: sessions are no longer confined to "
            "their own user's directories, but also reach these, with no more than file permissions to keep "
            "them apart there. Empty: there are no such names."),
    MORTISE_OPTION(struct store_options, shared, PATH, "", .since = "0.1",
        .help = "directory of the mailboxes `#shared/…`",
        .detail = "New mailboxes there have mode 0660, directories 0770. Empty: there are no such names."),
    MORTISE_OPTION(struct store_options, public, PATH, "", .since = "0.1",
        .help = "directory of the mailboxes `#public/…`",
        .detail = "New mailboxes there have mode 0666, directories 0777. Empty: there are no such names."),
    MORTISE_OPTION(struct store_options, ftp, PATH, "", .since = "0.1",
        .help = "directory of the mailboxes `#ftp/…`",
        .detail = "New mailboxes there have mode 0644, directories 0755. Empty: there are no such names."),
    MORTISE_OPTION(struct store_options, mh, PATH, "", .since = "0.1",
        .help = "directory of the MH folders `#mh/…` and `#mhinbox`",
        .detail =
            "What `Path` is in a user's .mh_profile, for example `~/Mail`. The driver mh serves all of it, "
            "whatever `drivers` says first. Quotas do not count it. Empty: there are no such names."),
    MORTISE_OPTION(struct store_options, guests, UINT, "100", .since = "0.1", .min = "1", .max = "10000",
        .help = "other users and shared directories that one session reaches at most"),
    MORTISE_OPTION(struct store_options, index_state_size, SIZE, "1G", .min = "1M",
        .help = "largest file of what mailboxes cannot hold (index.state)"),
    MORTISE_OPTION(struct store_options, index_cache_size, SIZE, "4G", .min = "1M",
        .help = "largest file of what can be computed again (index.cache)"),
    MORTISE_OPTION(struct store_options, index_checkpoint, DURATION, "5m",
        .help = "time between two checkpoints of a mailbox in index.state",
        .detail =
            "What changed since the last one is found again after the machine went down; clients then ask "
            "once for all flags of the mailbox."),
    MORTISE_OPTION(struct store_options, index_vanished, UINT, "100000", .min = "100",
        .help = "expunged ranges of UIDs that are remembered for a mailbox",
        .detail = "A client that was away for longer is told of all UIDs that are not there."),
};

const struct conf_group store_conf_group = {
    .name = "store",
    .options = store_option_table,
    .count = ARRAY_LEN(store_option_table),
    .size = sizeof(struct store_options),
    .summary = "where mailboxes are and how they are named",
};

/* "~", "%u", "%h", "%%" in a configured path. */
static const char *expand(struct store *s, const char *text, struct err *e)
{
	AUTO_BUF struct buf b = BUF_INIT;
	const char *c = text;

	if (*c == '~' && (c[1] == '/' || c[1] == '\0')) {
		buf_adds(&b, s->home);
		c++;
	}
	for (; *c != '\0'; c++) {
		if (*c != '%') {
			buf_addc(&b, *c);
			continue;
		}
		c++;
		if (*c == 'u') {
			buf_adds(&b, s->user);
		} else if (*c == 'h') {
			buf_adds(&b, s->home);
		} else if (*c == '%') {
			buf_addc(&b, '%');
		} else {
			err_fault(e, MORTISE_E_INVALID, "store: %%%c in \"%s\" means nothing", *c, text);
			return NULL;
		}
	}
	while (b.n > 1 && b.p[b.n - 1] == '/')
		buf_truncate(&b, b.n - 1);
	if (b.n == 0 || b.p[0] != '/') {
		err_fault(e, MORTISE_E_INVALID, "store: \"%s\" is not an absolute path", text);
		return NULL;
	}
	return arena_strdup(s->arena, buf_cstr(&b));
}

static int split_place(struct store *s, const char *text, struct inbox_place *out, struct err *e)
{
	const char *path = expand(s, text, e), *slash;

	if (path == NULL)
		return e->code;
	slash = strrchr(path, '/');
	if (slash[1] == '\0' || path_clean(str_of(slash + 1)) != 0)
		return err_fault(e, MORTISE_E_INVALID, "store: \"%s\" is no place for INBOX", text);
	out->directory = slash == path ? "/" : arena_strndup(s->arena, path, (size_t)(slash - path));
	out->file = slash + 1;
	return 0;
}

/* A user name becomes part of paths: it may not change what they mean. */
static int check_user(const struct store_user *u, struct err *e)
{
	struct str name = str_of(u->name);

	if (path_clean(name) != 0 || str_find(name, '/') != name.n || name.p[0] == '.')
		return err_fault(e, MORTISE_E_INVALID, "store: user name cannot be part of a path");
	if (u->home == NULL || u->home[0] != '/')
		return err_fault(e, MORTISE_E_INVALID, "store: user has no home directory");
	return 0;
}

static int fill(struct store *s, struct err *e)
{
	const struct store_options *o = s->o;
	size_t i;

	s->root_path = expand(s, o->mail_dir, e);
	if (s->root_path == NULL)
		return e->code;
	s->state_path = expand(s, o->state_dir, e);
	if (s->state_path == NULL)
		return e->code;
	s->subscriptions_path = expand(s, o->subscriptions, e);
	if (s->subscriptions_path == NULL)
		return e->code;
	if (strrchr(s->subscriptions_path, '/')[1] == '\0')
		return err_fault(e, MORTISE_E_INVALID, "store: \"%s\" is not a file", o->subscriptions);
	if (o->mh != NULL && o->mh[0] != '\0' && (s->mh_path = expand(s, o->mh, e)) == NULL)
		return e->code;
	s->places = arena_array(s->arena, o->inbox.count, sizeof(*s->places));
	for (i = 0; i < o->inbox.count; i++)
		if (split_place(s, o->inbox.items[i], &s->places[i], e) != 0)
			return e->code;
	s->place_count = o->inbox.count;
	return 0;
}

int store_open_drivers(const struct store_options *o, const struct store_user *u,
    struct instance *const *drivers, size_t driver_count, struct store **out, struct err *e)
{
	struct store *s;

	*out = NULL;
	if (check_user(u, e) != 0)
		return e->code;
	s = mem_new(struct store);
	s->magic = STORE_MAGIC;
	s->o = o;
	s->arena = arena_new("store");
	s->user = arena_strdup(s->arena, u->name);
	s->home = arena_strdup(s->arena, u->home);
	s->uid = u->uid;
	s->drivers = drivers;
	s->driver_count = driver_count;
	s->root = s->journals = -1;
	s->index = (struct index_options){.state_size = o->index_state_size,
	    .cache_size = o->index_cache_size,
	    .checkpoint = o->index_checkpoint,
	    .vanished = o->index_vanished};
	if (fill(s, e) != 0) {
		store_close(&s);
		return e->code;
	}
	store_guest_namespaces(s);
	*out = s;
	return 0;
}

int store_open(const struct store_options *o, const struct store_user *u, struct registry *g,
    struct store **out, struct err *e)
{
	size_t count = 0;
	struct instance *const *drivers =
	    g != NULL ? registry_instances(g, MORTISE_KIND_DRIVER, &count) : NULL;

	return store_open_drivers(o, u, drivers, count, out, e);
}

void store_close(struct store **sp)
{
	struct store *s;

	if (*sp == NULL)
		return;
	TAKE_OBJ(s, sp, STORE_MAGIC);
	ASSERT(s->open == NULL);
	store_close_guests(s);
	io_close(&s->root);
	io_close(&s->journals);
	store_index_close(s);
	recognised_forget(s);
	arena_free(&s->arena);
	s->magic = 0;
	mem_free(s);
}

size_t store_directories(const struct store *s, struct arena *a, const char *const **out)
{
	const char **list =
	    arena_array(a, s->place_count + 4 + store_guest_directory_limit(s), sizeof(*list));
	const char *slash = strrchr(s->subscriptions_path, '/');
	size_t n = 0, i;

	list[n++] = s->home;
	list[n++] = s->root_path;
	list[n++] = s->state_path;
	list[n++] = arena_strndup(a, s->subscriptions_path, (size_t)(slash - s->subscriptions_path) + 1);
	for (i = 0; i < s->place_count; i++)
		list[n++] = s->places[i].directory;
	n += store_guest_directories(s, list + n);
	*out = list;
	return n;
}

const char *store_state_directory(const struct store *s)
{
	CHECK_OBJ(s, STORE_MAGIC);
	return s->state_path;
}

const struct index_options *store_index_options(const struct store *s)
{
	CHECK_OBJ(s, STORE_MAGIC);
	return &s->index;
}

size_t store_paths(const struct store *s, const char *name, struct arena *a, const char *const **out)
{
	const char **list = arena_array(a, s->place_count + 1, sizeof(*list));
	bool inbox = str_ieqc(str_of(name), "INBOX");
	size_t n = 0, i;

	CHECK_OBJ(s, STORE_MAGIC);
	for (i = 0; inbox && i < s->place_count; i++)
		list[n++] = arena_printf(a, "%s/%s", s->places[i].directory, s->places[i].file);
	list[n++] = name[0] == '/' ? name : arena_printf(a, "%s/%s", s->root_path, name);
	*out = list;
	return n;
}

void store_set_stop(struct store *s, int (*stop)(void *arg), void *arg)
{
	CHECK_OBJ(s, STORE_MAGIC);
	s->stop = stop;
	s->stop_arg = arg;
}

void store_set_tick(struct store *s, void (*tick)(void *arg), void *arg)
{
	CHECK_OBJ(s, STORE_MAGIC);
	s->tick = tick;
	s->tick_arg = arg;
}

int store_stopped(const struct store *s, struct err *e)
{
	int code = s->stop != NULL ? s->stop(s->stop_arg) : 0;

	if (s->tick != NULL)
		s->tick(s->tick_arg);
	return code < 0 ? err_fail(e, code, "%s", mortise_error_text(code)) : 0;
}

size_t store_namespaces(const struct store *s, const struct store_namespace **out)
{
	CHECK_OBJ(s, STORE_MAGIC);
	*out = s->namespaces;
	return s->namespace_count;
}

struct instance *store_driver(const struct store *s, struct str name)
{
	size_t i;

	for (i = 0; i < s->driver_count; i++)
		if (str_ieqc(name, s->drivers[i]->pub.name))
			return s->drivers[i];
	return NULL;
}

struct instance *store_default_driver(const struct store *s, struct err *e)
{
	struct instance *i = store_driver(s, str_of(s->o->default_driver));

	if (i == NULL)
		err_fault(
		    e, MORTISE_E_UNAVAILABLE, "default_driver \"%s\" is not loaded", s->o->default_driver);
	return i;
}

/* mkdir of an absolute path and its missing parents below the home directory. */
static int make_directory(const struct store *s, const char *path, mode_t mode)
{
	size_t n = strlen(s->home);
	AUTO_CLOSE int home = -1;

	if (mkdir(path, mode) == 0)
		return chmod(path, mode);
	if (errno == EEXIST)
		return 0;
	if (errno != ENOENT || strncmp(path, s->home, n) != 0 || path[n] != '/')
		return -1;
	home = open(s->home, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return home < 0 ? -1 : path_mkdirs(home, path + n + 1, mode, false);
}

int store_root(struct store *s, bool create, struct err *e)
{
	CHECK_OBJ(s, STORE_MAGIC);
	if (s->root >= 0)
		return 0;
	s->root = open(s->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0 && errno == ENOENT && create) {
		if (make_directory(s, s->root_path, s->o->directory_mode) != 0)
			return err_errno(e, "mkdir %s", s->root_path);
		s->root = open(s->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (s->root >= 0)
		return 0;
	if (errno == ENOENT)
		return err_fail(e, MORTISE_E_NOTFOUND, "No such mailbox");
	return err_errno(e, "open %s", s->root_path);
}

int store_state(const struct store *s)
{
	return make_directory(s, s->state_path, 0700);
}

int store_journals(struct store *s, bool create)
{
	AUTO_BUF struct buf path = BUF_INIT;

	CHECK_OBJ(s, STORE_MAGIC);
	if (s->host != NULL)
		return store_journals(s->host, create);
	if (s->journals >= 0 || s->journals_tried)
		return s->journals;
	buf_printf(&path, "%s/journals", s->state_path);
	s->journals = open(buf_cstr(&path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->journals >= 0 || !create)
		return s->journals;
	if (errno == ENOENT && store_state(s) == 0 && (mkdir(buf_cstr(&path), 0700) == 0 || errno == EEXIST))
		s->journals = open(buf_cstr(&path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->journals < 0) {
		s->journals_tried = true;
		log_msg(MSG_STORE_STATE_DIR, "%s: %m", buf_cstr(&path));
	}
	return s->journals;
}

uint64_t store_message_size(const struct store *s)
{
	CHECK_OBJ(s, STORE_MAGIC);
	return s->o->message_size;
}
