/*
 * list.c: LIST and LSUB (RFC 3501 §6.3.8, §6.3.9) with the attributes of RFC 3348 and RFC 6154.
 */
#include "imap/list.h"
#include "mime/mime.h"
#include "base/banned.h"

static const struct {
	unsigned attribute;
	const char *name;
	const char *extended; /* NULL: the same */
} attributes[] = {
    {LIST_NONEXISTENT, "\\Noselect", "\\NonExistent"},
    {LIST_NOSELECT, "\\Noselect", NULL},
    {LIST_NOINFERIORS, "\\Noinferiors", NULL},
    {LIST_MARKED, "\\Marked", NULL},
    {LIST_UNMARKED, "\\Unmarked", NULL},
    {LIST_HASCHILDREN, "\\HasChildren", NULL},
    {LIST_HASNOCHILDREN, "\\HasNoChildren", NULL},
    {LIST_SUBSCRIBED, NULL, "\\Subscribed"},
};

static void word(struct buf *out, const char **between, const char *text)
{
	buf_adds(out, *between);
	buf_adds(out, text);
	*between = " ";
}

static void write_attributes(struct buf *out, const struct list_line *l)
{
	const char *between = "";
	size_t i;

	for (i = 0; i < ARRAY_LEN(attributes); i++) {
		const char *text = l->extended && attributes[i].extended != NULL ? attributes[i].extended
		                                                                 : attributes[i].name;

		if ((l->entry.attributes & attributes[i].attribute) != 0 && text != NULL)
			word(out, &between, text);
	}
	if (l->no_access)
		word(out, &between, "\\NoAccess");
	for (i = 0; i < SPECIAL_USES; i++)
		if ((l->uses & 1u << i) != 0)
			word(out, &between, special_use_names[i]);
}

/* RFC 5258 §3.5: the selection options are quoted. */
static void write_childinfo(struct buf *out, unsigned select)
{
	const char *between = "";

	buf_adds(out, " (CHILDINFO (");
	if ((select & LIST_OPTION_SUBSCRIBED) != 0)
		word(out, &between, "\"SUBSCRIBED\"");
	if ((select & LIST_OPTION_SPECIAL_USE) != 0)
		word(out, &between, "\"SPECIAL-USE\"");
	buf_adds(out, "))");
}

void list_write(const struct session *s, struct buf *out, const struct list_line *l)
{
	char separator[2] = {l->entry.separator, '\0'};

	buf_printf(out, "* %s (", l->word);
	write_attributes(out, l);
	buf_adds(out, ") ");
	imap_nstring(out, l->entry.separator != '\0' ? str_of(separator) : STR_NONE);
	buf_addc(out, ' ');
	write_mailbox_name(s, out, l->entry.name);
	if (l->childinfo != 0)
		write_childinfo(out, l->childinfo);
	if (l->oldname != NULL) {
		buf_adds(out, " (OLDNAME (");
		write_mailbox_name(s, out, l->oldname);
		buf_adds(out, "))");
	}
	buf_adds(out, "\r\n");
}

/* ---- the old form ---- */
struct listing {
	struct session *s;
	const char *word;
	struct special_uses uses;
};

static int write_entry(void *arg, const struct list_entry *entry)
{
	struct listing *l = arg;

	list_write(l->s, session_out(l->s),
	    &(struct list_line){.word = l->word,
	        .entry = *entry,
	        .uses =
	            (entry->attributes & LIST_NOSELECT) == 0 ? special_use_of(&l->uses, entry->name) : 0});
	return session_written(l->s) ? 0 : MORTISE_E_CANCELLED;
}

static int list_old(struct session *s, const struct list_request *r, struct err *e)
{
	struct listing l = {.s = s, .word = "LIST"};

	store_special_uses(s->setup->store, s->arena, &l.uses);
	/* An empty pattern asks for the separator and the root of the reference. */
	if (r->patterns[0][0] == '\0')
		return write_entry(
		    &l, &(struct list_entry){.name = "", .separator = '/', .attributes = LIST_NOSELECT});
	return store_list(s->setup->store, r->reference, r->patterns[0], write_entry, &l, e);
}

void command_list(struct session *s, struct parse *p)
{
	struct list_request r;
	struct err e = ERR_INIT;

	if (!list_parse(s, p, &r)) {
		reply_bad(s, p->error);
		return;
	}
	if (r.extended)
		list_extended(s, &r, &e);
	else
		list_old(s, &r, &e);
	reply_result(s, &e, "LIST completed");
}

void command_lsub(struct session *s, struct parse *p)
{
	struct listing l = {.s = s, .word = "LSUB"};
	const char *reference, *pattern;
	struct err e = ERR_INIT;

	if (!parse_sp(p) || !parse_mailbox(p, &reference) || !parse_sp(p) || !parse_pattern(p, &pattern) ||
	    !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	store_lsub(s->setup->store, reference, pattern, write_entry, &l, &e);
	reply_result(s, &e, "LSUB completed");
}
