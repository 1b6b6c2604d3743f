/*
 * journal.c: whether rewrite journals are waiting.
 *
 * Nearly always there are none. The directory is read once; as long as its modification time stays the same
 * afterwards, one fstat answers.
 */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "store/store_int.h"
#include "base/banned.h"

#define JOURNAL_PREFIX "journal." /* see module/journal.h; others there are not waiting for anybody */

static bool is_empty(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *d;
	bool empty = true;
	DIR *list;

	if (fd < 0)
		return false;
	list = fdopendir(fd);
	if (list == NULL) {
		close(fd);
		return false;
	}
	while (empty && (d = readdir(list)) != NULL)
		empty = strncmp(d->d_name, JOURNAL_PREFIX, sizeof(JOURNAL_PREFIX) - 1) != 0;
	closedir(list);
	return empty;
}

bool store_journals_waiting(struct store *s)
{
	struct timespec now;
	struct stat st;

	if (s->host != NULL)
		return store_journals_waiting(s->host);
	if (store_journals(s, false) < 0)
		return false;
	if (fstat(s->journals, &st) != 0)
		return true;
	if (st.st_mtim.tv_sec == s->quiet.tv_sec && st.st_mtim.tv_nsec == s->quiet.tv_nsec)
		return false;
	if (!is_empty(s->journals))
		return true;
	/* A time that has not passed yet could hide a change: remember only one that is over. */
	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec > st.st_mtim.tv_sec + 1)
		s->quiet = st.st_mtim;
	return false;
}
