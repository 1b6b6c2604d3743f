/*
 * crash.c: no crash at any call, and no failing call, loses mail.
 *
 * Each scenario is one operation on a small mailbox. It is run whole once, which gives the mailbox after it.
 * Then it is repeated in a child process with one fault (faults.h) at the first call that changes a file, the
 * second, … until it ends without meeting one. After each the mailbox is opened as any session would open it,
 * and what is there is compared with what was before and what is after:
 *
 *     it opens by itself, within the lock timeout                              I1, I10
 *     an operation that was acknowledged is there, message by message          I2, I5, I7
 *     one that was not is there whole or not at all (an expunge: for each message)   I3
 *     every other message has its UID, text and date as before                 I4, U1, U4
 *     each message's flags are the old or the new                              I7
 *     a message that was moved is in one of the two mailboxes                  I9
 *     UIDVALIDITY is the same, UIDNEXT above all UIDs that were seen           U2, U3
 *     no lock, journal or file of ours is left beside it; owner and mode are   I10, I14
 *     opening it again shows the same and changes nothing                      I15
 *     a message appended then gets a higher UID and everything else stays      U1
 *
 * Power loss (crash-power.c): the calls of the whole run are recorded, and states are built in which what was
 * not synced is there, not there, there in part, or torn between sectors of 512 octets. They are checked in
 * the same way.
 *
 *     crash [SCENARIO]       one only
 *     MORTISE_CRASH_RANDOM   random states a crash point (8; of directories 2)
 */
#include "crash.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

unsigned failures, states;
const char *fault_text;
static unsigned results, faults_met, operations;
static const char *scenario_name;

void fail(const char *format, ...)
{
	va_list ap;

	failures++;
	printf("# %s, %s: ", scenario_name, fault_text);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
}

void must(int r, const struct err *e, const char *what)
{
	if (r >= 0 && e->code == 0)
		return;
	fprintf(stderr, "crash: %s: %d %s %s\n", what, r, e->admin, e->client);
	abort();
}

/* ---- checking ---- */

const struct scenario *now;
static bool debris;               /* what could not be removed may be left */
static struct seen before, after; /* of the watched mailbox */
static struct seen other_before;  /* of "box" when another is watched */

/* The one that became it, where its UID may be another one. */
static const struct seen_message *by_text(const struct seen *s, const struct seen_message *m)
{
	for (size_t i = 0; i < s->count; i++)
		if (same_text(&s->m[i], m))
			return &s->m[i];
	return NULL;
}

static const struct seen_message *counterpart(
    const struct seen *s, const struct seen_message *m, bool acknowledged)
{
	return (now->is & SKIPS_UIDS) && !acknowledged ? by_text(s, m) : by_uid(s, m->uid);
}

static void check_message(const struct seen_message *m, bool acknowledged)
{
	const struct seen_message *old = counterpart(&before, m, acknowledged);
	const struct seen_message *new = counterpart(&after, m, acknowledged);

	if (old == NULL && new == NULL)
		fail("UID %u comes from nowhere: %.60s", m->uid, m->text);
	else if (!same_text(m, old != NULL ? old : new))
		fail("UID %u is not what it was: %zu octets, %zu before", m->uid, m->size,
		    old != NULL ? old->size : new->size);
	else if (new == NULL && acknowledged)
		fail("UID %u was expunged and is back", m->uid);
	else if (!(new != NULL &&same_flags(m, new)) &&
	         !(old != NULL && !acknowledged && same_flags(m, old)) &&
	         !(old == NULL && !acknowledged && (now->is & APART) && m->keywords[0] == '\0' &&
	             m->flags == new->flags))
		fail("UID %u has flags %#x \"%s\"", m->uid, m->flags, m->keywords);
}

static void check_missing(const struct seen *s, bool acknowledged)
{
	size_t came = 0, fresh = 0;

	for (size_t i = 0; i < after.count; i++) {
		bool is_new = by_uid(&before, after.m[i].uid) == NULL;
		bool there = counterpart(s, &after.m[i], acknowledged) != NULL;

		fresh += is_new;
		came += is_new && there;
		if (!there && (!is_new || acknowledged))
			fail("UID %u is lost", after.m[i].uid);
	}
	if (came != 0 && came != fresh && (acknowledged || !(now->is & IN_PARTS)))
		fail("%zu of a batch of %zu are there", came, fresh);
}

static void check_order(const struct seen *s)
{
	for (size_t i = 0; i < s->count; i++) {
		if (i > 0 && s->m[i].uid <= s->m[i - 1].uid)
			fail("UID %u follows %u", s->m[i].uid, s->m[i - 1].uid);
		if (s->m[i].uid >= s->uidnext)
			fail("UIDNEXT %u, but there is UID %u", s->uidnext, s->m[i].uid);
	}
}

