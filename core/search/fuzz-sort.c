/*
 * Fuzz target: what SORT and THREAD make of a mailbox. The octets are messages with a NUL between them. Sort
 * records must be readable, a base subject its own base, each message in the threads once.
 */
#include "search/sort.h"

#include "base/object.h"
#include "mime/mime.h"
#include "search/subject.h"
#include "search/thread.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGES_MAX 200u

static void record_of(struct str message, struct buf *packed, struct arena *a)
{
	struct source *s = source_memory(message);
	struct buf envelope = BUF_INIT;
	struct str references = STR_NONE;
	struct err e = ERR_INIT;

	ASSERT(mime_envelope(s, 0, message.n, NULL, &envelope, &e) == 0);
	mime_field_of(message, STR("References"), NULL, a, &references);
	sort_record_write(packed, buf_str(&envelope), references);
	buf_free(&envelope);
	source_close(&s);
}

static void check_subject(struct str text)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;

	base_subject(&once, text);
	ASSERT(once.n <= text.n);
	ASSERT(!base_subject(&twice, buf_str(&once)) || twice.n < once.n);
	buf_free(&once);
	buf_free(&twice);
}

static void check_threads(const struct buf *out, size_t count)
{
	size_t i, numbers = 0;
	int64_t open = 0;

	for (i = 0; i < out->n; i++) {
		open += out->p[i] == '(' ? 1 : out->p[i] == ')' ? -1 : 0;
		ASSERT(open >= 0);
		numbers += ascii_digit(out->p[i]) && !ascii_digit(out->p[i + 1]);
	}
	ASSERT(open == 0 && numbers == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_mem(data, size);
	struct arena *a = arena_new("fuzz");
	struct threading *by_reference = threading_new(THREAD_REFERENCES, 100000),
	                 *by_subject = threading_new(THREAD_ORDEREDSUBJECT, 100000);
	struct sort_program program = {.count = 0};
	struct buf packed = BUF_INIT, out = BUF_INIT;
	struct sorter *sorter;
	uint32_t count = 0;
	size_t sorted;
	int key;

	for (key = 0; key < SORT_KEYS; key++)
		sort_program_add(&program, (enum sort_key)key, key % 2 != 0);
	sorter = sorter_new(a, &program, MESSAGES_MAX);
	check_subject(rest);
	while (rest.p != NULL && count < MESSAGES_MAX) {
		struct sort_record r;
		struct sort_message m = {
		    .number = count + 1, .arrival = count % 7, .octets = rest.n, .record = &r};

		count++;
		buf_reset(&packed);
		record_of(str_cut(&rest, '\0'), &packed, a);
		ASSERT(sort_record_read(buf_str(&packed), &r));
		sorter_add(sorter, &m);
		ASSERT(threading_add(by_reference, &m) && threading_add(by_subject, &m));
	}
	sorter_sort(sorter, &sorted);
	ASSERT(sorted == count);
	threading_write(by_reference, &out);
	check_threads(&out, count);
	buf_reset(&out);
	threading_write(by_subject, &out);
	check_threads(&out, count);
	threading_free(&by_reference);
	threading_free(&by_subject);
	buf_free(&packed);
	buf_free(&out);
	arena_free(&a);
	return 0;
}
