/*
 * acl.c: SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314). What the sets of rights mean is in
 * store/rights.h; here they become letters.
 *
 * Of a set either all letters are granted or none (RFC 4314 §2): what is not complete in a command is left
 * out, and of what is taken away the rest of the set goes, too.
 */
#include "store/rights.h"

#include "charset/charset.h"
#include "imap/session_int.h"
#include "mime/mime.h"
#include "base/banned.h"

/* In the order in which they are told; "c" and "d" are the old names of k and x, of t and e (§2.1.1). */
static const struct {
	char letter;
	unsigned set;
} letters[] = {
    {'l', RIGHTS_READ},
    {'r', RIGHTS_READ},
    {'s', RIGHTS_WRITE},
    {'w', RIGHTS_WRITE},
    {'i', RIGHTS_WRITE},
    {'p', RIGHTS_WRITE},
    {'k', RIGHTS_NAME},
    {'x', RIGHTS_NAME},
    {'t', RIGHTS_WRITE},
    {'e', RIGHTS_WRITE},
    {'c', RIGHTS_NAME},
    {'d', RIGHTS_WRITE},
    {'a', RIGHTS_ADMIN},
};

static void write_rights(struct buf *out, unsigned rights)
{
	size_t i;

	if (rights == 0)
		buf_adds(out, "\"\"");
	for (i = 0; i < ARRAY_LEN(letters); i++)
		if ((rights & letters[i].set) != 0)
			buf_addc(out, letters[i].letter);
}

/* ---- arguments ---- */
struct modification {
	enum acl_change how;
	uint32_t given; /* bits of places in `letters` */
};

static bool add_letters(const char *text, struct modification *m)
{
	for (; *text != '\0'; text++) {
		size_t i;

		for (i = 0; i < ARRAY_LEN(letters) && letters[i].letter != *text; i++)
			;
		if (i == ARRAY_LEN(letters))
			return false;
		m->given |= 1u << i;
	}
	return true;
}

/* [ "+" / "-" ] rights */
static bool parse_modification(struct parse *p, struct modification *m)
{
	struct str text;
	size_t i;

	*m = (struct modification){.how = ACL_REPLACE};
	if (!parse_astring(p, &text))
		return false;
	if (text.n > 0 && (text.p[0] == '+' || text.p[0] == '-')) {
		m->how = text.p[0] == '+' ? ACL_ADD : ACL_REMOVE;
		text = str_from(text, 1);
	}
	for (i = 0; i < text.n; i++) {
		const char one[2] = {text.p[i], '\0'};

		if (one[0] == '\0' || !add_letters(one, m))
			return parse_fail(p, "There is no such right");
		if (one[0] == 'c' || one[0] == 'd')
			(void)add_letters(one[0] == 'c' ? "kx" : "te", m);
	}
	return true;
}

/* The sets of which all letters were given, or (`any`) one of them. */
static unsigned sets_of(uint32_t given, bool any)
{
	unsigned complete = RIGHTS_ALL, touched = 0;
	size_t i;

	for (i = 0; i < ARRAY_LEN(letters); i++) {
		if ((given & 1u << i) != 0)
			touched |= letters[i].set;
		else if (letters[i].letter != 'c' && letters[i].letter != 'd')
			complete &= ~letters[i].set;
	}
	return any ? touched : complete;
}

/* As RFC 4314 §3 wants it prepared: what cannot be a name is BAD. */
static bool parse_identifier(struct parse *p, const char **identifier)
{
	struct str text;
	size_t i;

	if (!parse_astring(p, &text))
		return false;
	for (i = 0; i < text.n && (unsigned char)text.p[i] >= ' ' && text.p[i] != 0x7f; i++)
		;
	if (text.n == 0 || i < text.n || !utf8_valid(text))
		return parse_fail(p, "Invalid identifier");
	*identifier = arena_str(p->arena, text).p;
	return true;
}

/* ---- the commands ---- */
void command_setacl(struct session *s, struct parse *p)
{
	const char *mailbox, *identifier;
	struct modification m;
	struct err e = ERR_INIT;

	if (!parse_sp(p) || !parse_mailbox(p, &mailbox) || !parse_sp(p) ||
	    !parse_identifier(p, &identifier) || !parse_sp(p) || !parse_modification(p, &m) ||
	    !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	store_acl_change(
	    s->setup->store, mailbox, identifier, m.how, sets_of(m.given, m.how == ACL_REMOVE), &e);
	reply_result(s, &e, "SETACL completed");
}

void command_deleteacl(struct session *s, struct parse *p)
{
	const char *mailbox, *identifier;
	struct err e = ERR_INIT;

	if (!parse_sp(p) || !parse_mailbox(p, &mailbox) || !parse_sp(p) ||
	    !parse_identifier(p, &identifier) || !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	store_acl_change(s->setup->store, mailbox, identifier, ACL_DELETE, 0, &e);
	reply_result(s, &e, "DELETEACL completed");
}

void command_getacl(struct session *s, struct parse *p)
{
	struct buf *out = session_out(s);
	struct acl_entry *list;
	struct err e = ERR_INIT;
	const char *mailbox;
	size_t count, i;

	if (!parse_sp(p) || !parse_mailbox(p, &mailbox) || !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	if (store_acl(s->setup->store, mailbox, s->arena, &list, &count, &e) == 0) {
		buf_adds(out, "* ACL ");
		write_mailbox_name(s, out, mailbox);
		for (i = 0; i < count; i++) {
			buf_addc(out, ' ');
			imap_astring(out, str_of(list[i].identifier));
			buf_addc(out, ' ');
			write_rights(out, list[i].rights);
		}
		buf_adds(out, "\r\n");
	}
	reply_result(s, &e, "GETACL completed");
}

void command_listrights(struct session *s, struct parse *p)
{
	struct buf *out = session_out(s);
	const char *mailbox, *identifier;
	unsigned always, grantable, set;
	struct err e = ERR_INIT;

	if (!parse_sp(p) || !parse_mailbox(p, &mailbox) || !parse_sp(p) ||
	    !parse_identifier(p, &identifier) || !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	if (store_acl_grantable(s->setup->store, mailbox, identifier, &always, &grantable, &e) == 0) {
		buf_adds(out, "* LISTRIGHTS ");
		write_mailbox_name(s, out, mailbox);
		buf_addc(out, ' ');
		imap_astring(out, str_of(identifier));
		buf_addc(out, ' ');
		write_rights(out, always);
		for (set = 1; set <= RIGHTS_ALL; set <<= 1) {
			if ((grantable & set) == 0)
				continue;
			buf_addc(out, ' ');
			write_rights(out, set);
		}
		buf_adds(out, "\r\n");
	}
	reply_result(s, &e, "LISTRIGHTS completed");
}

int myrights_write(struct session *s, struct buf *out, const char *mailbox, struct err *e)
{
	unsigned rights;

	if (store_rights(s->setup->store, mailbox, &rights, e) != 0)
		return e->code;
	buf_adds(out, "* MYRIGHTS ");
	write_mailbox_name(s, out, mailbox);
	buf_addc(out, ' ');
	write_rights(out, rights);
	buf_adds(out, "\r\n");
	return 0;
}

void command_myrights(struct session *s, struct parse *p)
{
	struct err e = ERR_INIT;
	const char *mailbox;

	if (!parse_sp(p) || !parse_mailbox(p, &mailbox) || !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	myrights_write(s, session_out(s), mailbox, &e);
	reply_result(s, &e, "MYRIGHTS completed");
}
