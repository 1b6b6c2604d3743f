/*
 * keyword.c: dovecot-keywords, the names of the letters a to z.
 *
 *     0 $Forwarded
 *     1 $Junk
 *
 * A letter's number is the bit that the engine knows the keyword by, so a bit means the same in every box. A
 * letter without a name is an empty name in the table, and nothing that the engine is told of messages.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "box.h"

#define FILE_LIMIT 65536
/* What an IMAP client could have written. */
static bool is_keyword(const char *name)
{
	const unsigned char *p = (const unsigned char *)name;

	for (; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("(){%*\"\\]", *p) != NULL)
			return false;
	return name[0] != '\0' && strlen(name) <= 200;
}

int maildir_letter_of(const struct maildir_box *b, const char *name)
{
	int i;

	for (i = 0; i < LETTERS; i++)
		if (b->keywords.names[i] != NULL && strcasecmp(b->keywords.names[i], name) == 0)
			return i;
	return -1;
}

uint32_t maildir_letters(const struct maildir_box *b)
{
	uint32_t letters = 0;
	int i;

	for (i = 0; i < LETTERS; i++)
		if (b->keywords.names[i] != NULL)
			letters |= 1u << i;
	return letters;
}

/* Of a letter, or a name, that is there twice the first line counts. */
static void parse_line(struct maildir_box *b, const char *line)
{
	char *end;
	unsigned long letter = strtoul(line, &end, 10);

	if (isdigit((unsigned char)line[0]) && *end == ' ' && letter < LETTERS && is_keyword(end + 1) &&
	    b->keywords.names[letter] == NULL && maildir_letter_of(b, end + 1) < 0)
		b->keywords.names[letter] = strdup(end + 1);
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
	maildir_keywords_free(b);
	k->print = now;
	if (text == NULL)
		return 0;
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		parse_line(b, line);
	free(text);
	return 0;
}

static int save(struct mortise_call *call, struct maildir_box *b)
{
	struct maildir_text text = {0};
	int i, r;

	for (i = 0; i < LETTERS; i++)
		if (b->keywords.names[i] != NULL) {
			maildir_text_number(&text, (uint64_t)i);
			maildir_text_add(&text, " ", 1);
			maildir_text_add(&text, b->keywords.names[i], strlen(b->keywords.names[i]));
			maildir_text_add(&text, "\n", 1);
		}
	r = text.failed ? call->host->fault_errno(call, KEYWORDS)
	                : maildir_replace(call, b, KEYWORDS, text.p, text.n);
	free(text.p);
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
	int r = maildir_keywords_load(call, b), letter;
	uint32_t used;

	if (r != 0)
		return r;
	letter = maildir_letter_of(b, name);
	if (letter >= 0) {
		*out = (unsigned)letter;
		return 0;
	}
	if (!is_keyword(name))
		return call->host->fail(call, MORTISE_E_LIMIT, "No room for more keywords");
	r = maildir_load(call, b);
	if (r != 0)
		return r;
	used = letters_in_use(b) | maildir_letters(b);
	for (letter = 0; letter < LETTERS && (used >> letter & 1) != 0; letter++)
		continue;
	if (letter == LETTERS)
		return call->host->fail(call, MORTISE_E_LIMIT, "This mailbox can have %d keywords", LETTERS);
	b->keywords.names[letter] = strdup(name);
	r = b->keywords.names[letter] != NULL ? save(call, b) : call->host->fault_errno(call, "%s", name);
	if (r == 0) {
		b->keywords.print = maildir_print(b->dir, KEYWORDS);
		*out = (unsigned)letter;
		return 0;
	}
	free(b->keywords.names[letter]);
	b->keywords.names[letter] = NULL;
	return r;
}

void maildir_keywords_free(struct maildir_box *b)
{
	int i;

	for (i = 0; i < LETTERS; i++) {
		free(b->keywords.names[i]);
		b->keywords.names[i] = NULL;
	}
}
