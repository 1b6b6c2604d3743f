/*
 * seal.c: the merged configuration as text in a sealed memory file.
 *
 *     mortise-conf 1 LF
 *     main LENGTH SP path LF          or  main - LF
 *     folder LENGTH SP path LF
 *     COUNT of files LF, then each: LENGTH SP path LF
 *     nodes, depth first:  KIND SP file SP line SP NAME-LENGTH SP TEXT-LENGTH SP children LF name text LF
 *
 * KIND is g, l, t, n, b; a name length of "-" is no name; `file` counts from 0. Lengths make it safe to read
 * whatever the octets are. The reader accepts it only when all seals are set, so what the master checked
 * cannot change while it is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/io.h"
#include "conf/conf_int.h"
#include "base/banned.h"

#define SEALED_MAX (64u * 1024u * 1024u)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const char kinds[] = " gltnb"; /* by enum node_kind */

struct writer {
	struct buf b;
	VEC(const char *) files;
};

static size_t file_number(struct writer *w, const char *file)
{
	size_t i;

	for (i = 0; i < w->files.n; i++)
		if (w->files.v[i] == file || strcmp(w->files.v[i], file) == 0)
			return i;
	*vec_push(&w->files) = file;
	return i;
}

static void collect_files(struct writer *w, const struct conf_node *n)
{
	if (n->file != NULL)
		file_number(w, n->file);
	for (n = n->first; n != NULL; n = n->next)
		collect_files(w, n);
}

static void write_text(struct buf *b, const char *text)
{
	buf_printf(b, "%zu %s\n", strlen(text), text);
}

static void write_node(struct writer *w, const struct conf_node *n)
{
	const struct conf_node *child;
	size_t children = 0;

	for (child = n->first; child != NULL; child = child->next)
		children++;
	buf_printf(
	    &w->b, "%c %zu %d ", kinds[n->kind], n->file != NULL ? file_number(w, n->file) : 0, n->line);
	if (n->name != NULL)
		buf_printf(&w->b, "%zu", strlen(n->name));
	else
		buf_addc(&w->b, '-');
	buf_printf(&w->b, " %zu %zu\n%s", n->text.n, children, n->name != NULL ? n->name : "");
	buf_addstr(&w->b, n->text);
	buf_addc(&w->b, '\n');
	for (child = n->first; child != NULL; child = child->next)
		write_node(w, child);
}

int conf_seal(const struct conf *c, struct err *e)
{
	struct writer w = {BUF_INIT, VEC_INIT};
	size_t i;
	int fd;

	CHECK_OBJ(c, CONF_MAGIC);
	collect_files(&w, c->root);
	buf_adds(&w.b, "mortise-conf 1\nmain ");
	if (c->main_file != NULL)
		write_text(&w.b, c->main_file);
	else
		buf_adds(&w.b, "-\n");
	buf_adds(&w.b, "folder ");
	write_text(&w.b, c->folder);
	buf_printf(&w.b, "%zu\n", w.files.n);
	for (i = 0; i < w.files.n; i++)
		write_text(&w.b, w.files.v[i]);
	write_node(&w, c->root);
	fd = io_memfd("mortise-conf", w.b.p, w.b.n);
	if (fd < 0)
		err_errno(e, "cannot make a memory file for the configuration");
	buf_free(&w.b);
	vec_free(&w.files);
	return fd >= 0 ? fd : e->code;
}

struct reader {
	struct str rest;
	struct conf *c;
	const char **files;
	size_t file_count;
	size_t nodes;
	bool bad;
};

static struct str word(struct reader *r, char end)
{
	struct str s = str_cut(&r->rest, end);

	if (r->rest.p == NULL || s.n > 64) {
		r->bad = true;
		r->rest = STR_NONE;
		return STR("");
	}
	return s;
}

static size_t number(struct reader *r, char end, size_t max)
{
	uint64_t v = 0;

	if (!str_u64(word(r, end), &v) || v > max) {
		r->bad = true;
		return 0;
	}
	return (size_t)v;
}