static void check_same(const struct seen *a, const struct seen *b, const char *what)
{
	bool same = a->count == b->count && a->uidvalidity == b->uidvalidity && a->uidnext == b->uidnext;

	for (size_t i = 0; same && i < a->count; i++)
		same = a->m[i].uid == b->m[i].uid && same_text(&a->m[i], &b->m[i]) &&
		       same_flags(&a->m[i], &b->m[i]);
	if (!same)
		fail("%s", what);
}

static void check_folder(const char *name, bool boxes_allowed)
{
	DIR *d = opendir(path_of(name));
	struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.' && !(boxes_allowed && (strcmp(entry->d_name, "box") == 0 ||
		                                                      strcmp(entry->d_name, "other") == 0)))
			fail("%s/%s is left", name, entry->d_name);
	if (d != NULL)
		closedir(d);
}

/* Here or there, or both as long as nobody was told. */
static void check_moved(const struct seen *here, const struct seen *there)
{
	for (size_t i = 0; i < before.count; i++)
		if (by_text(here, &before.m[i]) == NULL && by_text(there, &before.m[i]) == NULL)
			fail("UID %u is neither where it was nor where it was moved", before.m[i].uid);
}

/* A later message gets a later UID and harms nobody. */
static void check_append(const struct seen *s, bool acknowledged)
{
	const char *text = text_of("a later one", 100);
	struct err e = ERR_INIT;
	struct store *store = world_store();
	struct seen then;
	uint32_t least = acknowledged && after.uidnext > s->uidnext ? after.uidnext : s->uidnext;

	append_to(store, now->watched, &text, 1, 0, NULL, &e);
	store_close(&store);
	if (e.code != 0)
		fail("a later append fails: %s", e.admin);
	else if (look(now->watched, 0, &then)) {
		if (then.count != s->count + 1 || then.m[s->count].uid < least ||
		    strcmp(then.m[s->count].text, text) != 0)
			fail("a later message: %zu there, UID %u, expected from %u on", then.count,
			    then.count > 0 ? then.m[then.count - 1].uid : 0, least);
		for (size_t i = 0; i < s->count && i < then.count; i++)
			if (then.m[i].uid != s->m[i].uid || !same_text(&then.m[i], &s->m[i]) ||
			    !same_flags(&then.m[i], &s->m[i]))
				fail("UID %u changed by a later append", s->m[i].uid);
		seen_free(&then);
	}
}

/* Whoever changes the mailbox that was copied from meets the lock that was left on it. */
static void change_source(void)
{
	const char *text = text_of("a later one", 100);
	struct store *store = world_store();
	struct err e = ERR_INIT;

	append_to(store, "box", &text, 1, 0, NULL, &e);
	store_close(&store);
	if (e.code != 0)
		fail("a later append to the mailbox that was copied from fails: %s", e.admin);
}

void check(bool acknowledged)
{
	struct timespec begin, end;
	struct seen s, again, other = {0};
	static unsigned turn;
	bool only_look;
	struct stat st;
	uint32_t was;

	only_look = ++turn % 3 == 0 && !(now->is & UNFINISHED);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (!look(now->watched, only_look ? MAILBOX_READ_ONLY : 0, &s))
		return;
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (end.tv_sec - begin.tv_sec > 2)
		fail("opening took %ld s", (long)(end.tv_sec - begin.tv_sec));
	was = (now->is & WITHOUT_UIDS) ? shared->uidvalidity : after.uidvalidity;
	if ((!(now->is & WITHOUT_UIDS) || (acknowledged && was != 0)) && s.uidvalidity != was)
		fail("UIDVALIDITY is %u, was %u", s.uidvalidity, was);
	for (size_t i = 0; i < s.count; i++)
		check_message(&s.m[i], acknowledged);
	check_missing(&s, acknowledged);
	check_order(&s);
	if (s.uidnext < before.uidnext || (acknowledged && s.uidnext < after.uidnext))
		fail("UIDNEXT went back to %u", s.uidnext);
	if (look(now->watched, 0, &again)) {
		check_same(&s, &again, "opened again it is another");
		if ((!only_look && again.st.st_size != s.st.st_size) || again.st.st_ino != s.st.st_ino)
			fail("opening it again changed the file");
		seen_free(&again);
	}
	if (stat(path_of(strcmp(now->watched, "box") == 0 ? boxes[0] : boxes[1]), &st) != 0 ||
	    (st.st_mode & 07777) != (crash_driver.directory ? 0700 : 0600) || st.st_uid != geteuid())
		fail("owner or mode changed");
	/* A move may have stopped in the middle of what it did to the other one. */
	if (now->act == do_move && look("other", 0, &other)) {
		check_moved(&s, &other);
		seen_free(&other);
	}
	if (strcmp(now->watched, "box") != 0 && look("box", 0, &again)) {
		check_same(&other_before, &again, "the mailbox that was copied from changed");
		seen_free(&again);
		change_source();
	}
	check_append(&s, acknowledged);
	/* Who only looks may leave a dead process's lock to those who lock. */
	if (!debris) {
		check_folder("mail", true);
		if (crash_driver.look != NULL)
			crash_driver.look();
		check_folder(".mortise/journals", false);
	}
	seen_free(&s);
}

