#include "base/codec.h"
#include "imap/reader.h"
#include "imap/response.h"
#include "base/banned.h"

#define TEXT_MAX 512u

static const char *const status_words[] = {
    [RESPONSE_OK] = "OK",
    [RESPONSE_NO] = "NO",
    [RESPONSE_BAD] = "BAD",
    [RESPONSE_BYE] = "BYE",
    [RESPONSE_PREAUTH] = "PREAUTH",
};

/* RFC 3501's TEXT-CHAR: 7-bit without controls. */
static void clean(struct buf *out, const char *text)
{
	size_t i;

	for (i = 0; text[i] != '\0' && i < TEXT_MAX; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < ' ' || c >= 0x7f)
			buf_addc(out, '?');
		else if (i == 0 && c == '[')
			buf_addc(out, '(');
		else
			buf_addc(out, (char)c);
	}
	if (i == 0)
		buf_adds(out, "done"); /* resp-text is never empty */
	buf_adds(out, "\r\n");
}

/* Only a quoted string in it (a tag) may hold the bracket that ends it. */
static void add_code(struct buf *out, const char *code)
{
	bool quoted = false;

	buf_addc(out, '[');
	for (; *code != '\0'; code++) {
		quoted ^= *code == '"';
		if ((unsigned char)*code >= ' ' && (unsigned char)*code < 0x7f && (*code != ']' || quoted))
			buf_addc(out, *code);
	}
	buf_adds(out, "] ");
}

void response(struct buf *out, struct str tag, enum response_status s, const char *code, const char *text)
{
	if (reader_tag_ok(tag))
		buf_addstr(out, tag);
	else
		buf_addc(out, '*');
	buf_addc(out, ' ');
	buf_adds(out, status_words[s]);
	buf_addc(out, ' ');
	if (code != NULL)
		add_code(out, code);
	clean(out, text);
}

void response_printf(
    struct buf *out, struct str tag, enum response_status s, const char *code, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	response(out, tag, s, code, text);
}

void response_continue(struct buf *out, const char *text)
{
	buf_adds(out, "+ ");
	clean(out, text);
}

void response_challenge(struct buf *out, struct str octets)
{
	buf_adds(out, "+ ");
	base64_encode(out, octets);
	buf_adds(out, "\r\n");
}

void response_error(struct buf *out, struct str tag, const struct err *e)
{
	response(out, tag, RESPONSE_NO, mortise_error_imap(e->code),
	    e->client[0] != '\0' ? e->client : mortise_error_text(e->code));
}

void response_bad(struct buf *out, struct str tag, const char *why)
{
	response(out, tag, RESPONSE_BAD, NULL, why);
}
