/*
 * imapctl: looks after a running or resting server: the index, and why somebody cannot log in
 * (imapctl_auth.h). See imapctl(8).
 *
 * It is the user whose index it opens, never root: what lies in a home may be anything.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/privilege.h"
#include "base/vec.h"
#include "log/log.h"
#include "store/index.h"
#include "store/store.h"
#include "tools/imapctl_auth.h"
#include "base/banned.h"

#define EXIT_NO 1      /* what was asked for is not there, or damaged */
#define EXIT_USAGE 64  /* these are sysexits.h's */
#define EXIT_ABSENT 69 /* the index cannot be used */
#define EXIT_CONFIG 78

static const char usage[] = "usage: imapctl [OPTION]… index COMMAND MAILBOX\n"
                            "  show    print what the index knows\n"
                            "  drop    forget it; the mailbox is read anew when it is next opened\n"
                            "  verify  read all of it and count what is damaged\n"
                            "       imapctl [OPTION]… auth test USER\n"
                            "  test    ask each password backend; the password is read from standard input\n"
                            "MAILBOX is INBOX, a name below the mail directory, or an absolute path.\n"
                            "options:\n"
                            "  -a, --all            instead of MAILBOX: all of the user's\n"
                            "  -c, --config FILE    imapd.conf\n"
                            "  -d, --state-dir DIR  instead of store.state_dir\n"
                            "  -l, --lookup         auth test: who is it, without a password\n"
                            "  -s, --service NAME   auth test: instead of imap\n"
                            "  -u, --user USER      whose index; only root may say another's\n"
                            "  -h, --help           this\n";

struct known {
	struct str identity, driver, path;
	uint64_t number;
};

struct imapctl {
	const char *config, *state, *user, *service;
	bool all, lookup;
	struct arena *arena;
	struct store_options options;
	struct store *store;
	struct index *index;
	VEC(struct known) known;
};

static int fail(const struct err *e, int status)
{
	fprintf(stderr, "imapctl: %s\n", e->admin);
	return status;
}

/* ---- whose ---- */

static int become(const char *name, uid_t uid, gid_t gid, struct err *e)
{
	gid_t groups[64];
	int count = ARRAY_LEN(groups);

	if (uid == geteuid())
		return 0;
	if (geteuid() != 0)
		return err_fault(e, MORTISE_E_PERM, "only root may look at another user's index");
	if (name == NULL || getgrouplist(name, gid, groups, &count) < 0)
		count = 0;
	return privilege_drop(uid, gid, groups, (size_t)count, e);
}

/* The user of the process, or the one that root names, or the owner of the directory that root names. */
static int find_user(struct imapctl *t, struct store_user *u, struct err *e)
{
	const struct passwd *pw = t->user != NULL ? getpwnam(t->user) : getpwuid(geteuid());
	struct stat st;

	if (t->user != NULL && pw == NULL)
		return err_fault(e, MORTISE_E_NOTFOUND,
		    "there is no user \"%s\" on this host; name the state "
		    "directory instead",
		    t->user);
	if (t->user == NULL && t->state != NULL && geteuid() == 0) {
		if (stat(t->state, &st) != 0)
			return err_errno(e, "%s", t->state);
		pw = getpwuid(st.st_uid);
		if (become(pw != NULL ? pw->pw_name : NULL, st.st_uid, st.st_gid, e) != 0)
			return e->code;
	} else if (pw != NULL && become(pw->pw_name, pw->pw_uid, pw->pw_gid, e) != 0)
		return e->code;
	if (geteuid() == 0)
		return err_fault(
		    e, MORTISE_E_INVALID, "root has no mailboxes: name a user or a state directory");
	*u = (struct store_user){.name = pw != NULL ? arena_strdup(t->arena, pw->pw_name) : "nobody",
	    .home = pw != NULL ? arena_strdup(t->arena, pw->pw_dir) : "/nowhere",
	    .uid = geteuid()};
	return 0;
}

/* ---- what it is about ---- */