/* n octets, none of them a NUL. */
static const char *octets(struct reader *r, size_t n)
{
	struct str s = str_sub(r->rest, 0, n);

	if (s.n != n || str_find(s, '\0') != n) {
		r->bad = true;
		return "";
	}
	r->rest = str_from(r->rest, n);
	return arena_strndup(r->c->arena, s.p, n);
}

static void expect(struct reader *r, struct str literal)
{
	if (!str_starts(r->rest, literal))
		r->bad = true;
	else
		r->rest = str_from(r->rest, literal.n);
}

static const char *read_text(struct reader *r)
{
	const char *text = octets(r, number(r, ' ', r->rest.n));

	expect(r, STR("\n"));
	return text;
}

static struct conf_node *read_node(struct reader *r, unsigned depth)
{
	struct conf_node *n = conf_node_new(r->c, NODE_TEXT, NULL);
	struct str kind = word(r, ' '), name;
	size_t file, children, text;
	const char *at = kind.n == 1 && kind.p[0] != ' ' ? strchr(kinds, kind.p[0]) : NULL;
	uint64_t name_size = 0;

	file = number(r, ' ', r->file_count);
	n->line = (int)number(r, ' ', INT32_MAX);
	name = word(r, ' ');
	text = number(r, ' ', r->rest.n);
	children = number(r, '\n', r->rest.n);
	if (at == NULL || *at == '\0' || depth > CONF_DEPTH_MAX + 1 || ++r->nodes > 2 * SEALED_MAX / 16 ||
	    (!str_eqc(name, "-") && (!str_u64(name, &name_size) || name_size > r->rest.n)))
		r->bad = true;
	if (r->bad)
		return n;
	n->kind = (enum node_kind)(at - kinds);
	n->file = file < r->file_count ? r->files[file] : NULL;
	if (!str_eqc(name, "-"))
		n->name = octets(r, (size_t)name_size);
	n->text = (struct str){octets(r, text), text};
	expect(r, STR("\n"));
	while (children-- > 0 && !r->bad) {
		struct conf_node *child = read_node(r, depth + 1);

		/* Members of a group have names; those of a list have none; scalars have neither. */
		if ((n->kind != NODE_GROUP && n->kind != NODE_LIST) ||
		    (child->name != NULL) != (n->kind == NODE_GROUP))
			r->bad = true;
		conf_node_add(n, child);
	}
	return n;
}

static bool read_all(struct reader *r)
{
	size_t i;

	expect(r, STR("mortise-conf 1\nmain "));
	if (str_starts(r->rest, STR("-\n")))
		expect(r, STR("-\n"));
	else
		r->c->main_file = read_text(r);
	expect(r, STR("folder "));
	r->c->folder = read_text(r);
	r->file_count = number(r, '\n', CONF_FILES_MAX + 1);
	r->files = arena_array(r->c->arena, r->file_count, sizeof(*r->files));
	for (i = 0; i < r->file_count && !r->bad; i++)
		r->files[i] = read_text(r);
	r->c->root = read_node(r, 0);
	return !r->bad && r->rest.n == 0 && r->c->root->kind == NODE_GROUP;
}

struct conf *conf_unseal(int fd, struct err *e)
{
	struct conf *c;
	struct reader r = {0};
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	char *text;

	if (seals < 0 || (seals & SEALS) != SEALS) {
		err_fault(e, MORTISE_E_INVALID, "the configuration's descriptor is not a sealed memory file");
		return NULL;
	}
	if (fstat(fd, &st) != 0 || st.st_size < 0 || st.st_size > (off_t)SEALED_MAX) {
		err_fault(e, MORTISE_E_LIMIT, "the sealed configuration is too large");
		return NULL;
	}
	text = mem_alloc((size_t)st.st_size + 1);
	if (io_pread(fd, text, (size_t)st.st_size, 0) != st.st_size) {
		err_errno(e, "cannot read the sealed configuration");
		mem_free(text);
		return NULL;
	}
	c = conf_new();
	c->from_master = true;
	r.c = c;
	r.rest = str_mem(text, (size_t)st.st_size);
	if (!read_all(&r)) {
		err_fault(e, MORTISE_E_CORRUPT, "the sealed configuration cannot be understood");
		conf_free(&c);
	}
	mem_free(text);
	return c;
}
