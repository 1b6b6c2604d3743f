/*
 * drive.c: a driver by hand, with the commands and the output of tests/interop/cclient-dump.c, so that
 * the two can be set against each other.
 *
 *     drive MAILBOX [option NAME=VALUE]... [dump | set UIDS FLAGS | clear UIDS FLAGS | append FILE FLAGS
 * UNIXTIME | later | expunge | seen | create | lock | hold]...
 *
 * After `later`, what is expunged stays in the file when the driver is closed. Without commands: dump, opened
 * read-only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "test-support.h"

static int failed;

static void complain(struct session *s, const char *what, int r)
{
	if (r == 0)
		return;
	fprintf(stderr, "error: %s: %d %s\n", what, r, s->e.admin[0] != '\0' ? s->e.admin : s->e.client);
	failed = 1;
}

static const struct {
	const char *name;
	uint32_t flag;
} flag_names[] = {{"\\Seen", MORTISE_FLAG_SEEN}, {"\\Deleted", MORTISE_FLAG_DELETED},
    {"\\Flagged", MORTISE_FLAG_FLAGGED}, {"\\Answered", MORTISE_FLAG_ANSWERED},
    {"\\Draft", MORTISE_FLAG_DRAFT}};

static void print_flags(const struct session *s, const struct known_message *k)
{
	const char *space = "";

	printf("flags \"");
	for (size_t i = 0; i < 5; i++)
		if (k->flags & flag_names[i].flag) {
			printf("%s%s", space, flag_names[i].name);
			space = " ";
		}
	for (size_t i = 0; i < s->name_count; i++)
		if (k->keywords >> i & 1) {
			printf("%s%s", space, s->names[i]);
			space = " ";
		}
	printf("\"");
}

static void print_date(const struct known_message *k)
{
	time_t t = (time_t)(k->m.internal_date + (int64_t)k->m.zone * 60);
	int zone = k->m.zone < 0 ? -k->m.zone : k->m.zone;
	char text[40];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof text, "%e-%b-%Y %H:%M:%S", &tm);
	printf(" date \"%s %c%02d%02d\" ", text, k->m.zone < 0 ? '-' : '+', zone / 60, zone % 60);
}

static void dump(struct session *s)
{
	complain(s, "sync", session_sync(s));
	printf("UIDVALIDITY %u\nUIDNEXT %u\nKEYWORDS", s->uidvalidity, s->uidnext);
	for (size_t i = 0; i < s->name_count; i++)
		printf(" %s", s->names[i]);
	printf("\n");
	for (size_t i = 0; i < s->count; i++) {
		unsigned char digest[EVP_MAX_MD_SIZE];
		size_t size;
		unsigned n = 0;
		const char *text = session_read(s, s->messages[i].uid, &size);

		if (text == NULL)
			exit(1);
		printf("uid %u ", s->messages[i].uid);
		print_flags(s, &s->messages[i]);
		printf(" size %llu", (unsigned long long)s->messages[i].m.octets);
		print_date(&s->messages[i]);
		EVP_Digest(text, size, digest, &n, EVP_sha256(), NULL);
		printf("digest ");
		for (unsigned j = 0; j < n; j++)
			printf("%02x", digest[j]);
		printf("\n");
	}
	fflush(stdout);
}

static bool in_set(const char *set, uint32_t uid)
{
	for (const char *p = set; *p != '\0';) {
		char *end;
		unsigned long low = strtoul(p, &end, 10), high = low;

		if (*end == ':')
			high = end[1] == '*' ? UINT32_MAX : strtoul(end + 1, &end, 10);
		if (*end == '*' || *end == ':')
			end += *end == ':' ? 2 : 1;
		if (uid >= low && uid <= high)
			return true;
		p = *end == ',' ? end + 1 : "";
	}
	return false;
}

static void words(struct session *s, const char *flags, bool make, uint32_t *system, uint64_t *bits)
{
	char *copy = arena_strdup(s->rig->arena, flags), *save = NULL;

	*system = 0;
	*bits = 0;
	for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
		unsigned bit = 64;
		for (size_t i = 0; i < 5; i++)
			if (strcmp(w, flag_names[i].name) == 0)
				*system |= flag_names[i].flag;
		if (*w == '\\')
			continue;
		for (unsigned i = 0; i < s->name_count; i++)
			if (strcmp(s->names[i], w) == 0)
				bit = i;
		if (bit == 64 && make)
			complain(s, "add_keyword", session_keyword(s, w, &bit));
		if (bit < 64)
			*bits |= UINT64_C(1) << bit;
	}
}

static void store(struct session *s, const char *set, const char *flags, bool on)
{
	uint32_t system, *uids;
	uint64_t bits;
	size_t n = 0;

	complain(s, "sync", session_sync(s));
	words(s, flags, on, &system, &bits);
	complain(s, "sync", session_sync(s));
	uids = mem_array(s->count + 1, sizeof *uids);
	for (size_t i = 0; i < s->count; i++)
		if (in_set(set, s->messages[i].uid))
			uids[n++] = s->messages[i].uid;
	for (size_t i = 0; i < n; i++)
		complain(s, "set_flags",
		    on ? session_add_flags(s, uids[i], system, bits)
		       : session_remove_flags(s, uids[i], system, bits));
	mem_free(uids);
}

static void expunge(struct session *s)
{
	uint32_t *uids;
	size_t n = 0;

	complain(s, "sync", session_sync(s));
	uids = mem_array(s->count + 1, sizeof *uids);
	for (size_t i = 0; i < s->count; i++)
		if (s->messages[i].flags & MORTISE_FLAG_DELETED)
			uids[n++] = s->messages[i].uid;
	complain(s, "expunge", session_expunge(s, uids, n));
	mem_free(uids);
}

static void append(struct session *s, const char *file, const char *flags)
{
	FILE *f = fopen(file, "rb");
	static char text[1 << 20];
	char keywords[256] = "", *copy = arena_strdup(s->rig->arena, flags), *save = NULL;
	uint32_t system, uid = 0;
	uint64_t bits;

	if (f == NULL) {
		perror(file);
		exit(1);
	}
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	words(s, flags, false, &system, &bits);
	for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		if (*w != '\\') {
			strncat(keywords, w, sizeof keywords - strlen(keywords) - 1);
			strncat(keywords, " ", sizeof keywords - strlen(keywords) - 1);
		}
	complain(s, "append", session_append(s, text, system, keywords, &uid));
	printf("appended %u\n", uid);
}

static void create(struct session *s)
{
	struct call_env env = {.journal_dir = -1};
	struct call c;
	int r;

	call_begin(&c, s->rig->instance, &env, "create");
	r = rig_ops(s->rig)->create(&c.pub, &s->place);
	complain(s, "create", call_end(&c, r, &s->e));
}

static void hold(void)
{
	char line[80];

	printf("holding\n");
	fflush(stdout);
	if (fgets(line, sizeof line, stdin) == NULL)
		return;
}

static int command(struct session *s, int argc, char **argv)
{
	if (strcmp(argv[0], "dump") == 0)
		dump(s);
	else if (strcmp(argv[0], "expunge") == 0)
		expunge(s);
	else if (strcmp(argv[0], "later") == 0)
		complain(s, "checkpoint", session_checkpoint(s));
	else if (strcmp(argv[0], "seen") == 0)
		complain(s, "seen_recent", session_seen(s));
	else if (strcmp(argv[0], "lock") == 0)
		complain(s, "lock", session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	else if (strcmp(argv[0], "hold") == 0)
		hold();
	else if (strcmp(argv[0], "set") == 0 && argc >= 3)
		store(s, argv[1], argv[2], true);
	else if (strcmp(argv[0], "clear") == 0 && argc >= 3)
		store(s, argv[1], argv[2], false);
	else if (strcmp(argv[0], "append") == 0 && argc >= 3)
		append(s, argv[1], argv[2]);
	else {
		fprintf(stderr, "error: unknown command %s\n", argv[0]);
		exit(2);
	}
	return strcmp(argv[0], "set") == 0 || strcmp(argv[0], "clear") == 0 || strcmp(argv[0], "append") == 0
	           ? 3
	           : 1;
}

static int end(struct rig *r)
{
	close(r->root);
	if (r->journals >= 0)
		close(r->journals);
	arena_free(&r->arena);
	return failed;
}

/* A rig about a real folder. */
static void rig_at(struct rig *r, char *path)
{
	char *slash = strrchr(path, '/');

	memset(r, 0, sizeof *r);
	if (slash != NULL)
		*slash = '\0';
	r->root = open(slash != NULL ? path : ".", O_PATH | O_DIRECTORY);
	r->file = slash != NULL ? slash + 1 : path;
	r->journals = openat(r->root, ".journals", O_RDONLY | O_DIRECTORY);
	r->arena = arena_new("drive");
	r->instance = instance_builtin(r->arena, rig_module(), rig_module()->name);
	r->lock_timeout = 20000;
	r->inbox = getenv("DRIVE_INBOX") != NULL;
}

int main(int argc, char **argv)
{
	struct rig r;
	struct session s;
	int i = 2;

	if (argc < 2) {
		fprintf(stderr, "usage: drive MAILBOX [COMMAND...]\n");
		return 2;
	}
	rig_at(&r, argv[1]);
	for (; i + 1 < argc && strcmp(argv[i], "option") == 0; i += 2) {
		char *equals = strchr(argv[i + 1], '=');
		*equals = '\0';
		rig_option(&r, argv[i + 1], equals + 1);
	}
	if (argc == i + 1 && strcmp(argv[i], "create") == 0) {
		memset(&s, 0, sizeof s);
		s.rig = &r;
		s.place = (struct mortise_place){.size = sizeof s.place,
		    .root = r.root,
		    .path = r.file,
		    .name = r.file,
		    .file_mode = 0600};
		create(&s);
		return end(&r);
	}
	complain(&s, "open", session_open(&r, &s, i == argc ? MORTISE_OPEN_READ_ONLY : 0));
	if (failed) {
		session_close(&s);
		return end(&r);
	}
	if (i == argc)
		dump(&s);
	while (i < argc)
		i += command(&s, argc - i, argv + i);
	session_close(&s);
	return end(&r);
}
