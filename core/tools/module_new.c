/*
 * module_new.c: mortise-module new.
 *
 * The templates are files: those in "common" and those in the kind's folder. In their names NAME, in their
 * text
 * @WORDS@ are replaced. Whatever else stands between two @ belongs to autoconf and stays.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "tools/module_tool.h"
#include "base/banned.h"

#define TEMPLATE_MAX (1u << 20)

static const struct {
	const char *kind, *list, *link;
} kinds[] = {{"driver", "drivers", ""}, {"password", "passwords", "-lcrypt"}, {"sasl", "sasl", ""}};

struct word {
	const char *word, *text;
};

/* A copy in which each character that `keep` does not have is `other`. */
static char *mangle(struct arena *a, const char *name, bool upper, char other)
{
	char *s = arena_strdup(a, name);

	for (char *p = s; *p != '\0'; p++) {
		if (!ascii_alpha(*p) && !ascii_digit(*p))
			*p = other;
		if (upper)
			*p = ascii_upper(*p);
	}
	return s;
}

static void replace(struct buf *out, struct str text, const struct word *words)
{
	while (text.n > 0) {
		const struct word *w;

		for (w = words; w->word != NULL && !str_starts(text, str_of(w->word)); w++)
			continue;
		if (w->word != NULL) {
			buf_adds(out, w->text);
			text = str_from(text, strlen(w->word));
		} else {
			buf_addc(out, text.p[0]);
			text = str_from(text, 1);
		}
	}
}

static int read_template(int from, const char *name, struct buf *out)
{
	AUTO_CLOSE int fd = openat(from, name, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -1;
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)TEMPLATE_MAX) {
		errno = EINVAL;
		return -1;
	}
	buf_reserve(out, (size_t)st.st_size);
	if (io_read(fd, out->p, (size_t)st.st_size) != st.st_size)
		return -1;
	out->n = (size_t)st.st_size;
	return 0;
}

static int write_file(int to, const char *name, struct str text)
{
	AUTO_CLOSE int fd = openat(to, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);

	return fd < 0 ? -1 : io_write(fd, text.p, text.n);
}

static int expand_file(
    int from, const char *name, int to, const struct word *words, const struct word *file_words)
{
	AUTO_BUF struct buf text = BUF_INIT;
	AUTO_BUF struct buf result = BUF_INIT;
	AUTO_BUF struct buf file = BUF_INIT;

	if (read_template(from, name, &text) != 0)
		return -1;
	replace(&result, buf_str(&text), words);
	replace(&file, str_of(name), file_words);
	return write_file(to, buf_cstr(&file), buf_str(&result));
}

static int expand_folder(struct module_tool *t, const char *folder, int to, const struct word *words,
    const struct word *file_words)
{
	const char *path = arena_printf(t->arena, "%s/%s", t->templates, folder);
	DIR *d = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (d == NULL) {
		fprintf(stderr, "mortise-module: %s: %s\n", path, strerror(errno));
		return 1;
	}
	while (r == 0 && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (expand_file(dirfd(d), entry->d_name, to, words, file_words) != 0) {
			fprintf(stderr, "mortise-module: %s/%s: %s\n", path, entry->d_name, strerror(errno));
			r = 1;
		}
	}
	closedir(d);
	return r;
}

/* The directory, made if need be; it must be empty. */
static int open_target(const char *dir)
{
	struct dirent *entry;
	bool empty = true;
	int fd;
	DIR *d;

	if (mkdir(dir, 0777) != 0 && errno != EEXIST)
		return -1;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd >= 0 ? fdopendir(dup(fd)) : NULL;
	if (d == NULL)
		return -1;
	while ((entry = readdir(d)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			empty = false;
	closedir(d);
	if (empty)
		return fd;
	close(fd);
	errno = ENOTEMPTY;
	return -1;
}

int tool_new(struct module_tool *t, const char *name, const char *kind, const char *dir)
{
	size_t k = 0;
	int to, r;

	while (k < ARRAY_LEN(kinds) && strcmp(kinds[k].kind, kind) != 0)
		k++;
	if (k == ARRAY_LEN(kinds)) {
		fprintf(stderr, "mortise-module: there is no kind \"%s\": driver, password or sasl\n", kind);
		return TOOL_USAGE;
	}
	if (!module_name_valid(str_of(name)) || !ascii_alpha(name[0])) {
		fprintf(stderr,
		    "mortise-module: \"%s\" cannot be a module's name: a lower case letter, then letters, "
		    "digits, '-' "
		    "and '_', at most %d\n",
		    name, MODULE_NAME_MAX);
		return TOOL_USAGE;
	}
	to = open_target(dir);
	if (to < 0) {
		fprintf(stderr, "mortise-module: %s: %s\n", dir, strerror(errno));
		return 1;
	}
	{
		const struct word words[] = {{"@NAME@", name},
		    {"@IDENT@", mangle(t->arena, name, false, '_')}, {"@KIND@", kinds[k].kind},
		    {"@LIST@", kinds[k].list}, {"@LINK@", kinds[k].link},
		    {"@TITLE@", mangle(t->arena, name, true, '-')},
		    /* A registered mechanism name has 20 characters at most (RFC 4422). */
		    {"@UPPER@", arena_printf(t->arena, "X-%.18s", mangle(t->arena, name, true, '-'))},
		    {NULL, NULL}};
		const struct word file_words[] = {{"NAME", name}, {NULL, NULL}};

		r = expand_folder(t, "common", to, words, file_words);
		if (r == 0)
			r = expand_folder(t, kinds[k].kind, to, words, file_words);
	}
	close(to);
	if (r == 0)
		printf("%s: a %s module \"%s\"; see %s/README.md\n", dir, kind, name, dir);
	return r;
}
