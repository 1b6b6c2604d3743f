/*
 * keyword.c: dovecot-keywords, the names of the letters a to z.
 *
 *     0 $Forwarded
 *     1 $Junk
 *
 * The engine knows keywords by bits that keep their meaning while the box is open; the file may give a letter
 * another name. So bits are given out in order of appearance and mapped to letters and back.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "box.h"

#define FILE_LIMIT 65536
#define BITS 64

/* The bit of a name, a new one if need be; -1 when all are taken. */
static int bit_of(struct maildir_keywords *k, const char *name)
{
	size_t i;

	for (i = 0; i < k->count; i++)
		if (strcasecmp(k->names[i], name) == 0)
			return (int)i;
	if (k->count == BITS || (k->names[k->count] = strdup(name)) == NULL)
		return -1;
	k->letter[k->count] = -1;
	k->told = false;
	return (int)k->count++;
}

/* What an IMAP client could have written. */
static bool is_keyword(const char *name)
{
	const unsigned char *p = (const unsigned char *)name;

	for (; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("(){%*\"\\]", *p) != NULL)
			return false;
	return name[0] != '\0' && strlen(name) <= 200;
}

static void parse_line(struct maildir_keywords *k, const char *line)
{
	char *end;
	unsigned long letter = strtoul(line, &end, 10);
	int bit;

	if (!isdigit((unsigned char)line[0]) || *end != ' ' || letter >= LETTERS || k->bit[letter] >= 0 ||
	    !is_keyword(end + 1))
		return;
	bit = bit_of(k, end + 1);
	if (bit < 0 || k->letter[bit] >= 0)
		return;
	k->bit[letter] = (int8_t)bit;
	k->letter[bit] = (int8_t)letter;
}

int maildir_keywords_load(struct mortise_call *call, struct maildir_box *b)
{
	struct maildir_keywords *k = &b->keywords;
	struct maildir_print now = maildir_print(b->dir, KEYWORDS);
	char *text, *line, *save = NULL;
	size_t size;
	int r;

	if (maildir_print_same(&now, &k->print))
		return 0;
	r = maildir_read_file(call, b->dir, KEYWORDS, FILE_LIMIT, &text, &size);
	if (r != 0)
		return r;
	memset(k->bit, -1, sizeof(k->bit));
	memset(k->letter, -1, sizeof(k->letter));
	k->print = now;
	if (text == NULL)
		return 0;
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		parse_line(k, line);
	free(text);
	return 0;
}

static int save(struct mortise_call *call, struct maildir_box *b)
{
	const struct maildir_keywords *k = &b->keywords;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int i, r;

	if (out == NULL)
		return call->host->fault_errno(call, KEYWORDS);
	for (i = 0; i < LETTERS; i++)
		if (k->bit[i] >= 0)
			fprintf(out, "%d %s\n", i, k->names[k->bit[i]]);
	r = fclose(out) != 0 ? call->host->fault_errno(call, KEYWORDS)
	                     : maildir_replace(call, b, KEYWORDS, text, size);
	free(text);
	return r;
}

/* Letters that messages have, whether they have names or not: a new keyword must not fall on old messages. */
static uint32_t letters_in_use(const struct maildir_box *b)
{
	uint32_t letters = 0;
	size_t i;

	for (i = 0; i < b->count; i++) {
		struct maildir_name n;

		if (b->entries[i].present && maildir_name_parse(b->entries[i].name, &n))
			letters |= n.letters;
	}
	return letters;
}

int maildir_keyword_add(struct mortise_call *call, struct maildir_box *b, const char *name, unsigned *out)
{
	struct maildir_keywords *k = &b->keywords;
	int r = maildir_keywords_load(call, b), bit, letter;
	uint32_t used = r == 0 ? letters_in_use(b) : 0;

	if (r != 0)
		return r;
	bit = is_keyword(name) ? bit_of(k, name) : -1;
	if (bit < 0)
		return call->host->fail(call, MORTISE_E_LIMIT, "No room for more keywords");
	*out = (unsigned)bit;
	if (k->letter[bit] >= 0)
		return 0;
	for (letter = 0; letter < LETTERS && (k->bit[letter] >= 0 || (used >> letter & 1) != 0); letter++)
		continue;
	if (letter == LETTERS)
		return call->host->fail(call, MORTISE_E_LIMIT, "This mailbox can have %d keywords", LETTERS);
	k->bit[letter] = (int8_t)bit;
	k->letter[bit] = (int8_t)letter;
	r = save(call, b);
	if (r == 0) {
		k->print = maildir_print(b->dir, KEYWORDS);
		return 0;
	}
	k->bit[letter] = k->letter[bit] = -1;
	return r;
}

uint64_t maildir_keywords_of(const struct maildir_box *b, uint32_t letters)
{
	uint64_t keywords = 0;
	int i;

	for (i = 0; i < LETTERS; i++)
		if ((letters >> i & 1) != 0 && b->keywords.bit[i] >= 0)
			keywords |= UINT64_C(1) << b->keywords.bit[i];
	return keywords;
}

uint32_t maildir_letters_of(const struct maildir_box *b, uint64_t keywords)
{
	uint32_t letters = 0;
	size_t i;

	for (i = 0; i < b->keywords.count; i++)
		if ((keywords >> i & 1) != 0 && b->keywords.letter[i] >= 0)
			letters |= 1u << b->keywords.letter[i];
	return letters;
}

void maildir_keywords_free(struct maildir_box *b)
{
	size_t i;

	for (i = 0; i < b->keywords.count; i++)
		free(b->keywords.names[i]);
	b->keywords.count = 0;
}
