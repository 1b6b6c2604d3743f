/*
 * crash-tree.c: directories of mailboxes kept and put back, for formats that have a file a message.
 *
 * A tree is all files and directories below a folder, parents before what is in them, with the inodes they
 * had when it was taken. Of a mailbox that is put back each file is the one it was: formats know a message
 * by its inode. For that every file of a tree that was taken has a second name, its inode, in a folder aside.
 */
#include "crash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names in a folder aside; only of mailboxes: the index wants its files to itself. */
static const char *aside(uint64_t inode)
{
	static char out[64];

	snprintf(out, sizeof out, ".aside/%llu", (unsigned long long)inode);
	return out;
}

static void keep_aside(const struct node *n)
{
	if (strncmp(n->path, "mail", 4) != 0)
		return;
	if (mkdir(path_of(".aside"), 0700) != 0 && errno != EEXIST)
		abort();
	if (link(path_of(n->path), path_of(aside(n->inode))) != 0 && errno != EEXIST)
		abort();
}

static void take(struct tree *t, const char *path)
{
	struct node *n = &t->node[t->count];
	struct dirent *entry;
	struct stat st;
	DIR *d;

	if (t->count++ == TREE_MAX || lstat(path_of(path), &st) != 0)
		abort();
	memset(n, 0, sizeof *n);
	snprintf(n->path, sizeof n->path, "%s", path);
	n->inode = st.st_ino;
	n->mtime = st.st_mtim;
	n->directory = S_ISDIR(st.st_mode);
	if (!n->directory) {
		n->data = slurp(path, &n->size);
		keep_aside(n);
		return;
	}
	d = opendir(path_of(path));
	while (d != NULL && (entry = readdir(d)) != NULL) {
		char below[sizeof n->path];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (snprintf(below, sizeof below, "%s/%s", path, entry->d_name) >= (int)sizeof below)
			abort();
		take(t, below);
	}
	if (d != NULL)
		closedir(d);
}

void tree_take(struct tree *t, const char *path)
{
	t->count = 0;
	if (access(path_of(path), F_OK) == 0)
		take(t, path);
}

void tree_free(struct tree *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->node[i].data);
	t->count = 0;
}

static void remove_tree(const char *path)
{
	struct tree *t = calloc(1, sizeof *t);

	tree_take(t, path);
	for (size_t i = t->count; i-- > 0;)
		if (remove(path_of(t->node[i].path)) != 0)
			abort();
	tree_free(t);
	free(t);
}

/* A node before it that is another name of the same file. */
static const struct node *same_file(const struct tree *t, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (t->node[j].inode == t->node[i].inode && !t->node[j].directory)
			return &t->node[j];
	return NULL;
}

static void put_node(const struct tree *t, size_t i)
{
	const struct node *n = &t->node[i], *other = same_file(t, i);

	if (n->directory) {
		if (mkdir(path_of(n->path), 0700) != 0)
			abort();
	} else if (other != NULL) {
		if (link(path_of(other->path), path_of(n->path)) != 0)
			abort();
	} else {
		if (n->inode != 0)
			(void)!link(path_of(aside(n->inode)), path_of(n->path));
		put_file(n->path, n->data, n->size);
	}
}

void tree_put(const struct tree *t, const char *path)
{
	remove_tree(path);
	for (size_t i = 0; i < t->count; i++)
		put_node(t, i);
	for (size_t i = t->count; i-- > 0;)
		set_mtime(t->node[i].path, &t->node[i].mtime);
}
