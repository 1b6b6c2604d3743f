#include "store/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "log/log.h"
#include "store/quota_int.h"
#include "base/banned.h"

#define ATTRIBUTE STR("quota")
#define FILESYSTEM "!filesystem/"
#define LOCK_STEP 5000000 /* ns between two looks at the lock */

const char *const quota_resource_names[QUOTA_RESOURCES] = {
    [QUOTA_STORAGE] = "STORAGE",
    [QUOTA_MESSAGE] = "MESSAGE",
    [QUOTA_MAILBOX] = "MAILBOX",
    [QUOTA_ANNOTATION_STORAGE] = "ANNOTATION-STORAGE",
};

static const struct mortise_option table[] = {
    MORTISE_OPTION(struct quota_options, limits, LIST, "", .since = "0.1", .flags = MORTISE_OPTION_PER_USER,
        .help = "what every user may have: a resource and a number",
        .detail =
            "For example `\"STORAGE=1G\", \"MESSAGE=100000\"`. Resources are those of RFC 9208: `STORAGE` "
            "(octets of all messages), `MESSAGE` (how many), `MAILBOX` (how many) and "
            "`ANNOTATION-STORAGE` (octets of METADATA entries). What is not named has no limit. A user's "
            "record may replace the whole list, as `quota.limits`. Usage is counted from the mailboxes, so "
            "mail that other programs deliver counts, but is not refused."),
    MORTISE_OPTION(struct quota_options, warning, UINT, "90", .since = "0.1", .min = "1", .max = "100",
        .help = "percent of a limit from which on a client that adds a message is warned"),
    MORTISE_OPTION(struct quota_options, administrators, LIST, "", .since = "0.1",
        .help = "users who may change limits with SETQUOTA",
        .detail = "A session can touch only what its user may: an administrator changes the limits of his "
                  "own account. Those of others are in `limits` and in their records."),
};

const struct conf_group quota_conf_group = {
    .name = "quota",
    .options = table,
    .count = ARRAY_LEN(table),
    .size = sizeof(struct quota_options),
    .summary = "what users may keep",
};

bool quota_resource_parse(struct str name, enum quota_resource *out)
{
	int i;

	for (i = 0; i < QUOTA_RESOURCES; i++)
		if (str_ieqc(name, quota_resource_names[i])) {
			*out = (enum quota_resource)i;
			return true;
		}
	return false;
}

static void no_limits(struct quota_limits *l)
{
	size_t i;

	for (i = 0; i < QUOTA_RESOURCES; i++)
		l->of[i] = QUOTA_UNLIMITED;
}

/* Octets in the protocol's units of 1024, and the other way. */
static bool in_octets(size_t resource)
{
	return resource == QUOTA_STORAGE || resource == QUOTA_ANNOTATION_STORAGE;
}

static uint64_t unit(size_t resource)
{
	return in_octets(resource) ? 1024 : 1;
}

/* "RESOURCE=NUMBER", the number with a unit where it is of octets. */
static int parse_limit(const char *text, struct quota_limits *out, struct err *e)
{
	struct value {
		uint64_t size, number;
	} value = {0};
	static const struct mortise_option size = MORTISE_OPTION(struct value, size, SIZE, "0");
	static const struct mortise_option number = MORTISE_OPTION(struct value, number, UINT, "0");
	AUTO_ARENA struct arena *a = arena_new("quota");
	struct str rest = str_of(text), name = str_cut(&rest, '=');
	enum quota_resource r;

	if (rest.p == NULL || !quota_resource_parse(str_trim(name), &r))
		return err_fault(e, MORTISE_E_INVALID,
		    "quota.limits: \"%s\" is no resource of RFC 9208 with a number", text);
	if (conf_set(in_octets(r) ? &size : &number, &value, str_trim(rest), a, e) != 0)
		return e->code;
	out->of[r] = in_octets(r) ? value.size / 1024 + (value.size % 1024 != 0) : value.number;
	return out->of[r] <= INT64_MAX / 1024
	           ? 0
	           : err_fault(e, MORTISE_E_INVALID, "quota.limits: \"%s\" is too large", text);
}

int quota_limits_parse(const struct mortise_list *list, struct quota_limits *out, struct err *e)
{
	size_t i;

	no_limits(out);
	for (i = 0; i < list->count; i++)
		if (parse_limit(list->items[i], out, e) != 0)
			return e->code;
	return 0;
}

int store_set_quota(struct store *s, const struct quota_options *o, struct err *e)
{
	CHECK_OBJ(s, STORE_MAGIC);
	s->quota = arena_new_of(s->arena, struct quota_limits);
	if (quota_limits_parse(&o->limits, s->quota, e) != 0)
		return e->code;
	s->quota_options = o;
	return 0;
}

