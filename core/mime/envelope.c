/*
 * ENVELOPE (RFC 3501 §7.4.2). Of the fields that should stand once the first counts; repeated address fields
 * are read as one. Sender and Reply-To that are absent or empty are From.
 */
#include "mime/mime_int.h"

#include "base/object.h"
#include "base/vec.h"
#include "base/banned.h"

enum member { DATE, SUBJECT, FROM, SENDER, REPLY_TO, TO, CC, BCC, IN_REPLY_TO, MESSAGE_ID, MEMBERS };

/* In the order of the envelope. */
static const struct {
	struct str name;
	bool address;
} members[MEMBERS] = {
    [DATE] = {STR_INIT("Date"), false},
    [SUBJECT] = {STR_INIT("Subject"), false},
    [FROM] = {STR_INIT("From"), true},
    [SENDER] = {STR_INIT("Sender"), true},
    [REPLY_TO] = {STR_INIT("Reply-To"), true},
    [TO] = {STR_INIT("To"), true},
    [CC] = {STR_INIT("Cc"), true},
    [BCC] = {STR_INIT("Bcc"), true},
    [IN_REPLY_TO] = {STR_INIT("In-Reply-To"), false},
    [MESSAGE_ID] = {STR_INIT("Message-ID"), false},
};

struct found {
	enum member member;
	struct str value;
};
typedef VEC(struct found) found_vec;

static int member_of(struct str name)
{
	int i;

	for (i = 0; i < MEMBERS; i++)
		if (str_ieq(name, members[i].name))
			return i;
	return -1;
}

static void collect(struct str header, uint32_t limit, found_vec *found)
{
	struct field_cursor cursor = {header};
	struct raw_field field;
	bool seen[MEMBERS] = {false};

	while (limit-- != 0 && field_step(&cursor, &field)) {
		int m = field.name.n != 0 ? member_of(field.name) : -1;

		if (m < 0 || (seen[m] && !members[m].address))
			continue;
		seen[m] = true;
		*vec_push(found) = (struct found){(enum member)m, field.value};
	}
}

static void write_text(struct buf *out, enum member m, const found_vec *found, struct arena *a)
{
	size_t i;

	for (i = 0; i < found->n; i++) {
		if (found->v[i].member == m) {
			imap_string(out, field_unfold(found->v[i].value, a));
			return;
		}
	}
	buf_adds(out, "NIL");
}

/* NIL, or the list in parentheses; false: NIL. */
static bool write_addresses(struct buf *out, enum member m, const found_vec *found, uint32_t limit)
{
	size_t i, start = out->n;
	uint32_t all = limit;

	buf_addc(out, '(');
	for (i = 0; i < found->n; i++)
		if (found->v[i].member == m)
			address_write(out, found->v[i].value, &limit);
	if (limit == 0)
		mime_limit_reached("addresses", all);
	if (out->n == start + 1) {
		buf_truncate(out, start);
		buf_adds(out, "NIL");
		return false;
	}
	buf_addc(out, ')');
	return true;
}

void envelope_write(struct buf *out, struct str header, const struct mime_limits *l)
{
	found_vec found = VEC_INIT;
	AUTO_ARENA struct arena *a = arena_new("envelope");
	struct buf from = BUF_INIT;
	int m;

	collect(header, l->header_fields, &found);
	write_addresses(&from, FROM, &found, l->addresses);
	buf_addc(out, '(');
	for (m = 0; m < MEMBERS; m++) {
		size_t start;

		if (m != 0)
			buf_addc(out, ' ');
		start = out->n;
		if (m == FROM) {
			buf_addstr(out, buf_str(&from));
		} else if (!members[m].address) {
			write_text(out, (enum member)m, &found, a);
		} else if (!write_addresses(out, (enum member)m, &found, l->addresses) &&
		           (m == SENDER || m == REPLY_TO)) {
			buf_truncate(out, start);
			buf_addstr(out, buf_str(&from));
		}
	}
	buf_addc(out, ')');
	buf_free(&from);
	vec_free(&found);
}

void mime_envelope_of(struct str header, const struct mime_limits *l, struct buf *out)
{
	struct mime_limits limits = mime_limits_of(l);

	envelope_write(out, str_sub(header, 0, limits.header_size), &limits);
}

int mime_envelope(
    struct source *s, uint64_t from, uint64_t to, const struct mime_limits *l, struct buf *out, struct err *e)
{
	struct mime_limits limits = mime_limits_of(l);
	AUTO_ARENA struct arena *a = arena_new("envelope header");
	struct str header;
	int r;

	if (to > from && to - from > limits.header_size)
		to = from + limits.header_size;
	r = source_read(s, from, to, limits.header_size, a, &header, e);
	if (r == 0)
		envelope_write(out, header, &limits);
	return r;
}