static int read_options(struct imapctl *t)
{
	struct conf_report *r = conf_report_new(t->arena);
	struct conf *c = conf_load(t->config, r);

	conf_fill(c, &store_conf_group, &t->options, t->arena, r);
	conf_free(&c);
	if (conf_errors(r) == 0)
		return 0;
	conf_report_print(r, stderr);
	return EXIT_CONFIG;
}

static int add_known(void *arg, struct str identity, uint64_t number)
{
	struct imapctl *t = arg;
	struct known k = {.number = number, .identity = arena_str(t->arena, identity)};

	k.path = k.identity;
	k.driver = str_cut(&k.path, '\0');
	if (k.path.p != NULL)
		*vec_push(&t->known) = k;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct known *)a)->path, ((const struct known *)b)->path);
}

/* Those that have the name stay in `known`. */
static void choose(struct imapctl *t, const char *name)
{
	const char *const *paths;
	size_t count = store_paths(t->store, name, t->arena, &paths), i, j, n = 0;

	for (i = 0; i < t->known.n; i++)
		for (j = 0; j < count; j++)
			if (str_eqc(t->known.v[i].path, paths[j])) {
				t->known.v[n++] = t->known.v[i];
				break;
			}
	t->known.n = n;
}

static int open_index(struct imapctl *t, const char *name)
{
	struct store_user u;
	struct err e = ERR_INIT;
	struct stat st;

	if (find_user(t, &u, &e) != 0)
		return fail(&e, EXIT_USAGE);
	if (store_open(&t->options, &u, NULL, &t->store, &e) != 0)
		return fail(&e, EXIT_CONFIG);
	if (t->state == NULL)
		t->state = store_state_directory(t->store);
	/* Looking makes nothing. */
	if (stat(t->state, &st) != 0) {
		(void)err_errno(&e, "%s", t->state);
		return fail(&e, errno == ENOENT ? EXIT_NO : EXIT_ABSENT);
	}
	if (index_open(store_index_options(t->store), t->state, &t->index, &e) != 0)
		return fail(&e, EXIT_ABSENT);
	if (!index_persistent(t->index))
		return EXIT_ABSENT; /* it was logged why */
	if (index_mailboxes(t->index, add_known, t, &e) != 0)
		return fail(&e, EXIT_ABSENT);
	if (!t->all)
		choose(t, name);
	if (t->known.n > 0)
		qsort(t->known.v, t->known.n, sizeof(t->known.v[0]), by_path);
	if (t->known.n > 0 || t->all)
		return 0;
	fprintf(stderr, "imapctl: the index does not know \"%s\"\n", name);
	return EXIT_NO;
}

/* ---- commands ---- */

static void print_head(const struct index_head *h)
{
	size_t i;

	printf("  UIDVALIDITY      %" PRIu32 "\n", h->uidvalidity);
	printf("  UIDNEXT          %" PRIu32 "%s\n", h->uidnext,
	    h->counted_uids ? ", counted by the server" : "");
	printf("  HIGHESTMODSEQ    %" PRIu64 "\n", h->highestmodseq);
	printf("  vanished since   %" PRIu64 "\n", h->vanished_since);
	printf("  messages         %" PRIu32 ", %" PRIu32 " unseen, %" PRIu32 " deleted, %" PRIu32
	       " recent\n",
	    h->messages, h->unseen, h->deleted, h->recent);
	if (h->octets != MORTISE_SIZE_UNKNOWN)
		printf("  octets           %" PRIu64 "\n", h->octets);
	if (h->keyword_count > 0) {
		printf("  keywords        ");
		for (i = 0; i < h->keyword_count; i++)
			printf(" %s%s", h->keywords[i].name, h->keywords[i].kept ? "" : " (kept here)");
		printf("\n");
	}
}