bool store_quota_administrator(const struct store *s)
{
	size_t i;

	CHECK_OBJ(s, STORE_MAGIC);
	for (i = 0; s->quota_options != NULL && i < s->quota_options->administrators.count; i++)
		if (strcmp(s->quota_options->administrators.items[i], s->user) == 0)
			return true;
	return false;
}

/* What was set for the account, else what is configured. */
static int read_limits(struct store *s, struct quota_limits *out, struct err *e)
{
	AUTO_BUF struct buf set = BUF_INIT;
	struct index *x;

	no_limits(out);
	if (s->quota == NULL)
		return 0;
	*out = *s->quota;
	x = store_index(s, e);
	if (x == NULL || index_attribute(x, 0, ATTRIBUTE, &set, e) < 0)
		return e->code;
	if (set.n == sizeof(*out))
		memcpy(out, set.p, sizeof(*out));
	return 0;
}

/* ---- roots ---- */

/* Directories where mailboxes of the user are: of the mail directory and of INBOX's places. */
static size_t mail_directories(const struct store *s, struct arena *a, const char ***out)
{
	const char **list = arena_array(a, s->place_count + 1, sizeof(*list));
	size_t n = 0, i;

	list[n++] = s->root_path;
	for (i = 0; i < s->place_count; i++)
		list[n++] = s->places[i].directory;
	*out = list;
	return n;
}

/* The root of the file system where the directory is; NULL: the kernel has no quota there. */
static const char *filesystem_root(
    const struct store *s, const char *directory, struct arena *a, struct quota_root *out)
{
	AUTO_CLOSE int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
	uint64_t used, most;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || !kernel_quota(fd, s->uid, &used, &most))
		return NULL;
	*out = (struct quota_root){
	    .name = arena_printf(a, FILESYSTEM "%u:%u", major(st.st_dev), minor(st.st_dev))};
	no_limits(&out->limit);
	out->limit.of[QUOTA_STORAGE] = most / 1024;
	out->usage[QUOTA_STORAGE] = used / 1024 + (used % 1024 != 0);
	return out->name;
}

static int own_root(struct store *s, struct quota_root *out, struct err *e)
{
	unsigned wanted = 0;
	size_t i;

	*out = (struct quota_root){.name = ""};
	if (read_limits(s, &out->limit, e) != 0)
		return e->code;
	for (i = 0; i < QUOTA_RESOURCES; i++)
		if (out->limit.of[i] != QUOTA_UNLIMITED)
			wanted |= QUOTA_BIT(i);
	if (quota_usage(s, wanted, out->usage, e) != 0)
		return e->code;
	for (i = 0; i < QUOTA_RESOURCES; i++)
		out->usage[i] = out->usage[i] / unit(i) + (out->usage[i] % unit(i) != 0);
	return 0;
}

int store_quota(struct store *s, const char *root, struct arena *a, struct quota_root *out, struct err *e)
{
	const char **directories;
	size_t n, i;

	CHECK_OBJ(s, STORE_MAGIC);
	if (root[0] == '\0')
		return own_root(s, out, e);
	n = mail_directories(s, a, &directories);
	for (i = 0; i < n; i++) {
		const char *name = filesystem_root(s, directories[i], a, out);

		if (name != NULL && strcmp(name, root) == 0)
			return 0;
	}
	return err_fail(e, MORTISE_E_NOTFOUND, "No such quota root");
}

int store_quota_roots(struct store *s, const char *mailbox, struct arena *a, const char *const **names,
    size_t *count, struct err *e)
{
	const char **list = arena_array(a, 2, sizeof(*list));
	struct quota_root root;
	struct name n;
	struct target t;

	CHECK_OBJ(s, STORE_MAGIC);
	*names = list;
	*count = 0;
	if (name_parse(s, mailbox, NAME_MAY_CHOOSE | NAME_DIRECTORY, a, &n, e) != 0)
		return e->code;
	if (n.where != NULL)
		return 0; /* the owner's quota, which is not this user's business */
	list[(*count)++] = "";
	if (n.inbox) {
		if (target_find(s, &n, &t, e) != 0)
			return e->code;
		list[*count] = filesystem_root(s, t.directory, a, &root);
		target_close(&t);
	} else {
		list[*count] = filesystem_root(s, s->root_path, a, &root);
	}
	*count += list[*count] != NULL;
	return 0;
}

