#include <stdlib.h>

#include "base/vec.h"
#include "conf/conf_int.h"
#include "log/log_record.h"
#include "base/banned.h"

#define REPORT_MAX 1000u /* problems kept: more are only counted */

struct problem {
	bool error;
	int number;
	size_t rank; /* of the file */
	size_t order;
	int line;
	const char *file;
	const char *text;
};

struct conf_report {
	struct arena *arena;
	struct problem *problems;
	size_t n, cap;
	const char **files;
	size_t file_count, file_cap;
	size_t errors, beyond;
};

struct conf_report *conf_report_new(struct arena *a)
{
	struct conf_report *r = arena_new_of(a, struct conf_report);

	r->arena = a;
	return r;
}

static size_t rank_of(struct conf_report *r, const char *file)
{
	size_t i;

	if (file == NULL)
		return SIZE_MAX;
	for (i = 0; i < r->file_count; i++)
		if (strcmp(r->files[i], file) == 0)
			return i;
	if (r->file_count == r->file_cap) {
		size_t cap = r->file_cap != 0 ? 2 * r->file_cap : 8;
		const char **more = arena_array(r->arena, cap, sizeof(*more));

		if (r->file_count != 0)
			memcpy(more, r->files, r->file_count * sizeof(*more));
		r->files = more;
		r->file_cap = cap;
	}
	r->files[r->file_count] = arena_strdup(r->arena, file);
	return r->file_count++;
}

void conf_report_file(struct conf_report *r, const char *file)
{
	rank_of(r, file);
}

static bool known(const struct conf_report *r, const struct problem *p)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (r->problems[i].rank == p->rank && r->problems[i].line == p->line &&
		    strcmp(r->problems[i].text, p->text) == 0)
			return true;
	return false;
}

static void add(struct conf_report *r, bool error, int number, const char *file, int line, const char *format,
    va_list ap) PRINTF_LIKE(6, 0);

static void add(
    struct conf_report *r, bool error, int number, const char *file, int line, const char *format, va_list ap)
{
	struct problem p = {.error = error, .number = number, .line = line, .order = r->n};
	char *raw, *clean;
	size_t room;

	if (r->n >= REPORT_MAX) {
		r->beyond++;
		r->errors += error;
		return;
	}
	raw = arena_vprintf(r->arena, format, ap);
	room = 4 * strlen(raw) + 1;
	clean = arena_alloc(r->arena, room);
	log_escape(clean, room, raw, strlen(raw));
	p.text = clean;
	p.rank = rank_of(r, file);
	p.file = file != NULL ? r->files[p.rank] : NULL;
	if (known(r, &p)) /* one module's group read by each of its instances */
		return;
	if (r->n == r->cap) {
		size_t cap = r->cap != 0 ? 2 * r->cap : 16;
		struct problem *more = arena_array(r->arena, cap, sizeof(*more));

		if (r->n != 0)
			memcpy(more, r->problems, r->n * sizeof(*more));
		r->problems = more;
		r->cap = cap;
	}
	r->problems[r->n++] = p;
	r->errors += error;
}

void conf_problem(struct conf_report *r, int number, const char *file, int line, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(r, true, number, file, line, format, ap);
	va_end(ap);
}

void conf_warning(struct conf_report *r, int number, const char *file, int line, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(r, false, number, file, line, format, ap);
	va_end(ap);
}

size_t conf_errors(const struct conf_report *r)
{
	return r->errors;
}

size_t conf_warnings(const struct conf_report *r)
{
	return r->n + r->beyond - r->errors;
}

bool conf_report_has(const struct conf_report *r, int number)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (r->problems[i].number == number)
			return true;
	return false;
}

static int by_place(const void *pa, const void *pb)
{
	const struct problem *a = pa, *b = pb;

	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* The problems in order, in r's arena. */
static const struct problem *sorted(const struct conf_report *r)
{
	struct problem *p = arena_dup(r->arena, r->problems, r->n * sizeof(*p));

	if (r->n != 0)
		qsort(p, r->n, sizeof(*p), by_place);
	return p;
}

static void place(const struct problem *p, struct buf *b)
{
	buf_reset(b);
	if (p->file != NULL && p->line > 0)
		buf_printf(b, "%s:%d: ", p->file, p->line);
	else if (p->file != NULL)
		buf_printf(b, "%s: ", p->file);
}

void conf_report_print(const struct conf_report *r, FILE *out)
{
	const struct problem *p = sorted(r);
	struct buf b AUTO_BUF = BUF_INIT;
	size_t i;

	for (i = 0; i < r->n; i++) {
		place(&p[i], &b);
		fprintf(out, "%s%s%s [MRT-%04d]\n", buf_cstr(&b), p[i].error ? "" : "warning: ", p[i].text,
		    p[i].number);
	}
	if (r->beyond != 0)
		fprintf(out, "and %zu more\n", r->beyond);
}

void conf_report_log(const struct conf_report *r)
{
	const struct problem *p = sorted(r);
	struct buf b AUTO_BUF = BUF_INIT;
	size_t i;

	for (i = 0; i < r->n; i++) {
		place(&p[i], &b);
		log_msg((enum log_id)p[i].number, "%s%s%s", buf_cstr(&b),
		    p[i].error ? "" : "warning: ", p[i].text);
	}
	if (r->beyond != 0)
		log_msg(MSG_CONF_LIMIT, "and %zu more problems", r->beyond);
}
