/*
 * Fuzz target: the preview of a message. It must be valid UTF-8, short, one line, without white space at its
 * ends, and the same however the text is cut into pieces.
 */
#include "mime/preview.h"

#include "base/object.h"
#include "charset/charset.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct str preview)
{
	size_t i, characters = 0;

	ASSERT(utf8_valid(preview));
	for (i = 0; i < preview.n; i++) {
		ASSERT((unsigned char)preview.p[i] >= ' ');
		ASSERT(preview.p[i] != ' ' || (i > 0 && i + 1 < preview.n && preview.p[i - 1] != ' '));
		characters += ((unsigned char)preview.p[i] & 0xc0) != 0x80;
	}
	ASSERT(characters <= PREVIEW_CHARACTERS);
}

static void reduce(struct str utf8, bool html, bool whole, struct buf *out)
{
	struct preview *p = preview_new(html);

	while (utf8.n > 0) {
		uint32_t code;
		size_t n = whole ? utf8.n : str_utf8(utf8, &code);

		preview_feed(p, str_sub(utf8, 0, n > 0 ? n : 1));
		utf8 = str_from(utf8, n > 0 ? n : 1);
	}
	preview_finish(p, out);
	preview_free(&p);
	check(buf_str(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str octets = str_mem(data, size);
	struct source *s = source_memory(octets);
	struct arena *a = arena_new("fuzz");
	struct buf whole = BUF_INIT, pieces = BUF_INIT, preview = BUF_INIT;
	struct mime_part *root;
	struct err e = ERR_INIT;
	int html;

	ASSERT(mime_parse(s, NULL, a, &root, &e) == 0);
	ASSERT(mime_preview(s, root, &preview, &e) == 0);
	check(buf_str(&preview));
	for (html = 0; html < 2; html++) {
		buf_reset(&whole);
		buf_reset(&pieces);
		reduce(octets, html != 0, true, &whole);
		reduce(octets, html != 0, false, &pieces);
		ASSERT(str_eq(buf_str(&whole), buf_str(&pieces)));
	}
	buf_free(&whole);
	buf_free(&pieces);
	buf_free(&preview);
	arena_free(&a);
	source_close(&s);
	return 0;
}