int store_quota_set(struct store *s, const char *root, const struct quota_limits *l, struct err *e)
{
	AUTO_ARENA struct arena *a = NULL;
	struct quota_root there;
	struct str value = str_mem(l, sizeof(*l));
	struct index *x;

	CHECK_OBJ(s, STORE_MAGIC);
	if (root[0] != '\0') {
		a = arena_new("quota");
		if (store_quota(s, root, a, &there, e) != 0)
			return e->code;
		return err_fail(e, MORTISE_E_PERM, "The file system's own limit cannot be changed here");
	}
	x = store_index(s, e);
	return x == NULL ? e->code : index_attribute_set(x, 0, ATTRIBUTE, &value, e);
}

/* ---- room ---- */
bool quota_limits(struct store *s, enum quota_resource r)
{
	struct quota_limits l;
	struct err e = ERR_INIT;

	return read_limits(s, &l, &e) == 0 && l.of[r] != QUOTA_UNLIMITED;
}

static unsigned concerned(const struct quota_limits *l, const struct quota_room *r)
{
	unsigned bits = 0;
	size_t i;

	for (i = 0; i < QUOTA_RESOURCES; i++)
		if (r->more[i] > 0 && l->of[i] != QUOTA_UNLIMITED)
			bits |= QUOTA_BIT(i);
	return bits;
}

static uint64_t percent(uint64_t n, uint64_t p)
{
	return n / 100 * p + n % 100 * p / 100;
}

static int check(struct store *s, const struct quota_limits *l, const struct quota_room *r, struct err *e)
{
	unsigned wanted = concerned(l, r);
	uint64_t usage[QUOTA_RESOURCES];
	size_t i;

	if (quota_usage(s, wanted, usage, e) != 0)
		return e->code;
	for (i = 0; i < QUOTA_RESOURCES; i++) {
		uint64_t most, then;

		if ((wanted & QUOTA_BIT(i)) == 0)
			continue;
		most = l->of[i] * unit(i);
		if (__builtin_add_overflow(usage[i], r->more[i], &then) || then > most) {
			log_msg(MSG_STORE_QUOTA, "%s: %llu of %llu, and %llu more", quota_resource_names[i],
			    (unsigned long long)usage[i], (unsigned long long)most,
			    (unsigned long long)r->more[i]);
			return err_fail(e, MORTISE_E_QUOTA, "Quota exceeded: %s", quota_resource_names[i]);
		}
		/* RFC 9208 §4.3.1 has the warning for what adds messages. */
		if (i == QUOTA_STORAGE || i == QUOTA_MESSAGE)
			s->quota_soft = s->quota_soft || then > percent(most, s->quota_options->warning);
	}
	return 0;
}

int quota_check(struct store *s, const struct quota_room *r, struct err *e)
{
	bool soft = s->quota_soft;
	struct quota_limits l;

	if (read_limits(s, &l, e) == 0)
		check(s, &l, r, e);
	s->quota_soft = soft; /* nothing was added yet */
	return e->code;
}

/* The lock goes with the descriptor, so with the process. */
static int lock_account(struct store *s, struct err *e)
{
	AUTO_BUF struct buf path = BUF_INIT;
	uint64_t deadline = clock_ms() + s->o->lock_timeout;
	const struct timespec step = {0, LOCK_STEP};
	int fd;

	buf_printf(&path, "%s/quota.lock", s->state_path);
	if (store_state(s) != 0)
		return err_errno(e, "mkdir %s", s->state_path);
	fd = open(buf_cstr(&path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (fd < 0)
		return err_errno(e, "open %s", buf_cstr(&path));
	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			err_errno(e, "lock %s", buf_cstr(&path));
		else if (clock_ms() > deadline)
			err_fail(e, MORTISE_E_INUSE, "Another session is adding messages");
		else if (store_stopped(s, e) == 0)
			nanosleep(&step, NULL);
		if (e->code != 0) {
			close(fd);
			return e->code;
		}
	}
	return fd;
}

int quota_begin(struct store *s, const struct quota_room *r, int *lock, struct err *e)
{
	struct quota_limits l;

	*lock = -1;
	if (read_limits(s, &l, e) != 0)
		return e->code;
	if (concerned(&l, r) == 0)
		return 0;
	*lock = lock_account(s, e);
	if (*lock < 0)
		return e->code;
	if (check(s, &l, r, e) != 0)
		quota_done(lock);
	return e->code;
}

void quota_done(int *lock)
{
	io_close(lock);
}

bool store_quota_warns(struct store *s)
{
	bool warns = s->quota_soft;

	CHECK_OBJ(s, STORE_MAGIC);
	s->quota_soft = false;
	return warns;
}
