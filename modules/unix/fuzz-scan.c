/*
 * fuzz-scan.c: the scanner on any octets.
 *
 * Checked beside memory: messages follow each other without a gap, their parts lie in order, and what is
 * told does not depend on how the file is cut into windows.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "from.h"
#include "scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void check(const struct unix_scanned *m, uint64_t at, size_t size)
{
	must(m->start == at && m->from_size > 0);
	must(m->header_end >= m->start + m->from_size && m->header_end <= m->next);
	must(m->text_end >= m->start + m->from_size && m->text_end <= m->next && m->next <= size);
	must(m->octets <= 2 * (m->text_end - m->start - m->from_size));
	must(m->words_size <= UNIX_WORDS_MAX && m->head_words_size <= m->words_size);
	must(m->base_words_size <= UNIX_WORDS_MAX);
	if (m->block)
		must(m->block_start >= m->start + m->from_size &&
		     m->block_start + m->block_size <= m->header_end);
}

static uint64_t cut_size;

static void on_cut(void *arg, uint64_t offset, uint64_t size)
{
	uint64_t *at = arg;

	must(offset >= *at && size > 0);
	*at = offset + size;
	cut_size += size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct unix_scanned m, again;
	struct unix_input input = {.fd = -1, .memory = data, .end = size};
	struct unix_scanner s, t;
	uint64_t at, cut_at = 0;
	int r;

	if (unix_scan_open(&s, &input, 0, 0) != 0 || unix_scan_open(&t, &input, 0, UNIX_WINDOW) != 0)
		return 0;
	s.cut = on_cut;
	s.cut_arg = &cut_at;
	if (unix_scan_begin(&s) == 0) {
		at = s.position;
		while ((cut_size = 0, r = unix_scan_next(&s, &m)) == 1) {
			check(&m, at, size);
			must(m.header_end - m.start - m.from_size >= cut_size);
			must(unix_from_valid(
			    data + m.start, m.from_size - (data[m.start + m.from_size - 1] == '\n')));
			/* From where it begins, alone, it is the same. */
			unix_scan_seek(&t, m.start);
			must(unix_scan_next(&t, &again) == 1);
			must(again.next == m.next && again.octets == m.octets &&
			     again.text_end == m.text_end && again.uid == m.uid &&
			     again.uid_place == m.uid_place && again.letters == m.letters &&
			     again.block == m.block && again.strays == m.strays);
			at = m.next;
		}
		must(r == 0 || r == UNIX_SCAN_BAD);
		must(r != 0 || at == size || size == s.position);
	}
	unix_scan_close(&s);
	unix_scan_close(&t);
	return 0;
}