static int show(struct imapctl *t)
{
	struct err e = ERR_INIT;
	size_t i;

	for (i = 0; i < t->known.n; i++) {
		const struct known *k = &t->known.v[i];
		struct index_report r;
		struct index_head h;

		if (index_head(t->index, k->number, t->arena, &h, &e) != 0 ||
		    index_verify(t->index, k->number, &r, &e) != 0)
			return fail(&e, EXIT_ABSENT);
		printf("%.*s\n  driver           %.*s\n", STR_FMT(k->path), STR_FMT(k->driver));
		if (h.generation == 0)
			printf("  nothing is known of its messages\n");
		else
			print_head(&h);
		printf("  rows             %" PRIu64 " of messages, %" PRIu64 " vanished ranges, %" PRIu64
		       " wire forms, %" PRIu64 " attributes\n",
		    r.runs, r.vanished_ranges, r.wire_rows, r.attributes);
	}
	return 0;
}

static int drop(struct imapctl *t)
{
	struct err e = ERR_INIT;
	size_t i;

	for (i = 0; i < t->known.n; i++)
		if (index_forget(t->index, t->known.v[i].identity, &e) != 0)
			return fail(&e, EXIT_ABSENT);
	printf("%zu %s forgotten\n", t->known.n, t->known.n == 1 ? "mailbox" : "mailboxes");
	return 0;
}

static int verify(struct imapctl *t)
{
	struct index_report r, sum = {.damaged = 0};
	struct err e = ERR_INIT;
	size_t i;

	for (i = 0; i < (t->all ? 1 : t->known.n); i++) {
		if (index_verify(t->index, t->all ? 0 : t->known.v[i].number, &r, &e) != 0)
			return fail(&e, EXIT_ABSENT);
		sum.mailboxes += r.mailboxes;
		sum.messages += r.messages;
		sum.wire_rows += r.wire_rows;
		sum.attributes += r.attributes;
		sum.damaged += r.damaged;
		sum.state_octets = r.state_octets;
		sum.cache_octets = r.cache_octets;
	}
	printf("%" PRIu64 " mailboxes, %" PRIu64 " messages, %" PRIu64 " wire forms, %" PRIu64 " attributes; "
	       "index.cache %" PRIu64 " octets, index.state %" PRIu64 " octets; %" PRIu64 " damaged\n",
	    sum.mailboxes, sum.messages, sum.wire_rows, sum.attributes, sum.cache_octets, sum.state_octets,
	    sum.damaged);
	return sum.damaged == 0 ? 0 : EXIT_NO;
}

static int run(struct imapctl *t, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct imapctl *t);
	} commands[] = {{"show", show}, {"drop", drop}, {"verify", verify}};
	size_t i;

	if (argc == 3 && strcmp(argv[0], "auth") == 0 && strcmp(argv[1], "test") == 0) {
		struct auth_test test = {
		    .config = t->config, .user = argv[2], .service = t->service, .lookup = t->lookup};

		return auth_test(&test);
	}
	if (argc != (t->all ? 2 : 3) || strcmp(argv[0], "index") != 0) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	for (i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0) {
			int status = read_options(t);

			if (status == 0)
				status = open_index(t, t->all ? "" : argv[2]);
			return status != 0 ? status : commands[i].run(t);
		}
	fputs(usage, stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"all", no_argument, NULL, 'a'},
	    {"config", required_argument, NULL, 'c'}, {"state-dir", required_argument, NULL, 'd'},
	    {"lookup", no_argument, NULL, 'l'}, {"service", required_argument, NULL, 's'},
	    {"user", required_argument, NULL, 'u'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct imapctl t = {.known = VEC_INIT};
	int c, status;

	log_start("imapctl");
	log_catch_crashes();
	while ((c = getopt_long(argc, argv, "ac:d:ls:u:h", options, NULL)) != -1) {
		switch (c) {
		case 'a':
			t.all = true;
			break;
		case 'c':
			t.config = optarg;
			break;
		case 'd':
			t.state = optarg;
			break;
		case 'l':
			t.lookup = true;
			break;
		case 's':
			t.service = optarg;
			break;
		case 'u':
			t.user = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	t.arena = arena_new("imapctl");
	status = run(&t, argc - optind, argv + optind);
	index_close(&t.index);
	store_close(&t.store);
	vec_free(&t.known);
	arena_free(&t.arena);
	return status;
}
