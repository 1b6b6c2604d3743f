/*
 * enable.c: ENABLE (RFC 5161): what a client can switch on and what that means.
 *
 * CONDSTORE and QRESYNC (RFC 7162): condstore.h. IMAP4rev2 (RFC 9051): names and quoted strings in UTF-8,
 * SEARCH answers with ESEARCH, SELECT with LIST, nothing is recent any more, news of a message has its UID.
 * UTF8=ACCEPT (RFC 6855): UTF-8 alone. UIDONLY (RFC 9586): message numbers neither come nor go; to be enabled
 * before a mailbox is selected. Nothing is ever switched off again.
 */
#include "imap/condstore.h"
#include "base/banned.h"

static void enable_condstore(struct session *s)
{
	condstore_enable(s);
}

static void enable_qresync(struct session *s)
{
	s->qresync = true;
	condstore_enable(s);
}

static void enable_rev2(struct session *s)
{
	s->rev2 = true;
}

static void enable_utf8(struct session *s)
{
	s->utf8_accept = true;
}

/* Nothing that was numbered for the client is there before a mailbox is selected. */
static void enable_uidonly(struct session *s)
{
	s->uidonly = true;
}

static const struct {
	const char *name;
	void (*enable)(struct session *s);
	bool before_select;
} extensions[] = {
    {"CONDSTORE", enable_condstore, false},
    {"QRESYNC", enable_qresync, false},
    {"IMAP4rev2", enable_rev2, false},
    {"UTF8=ACCEPT", enable_utf8, false},
    {"UIDONLY", enable_uidonly, true},
};

/* What is not known, or needs not be enabled, is passed over. What is enabled already is said again. */
void command_enable(struct session *s, struct parse *p)
{
	bool wanted[ARRAY_LEN(extensions)] = {false};
	struct buf *out = session_out(s);
	struct str name;
	size_t i;

	do {
		if (!parse_sp(p) || !parse_atom(p, &name))
			break;
		for (i = 0; i < ARRAY_LEN(extensions); i++)
			wanted[i] |= str_ieqc(name, extensions[i].name) &&
			             (!extensions[i].before_select || s->view == NULL);
	} while (!parse_at_end(p));
	if (!arguments_end(s, p))
		return;
	buf_adds(out, "* ENABLED");
	for (i = 0; i < ARRAY_LEN(extensions); i++)
		if (wanted[i])
			buf_printf(out, " %s", extensions[i].name);
	buf_adds(out, "\r\n");
	for (i = 0; i < ARRAY_LEN(extensions); i++)
		if (wanted[i])
			extensions[i].enable(s);
	reply_ok(s, NULL, "ENABLE completed");
}
