#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "auth/identity.h"
#include "log/log.h"
#include "base/banned.h"

#define ACCOUNT_SPACE_MAX (1024u * 1024) /* octets getpwnam_r may need */

/* 1 found, 0 no such account, -1 cannot say (errno). The strings live in the arena. */
static int host_account(const char *name, uid_t uid, struct arena *a, struct passwd *out)
{
	size_t size = 4096;

	for (;;) {
		char *space = arena_alloc(a, size);
		struct passwd *found = NULL;
		int r = name != NULL ? getpwnam_r(name, out, space, size, &found)
		                     : getpwuid_r(uid, out, space, size, &found);

		if (r == ERANGE && size < ACCOUNT_SPACE_MAX) {
			size *= 4;
			continue;
		}
		if (found != NULL)
			return 1;
		/* What the C library gives for "no such name" differs from system to system. */
		if (r == 0 || r == ENOENT || r == ESRCH || r == EPERM || r == EBADF)
			return 0;
		errno = r;
		return -1;
	}
}

static bool shell_is_valid(const char *shell)
{
	const char *s;
	bool found = false;

	if (shell == NULL || shell[0] == '\0')
		shell = "/bin/sh";
	setusershell();
	while (!found && (s = getusershell()) != NULL)
		found = strcmp(s, shell) == 0;
	endusershell();
	return found;
}

static void host_groups(const char *name, gid_t gid, struct auth_identity *out)
{
	gid_t groups[MORTISE_USER_GROUPS_MAX];
	int count = MORTISE_USER_GROUPS_MAX;

	if (getgrouplist(name, gid, groups, &count) < 0) {
		log_msg(MSG_AUTH_GROUPS, "user %s is in %d groups; only %d are used", name, count,
		    MORTISE_USER_GROUPS_MAX);
		count = MORTISE_USER_GROUPS_MAX;
	}
	memcpy(out->groups, groups, (size_t)count * sizeof(gid_t));
	out->group_count = (size_t)count;
}

static int from_host(const struct auth_options *o, const struct mortise_user *record, struct arena *a,
    struct auth_identity *out, struct buf *why)
{
	const char *account = record->account != NULL ? record->account : out->user;
	struct passwd pw;
	int r = host_account(account, 0, a, &pw);

	if (r < 0) {
		buf_printf(why, "; the host account %s cannot be looked up: %m", account);
		return MORTISE_AUTH_TEMP;
	}
	if (r == 0) {
		buf_printf(why, "; there is no host account %s", account);
		return MORTISE_AUTH_UNKNOWN;
	}
	if (o->valid_shell && !shell_is_valid(pw.pw_shell)) {
		buf_printf(why, "; shell %s is not in /etc/shells", pw.pw_shell);
		return MORTISE_AUTH_DISABLED;
	}
	/* The host's spelling of the name is the canonical one, unless the record has its own. */
	if (record->name == NULL && record->account == NULL)
		out->user = pw.pw_name;
	out->uid = pw.pw_uid;
	out->gid = pw.pw_gid;
	if (out->home == NULL)
		out->home = pw.pw_dir;
	host_groups(pw.pw_name, pw.pw_gid, out);
	return MORTISE_AUTH_OK;
}

static void from_self(struct arena *a, struct auth_identity *out)
{
	gid_t groups[1024];
	int count = getgroups((int)ARRAY_LEN(groups), groups);
	struct passwd pw;

	out->uid = geteuid();
	out->gid = getegid();
	if (count > MORTISE_USER_GROUPS_MAX)
		count = MORTISE_USER_GROUPS_MAX;
	if (count > 0) {
		memcpy(out->groups, groups, (size_t)count * sizeof(gid_t));
		out->group_count = (size_t)count;
	}
	if (out->home == NULL && getenv("HOME") != NULL)
		out->home = arena_strdup(a, getenv("HOME"));
	if (out->home == NULL && host_account(NULL, out->uid, a, &pw) == 1)
		out->home = pw.pw_dir;
}

static bool text_ok(const char *s)
{
	size_t n = strlen(s);
	size_t i;

	for (i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	return n > 0 && n <= AUTH_TEXT_MAX;
}

const char *identity_refusal(const struct auth_options *o, bool unprivileged, const struct auth_identity *i)
{
	size_t n;

	if (i->user == NULL || !auth_user_name_ok(str_of(i->user)))
		return "the user name is not valid";
	if (unprivileged && (i->uid != geteuid() || i->gid != getegid()))
		return "the identity is not this process's own";
	if (!unprivileged && (i->uid == 0 || i->uid == (uid_t)-1))
		return "uid 0 never logs in";
	if (!unprivileged && i->uid < o->minimum_uid)
		return "the uid is below minimum_uid";
	if (!unprivileged && (i->gid == 0 || i->gid == (gid_t)-1))
		return "gid 0 never logs in";
	if (i->group_count > MORTISE_USER_GROUPS_MAX)
		return "too many groups";
	if (i->home == NULL || i->home[0] != '/' || !text_ok(i->home))
		return "there is no home directory";
	if (i->option_count > AUTH_OPTIONS_MAX)
		return "too many options";
	for (n = 0; n < i->option_count; n++)
		if (i->options[n] == NULL || !text_ok(i->options[n]) || strchr(i->options[n], '=') == NULL)
			return "an option is not NAME=VALUE";
	return NULL;
}

static int copy_options(const struct mortise_user *record, struct arena *a, struct auth_identity *out)
{
	const char **options;
	size_t i;

	if (record->option_count > AUTH_OPTIONS_MAX)
		return -1;
	options = arena_array(a, record->option_count + 1, sizeof(*options));
	for (i = 0; i < record->option_count; i++)
		options[i] = arena_strdup(a, record->options[i]);
	out->options = options;
	out->option_count = record->option_count;
	return 0;
}

int identity_resolve(const struct auth_options *o, bool unprivileged, const struct mortise_user *record,
    const char *asked, struct arena *a, struct auth_identity *out, struct buf *why)
{
	const char *refusal;
	int r = MORTISE_AUTH_OK;

	*out = (struct auth_identity){.user = arena_strdup(a, record->name != NULL ? record->name : asked)};
	if (!auth_user_name_ok(str_of(out->user)) || record->group_count > MORTISE_USER_GROUPS_MAX ||
	    copy_options(record, a, out) != 0) {
		buf_adds(why, "; the backend's record is not valid");
		return MORTISE_AUTH_INTERNAL;
	}
	if (record->home != NULL)
		out->home = arena_strdup(a, record->home);
	if (unprivileged) {
		from_self(a, out);
	} else if (record->has_ids) {
		out->uid = record->uid;
		out->gid = record->gid;
		memcpy(out->groups, record->groups, record->group_count * sizeof(gid_t));
		out->group_count = record->group_count;
	} else {
		r = from_host(o, record, a, out, why);
	}
	if (r != MORTISE_AUTH_OK)
		return r;
	refusal = identity_refusal(o, unprivileged, out);
	if (refusal != NULL) {
		buf_printf(why, "; %s", refusal);
		return MORTISE_AUTH_DISABLED;
	}
	return MORTISE_AUTH_OK;
}
