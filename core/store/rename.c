/*
 * rename.c: RENAME.
 *
 * What is below a mailbox or level goes along, being below its directory. The target's name is taken with
 * RENAME_NOREPLACE: whatever appears there in the last moment is not lost. RENAME of INBOX moves its messages
 * into a new mailbox: copied first, then taken out, so that at no time a message is in neither.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "log/log.h"
#include "store/derived.h"
#include "store/driver.h"
#include "store/metadata.h"
#include "store/rights_int.h"
#include "store/special_use.h"
#include "base/banned.h"

static int move_name(struct store *s, const struct target *from, const struct target *to, struct err *e)
{
	AUTO_CLOSE int old_dir = -1;
	AUTO_CLOSE int new_dir = -1;
	const char *old_last, *new_last;

	old_dir = path_parent(from->place.root, from->place.path, &old_last, store_how(s));
	new_dir = path_parent(to->place.root, to->place.path, &new_last, store_how(s));
	if (old_dir < 0 || new_dir < 0 ||
	    renameat2(old_dir, old_last, new_dir, new_last, RENAME_NOREPLACE) != 0) {
		if (errno == EXDEV)
			return err_fault(e, MORTISE_E_UNSUPPORTED, "rename %s to %s: another file system",
			    from->place.path, to->place.path);
		return err_errno(e, "rename %s/%s to %s", from->directory, from->place.path, to->place.path);
	}
	if (target_sync_parent(s, to, e) != 0)
		return e->code;
	return target_sync_parent(s, from, e);
}

static int move_file(
    struct store *s, const struct target *from, const struct target *to, struct mailbox *m, struct err *e)
{
	int r;

	if (mailbox_recover(m, e) != 0 || box_lock(m, MORTISE_LOCK_EXCLUSIVE, lock_deadline(m), e) != 0)
		return e->code;
	r = move_name(s, from, to, e);
	change_end(m);
	return r;
}

static int move_locked(struct store *s, struct target *from, const struct target *to, struct err *e)
{
	struct mailbox *m = mailbox_already(s, from);
	struct target copy = *from;

	if (m != NULL)
		return move_file(s, from, to, m, e);
	copy.own_root = -1;
	if (mailbox_attach(s, &copy, arena_new("rename"), 0, &m, e) != 0)
		return e->code;
	move_file(s, from, to, m, e);
	mailbox_close(&m);
	return e->code;
}

static int move(struct store *s, struct target *from, const struct target *to, struct err *e)
{
	if (from->object == OBJECT_MAILBOX && driver_ops(from->driver)->rename != NULL) {
		if (driver_rename(s, from->driver, &from->place, &to->place, e) != 0 ||
		    target_sync_parent(s, to, e) != 0)
			return e->code;
		return target_sync_parent(s, from, e);
	}
	if (from->object == OBJECT_DIRECTORY)
		return move_name(s, from, to, e);
	return move_locked(s, from, to, e);
}

/* What the index knows goes along. If it cannot, the mailboxes are new ones to it. */
static void move_rows(struct store *s, const struct target *from, const struct target *to)
{
	AUTO_BUF struct buf old = BUF_INIT;
	AUTO_BUF struct buf new = BUF_INIT;
	struct err e = ERR_INIT;
	struct index *x = store_index(s, &e);

	buf_printf(&old, "%s/%s", from->directory, from->place.path);
	buf_printf(&new, "%s/%s", to->directory, to->place.path);
	if (x == NULL || index_rename_below(x, buf_str(&old), buf_str(&new), &e) != 0)
		log_err(MSG_STORE_INDEX, &e, from->place.name);
}

static int rename_found(struct store *s, struct target *from, const struct name *name, struct err *e)
{
	unsigned made = 0;
	struct target to;

	if (target_find(s, name, &to, e) != 0)
		return e->code;
	if (target_may_name(s, from, e) != 0 || target_may_name(s, &to, e) != 0)
		;
	else if (to.object != OBJECT_MISSING)
		err_fail(e, MORTISE_E_EXISTS, "Mailbox already exists");
	else if (target_parents(s, &to, &made, e) == 0) {
		if (move(s, from, &to, e) != 0)
			target_parents_undo(s, &to, made);
		else
			move_rows(s, from, &to);
	}
	target_close(&to);
	return e->code;
}

/* Everything that was in INBOX a moment ago, and is now in `to` as well, leaves INBOX. */
static int empty(struct mailbox *inbox, const struct copy_result *done, struct err *e)
{
	VEC(uint32_t) moved = VEC_INIT;
	size_t i;

	if (change_begin(inbox, e) != 0)
		return e->code;
	for (i = 0; i < done->count; i++)
		if (record_find(inbox, done->from[i]) != NULL)
			*vec_push(&moved) = done->from[i];
	expunge_uids(inbox, moved.v, moved.n, e);
	vec_free(&moved);
	change_end(inbox);
	return e->code;
}