/* ---- one run with a fault ---- */

static void child(const struct fault *f)
{
	struct err e = ERR_INIT;
	struct store *s = world_store();

	/* Who cannot let go of a lock need not be waited for long. */
	if (f->kind == FAULT_ERROR)
		w.options.lock_timeout = 50;
	faults_arm(f);
	now->act(s, &e);
	shared->code = e.code;
	snprintf(shared->text, sizeof shared->text, "%.500s", e.admin[0] != '\0' ? e.admin : e.client);
	shared->acknowledged = e.code == 0;
	store_close(&s);
	faults_off();
	_exit(0);
}

bool run(const struct fault *f)
{
	int status;
	pid_t pid;

	shared->calls = 0;
	shared->met = shared->acknowledged = false;
	shared->events = shared->octets = 0;
	shared->code = 0;
	shared->uidvalidity = 0;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		child(f);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	operations++;
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		fail("died of signal %d", WTERMSIG(status));
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		fail("ended with %d", WEXITSTATUS(status));
	return shared->met;
}

static const struct {
	const char *name;
	struct fault fault;
} kinds[] = {
    {"killed", {.kind = FAULT_KILL}},
    {"killed in a write", {.kind = FAULT_TORN}},
    {"ENOSPC", {.kind = FAULT_ERROR, .error = ENOSPC}},
    {"ENOSPC from then on", {.kind = FAULT_ERROR, .error = ENOSPC, .sticky = true}},
    {"EIO", {.kind = FAULT_ERROR, .error = EIO}},
    {"EIO from then on", {.kind = FAULT_ERROR, .error = EIO, .sticky = true}},
    {"EDQUOT", {.kind = FAULT_ERROR, .error = EDQUOT}},
    {"EINTR", {.kind = FAULT_ERROR, .error = EINTR}},
    {"short write", {.kind = FAULT_SHORT}},
    {"short writes", {.kind = FAULT_SHORT, .sticky = true}},
};

void report(const char *what, unsigned failed_before, unsigned points)
{
	printf("%s %u - %s, %s (%u points)\n", failures == failed_before ? "ok" : "not ok", ++results,
	    now->name, what, points);
	fflush(stdout);
}

static void sweep(size_t kind, const struct kept *start)
{
	struct fault f = kinds[kind].fault;
	unsigned failed_before = failures;
	char text[80];

	debris = f.error == EIO;
	for (f.at = 1; f.at < 10000; f.at++) {
		bool met;

		restore(start);
		snprintf(text, sizeof text, "%s at call %u", kinds[kind].name, f.at);
		fault_text = text;
		met = run(&f);
		if (!met && !shared->acknowledged)
			fail("fails without a fault: %s", shared->text);
		if (met)
			faults_met++;
		if (getenv("MORTISE_CRASH_TELL") != NULL)
			printf("# %s %s: acknowledged %d, %s\n", now->name, text, shared->acknowledged,
			    shared->text);
		/* A short write or an interrupted call is no reason to fail. */
		if (met && f.kind == FAULT_SHORT && !shared->acknowledged)
			fail("fails after a short write: %s", shared->text);
		check(shared->acknowledged);
		if (!met)
			break;
	}
	debris = false;
	report(kinds[kind].name, failed_before, f.at - 1);
}

/* ---- all of it ---- */

static void try_scenario(const struct scenario *s)
{
	const struct fault none = {.kind = FAULT_NONE};
	struct kept start;

	now = s;
	scenario_name = s->name;
	fault_text = "without a fault";
	world_empty();
	s->start();
	keep(&start);
	/* What is there before may have no UIDs yet: then it is what it is afterwards. */
	run(&none);
	if (!shared->acknowledged)
		fail("fails: %s", shared->text);
	look(s->watched, 0, &after);
	restore(&start);
	look(s->watched, 0, &before);
	if (strcmp(s->watched, "box") != 0)
		look("box", 0, &other_before);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		sweep(i, &start);
	power_loss(&start);
	seen_free(&before);
	seen_free(&after);
	seen_free(&other_before);
	kept_free(&start);
}

int main(int argc, char **argv)
{
	faults_map();
	world_make();
	w.seed = 1;
	for (size_t i = 0; i < crash_driver.count; i++)
		if (argc < 2 || strcmp(argv[1], crash_driver.scenarios[i].name) == 0)
			try_scenario(&crash_driver.scenarios[i]);
	printf("# %u operations, %u faults met, %u states after power loss, %u failures\n", operations,
	    faults_met, states, failures);
	printf("1..%u\n", results);
	world_end();
	return failures > 0;
}
