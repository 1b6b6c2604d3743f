/*
 * list.c: LIST and LSUB (RFC 3501 §6.3.8, §6.3.9) with the attributes of RFC 3348.
 */
#include "imap/session_int.h"
#include "mime/mime.h"
#include "base/banned.h"

static const struct {
	unsigned attribute;
	const char *name;
} attributes[] = {
    {LIST_NOSELECT | LIST_NONEXISTENT, "\\Noselect"},
    {LIST_NOINFERIORS, "\\Noinferiors"},
    {LIST_MARKED, "\\Marked"},
    {LIST_UNMARKED, "\\Unmarked"},
    {LIST_HASCHILDREN, "\\HasChildren"},
    {LIST_HASNOCHILDREN, "\\HasNoChildren"},
};

struct listing {
	struct session *s;
	const char *word; /* "LIST" or "LSUB" */
};

static int write_entry(void *arg, const struct list_entry *entry)
{
	struct listing *l = arg;
	struct buf *out = session_out(l->s);
	char separator[2] = {entry->separator, '\0'};
	const char *between = "";
	size_t i;

	buf_printf(out, "* %s (", l->word);
	for (i = 0; i < ARRAY_LEN(attributes); i++) {
		if ((entry->attributes & attributes[i].attribute) == 0)
			continue;
		buf_adds(out, between);
		buf_adds(out, attributes[i].name);
		between = " ";
	}
	buf_adds(out, ") ");
	imap_nstring(out, entry->separator != '\0' ? str_of(separator) : STR_NONE);
	buf_addc(out, ' ');
	write_mailbox_name(out, entry->name);
	buf_adds(out, "\r\n");
	return session_written(l->s) ? 0 : MORTISE_E_CANCELLED;
}

static void list(struct session *s, struct parse *p, bool subscribed)
{
	struct listing l = {s, subscribed ? "LSUB" : "LIST"};
	const char *reference, *pattern;
	struct err e = ERR_INIT;

	if (!parse_sp(p) || !parse_mailbox(p, &reference) || !parse_sp(p) || !parse_pattern(p, &pattern) ||
	    !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	/* An empty pattern asks for the separator and the root of the reference. */
	if (pattern[0] == '\0' && !subscribed)
		write_entry(
		    &l, &(struct list_entry){.name = "", .separator = '/', .attributes = LIST_NOSELECT});
	else if (subscribed)
		store_lsub(s->setup->store, reference, pattern, write_entry, &l, &e);
	else
		store_list(s->setup->store, reference, pattern, write_entry, &l, &e);
	if (e.code != 0)
		reply_error(s, &e);
	else
		reply_ok(s, NULL, subscribed ? "LSUB completed" : "LIST completed");
}

void command_list(struct session *s, struct parse *p)
{
	list(s, p, false);
}

void command_lsub(struct session *s, struct parse *p)
{
	list(s, p, true);
}