static int rename_inbox(struct store *s, const char *to, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("rename inbox");
	struct set_range everything = {1, UINT32_MAX};
	struct number_set all = {&everything, 1};
	struct copy_result done;
	struct err undo = ERR_INIT;
	struct mailbox *inbox;

	if (mailbox_open(s, "INBOX", 0, &inbox, e) != 0)
		return e->code;
	if (mailbox_read_only(inbox)) {
		err_fail(e, MORTISE_E_PERM, "INBOX is read-only");
	} else if (store_create(s, to, e) == 0) {
		if (mailbox_copy_moved(inbox, &all, to, a, &done, e) != 0 ||
		    store_metadata_copy(s, "INBOX", to, e) != 0)
			store_delete(s, to, &undo);
		else if (done.count > 0)
			empty(inbox, &done, e);
	}
	mailbox_close(&inbox);
	return e->code;
}

/* One folder, and back again should another one fail. */
static int move_folder(struct store *s, const struct name *from, const struct name *to, struct err *e)
{
	struct target t;

	if (target_find(s, from, &t, e) != 0)
		return e->code;
	rename_found(s, &t, to, e);
	target_close(&t);
	return e->code;
}

struct folder_move {
	struct name from, to;
};

/* What is to be moved, what is below first: while there is something left to move, `old` is there. */
static int plan_folders(struct store *s, const struct name *old, const struct name *new, struct arena *a,
    struct folder_move *moves, size_t *count, const struct folders *f, struct err *e)
{
	size_t i;

	for (i = f->list.n; i-- > 0;) {
		struct folder_move *m = &moves[*count];
		struct target t;

		if (!f->list.v[i].mailbox || (strcmp(f->list.v[i].name, old->text) != 0 &&
		                                 !folder_below(f->list.v[i].name, old->text)))
			continue;
		if (name_parse(s, f->list.v[i].name, 0, a, &m->from, e) != 0 ||
		    name_parse(s, arena_printf(a, "%s%s", new->text, f->list.v[i].name + strlen(old->text)),
		        NAME_NEW, a, &m->to, e) != 0 ||
		    target_find(s, &m->to, &t, e) != 0)
			return e->code;
		target_close(&t);
		if (t.object != OBJECT_MISSING)
			return err_fail(e, MORTISE_E_EXISTS, "Mailbox already exists");
		++*count;
	}
	return *count > 0 ? 0 : err_fail(e, MORTISE_E_NOTFOUND, "No such mailbox");
}

/* Maildir++: what is below a folder lies beside it. */
static int rename_folders(
    struct store *s, const struct name *old, const struct name *new, struct arena *a, struct err *e)
{
	struct folders f = {.list = VEC_INIT};
	struct folder_move *moves = NULL;
	struct err undo = ERR_INIT;
	size_t i, count = 0;

	if (store_root(s, false, e) == 0 && folders_read(s, a, &f, e) == 0) {
		moves = arena_array(a, f.list.n + 1, sizeof(*moves));
		plan_folders(s, old, new, a, moves, &count, &f, e);
	}
	for (i = 0; i < count && e->code == 0; i++)
		if (move_folder(s, &moves[i].from, &moves[i].to, e) != 0)
			while (i-- > 0)
				move_folder(s, &moves[i].to, &moves[i].from, &undo);
	vec_free(&f.list);
	return e->code;
}

/* Not INBOX. */
static int rename_other(
    struct store *s, const struct name *old, const struct name *new, struct arena *a, struct err *e)
{
	struct target t;

	if (s->o->dot_folders && old->where == NULL)
		return rename_folders(s, old, new, a, e);
	if (target_find(s, old, &t, e) != 0)
		return e->code;
	if (t.object == OBJECT_MISSING || t.object == OBJECT_OTHER)
		not_a_mailbox(&t, e);
	else
		rename_found(s, &t, new, e);
	target_close(&t);
	return e->code;
}

int store_rename(struct store *s, const char *from, const char *to, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("rename");
	struct name old, new;
	size_t n;

	CHECK_OBJ(s, STORE_MAGIC);
	if (name_parse(s, from, NAME_DIRECTORY, a, &old, e) != 0 ||
	    name_parse(s, to, NAME_NEW | NAME_DIRECTORY, a, &new, e) != 0)
		return e->code;
	if (new.inbox)
		return err_fail(e, MORTISE_E_EXISTS, "INBOX is always there");
	if (old.where != new.where || (old.where != NULL && (old.inbox || old.where->o->dot_folders)))
		return err_fail(e, MORTISE_E_UNSUPPORTED, "This mailbox cannot be moved there");
	if (old.inbox)
		return rename_inbox(s, new.text, e);
	n = strlen(old.text);
	if (strncmp(old.text, new.text, n) == 0 && new.text[n] == '/')
		return err_fail(e, MORTISE_E_INVALID, "A mailbox cannot be moved below itself");
	store_keep_ids(s, arena_printf(a, "%s/%s", s->root_path, old.path));
	if (rename_other(s, &old, &new, a, e) == 0)
		special_use_renamed(s, old.text, new.text);
	return e->code;
}
