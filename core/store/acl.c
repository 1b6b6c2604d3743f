/*
 * acl.c: POSIX access lists of open files, through libacl.
 *
 * Objects are named by descriptors that were opened without following links (O_PATH), and handed to libacl as
 * /proc/self/fd/N: no name can be exchanged in between. Where the file system has no access lists, what mode
 * bits can say still goes.
 */
#include <acl/libacl.h>
#include <errno.h>
#include <stdio.h>
#include <sys/acl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/vec.h"
#include "store/rights_int.h"
#include "base/banned.h"

struct place {
	char name[32];
};

static struct place place_of(int fd)
{
	struct place p;

	(void)snprintf(p.name, sizeof(p.name), "/proc/self/fd/%d", fd);
	return p;
}

static void list_free(acl_t *list)
{
	if (*list != NULL)
		acl_free(*list);
	*list = NULL;
}
#define AUTO_ACL __attribute__((cleanup(list_free)))

static unsigned access_of(acl_entry_t entry)
{
	acl_permset_t set;
	unsigned bits = 0;

	if (acl_get_permset(entry, &set) != 0)
		return 0;
	bits |= acl_get_perm(set, ACL_READ) == 1 ? ACCESS_READ : 0;
	bits |= acl_get_perm(set, ACL_WRITE) == 1 ? ACCESS_WRITE : 0;
	bits |= acl_get_perm(set, ACL_EXECUTE) == 1 ? ACCESS_EXECUTE : 0;
	return bits;
}

static int give(acl_entry_t entry, unsigned bits)
{
	acl_permset_t set;

	if (acl_get_permset(entry, &set) != 0 || acl_clear_perms(set) != 0)
		return -1;
	if ((bits & ACCESS_READ) != 0 && acl_add_perm(set, ACL_READ) != 0)
		return -1;
	if ((bits & ACCESS_WRITE) != 0 && acl_add_perm(set, ACL_WRITE) != 0)
		return -1;
	return (bits & ACCESS_EXECUTE) != 0 ? acl_add_perm(set, ACL_EXECUTE) : 0;
}

/* Goes through the entries: first with NULL. */
static bool next_entry(acl_t list, acl_entry_t *entry, acl_tag_t *tag)
{
	int which = *entry == NULL ? ACL_FIRST_ENTRY : ACL_NEXT_ENTRY;

	return acl_get_entry(list, which, entry) == 1 && acl_get_tag_type(*entry, tag) == 0;
}

static bool has_qualifier(acl_tag_t tag)
{
	return tag == ACL_USER || tag == ACL_GROUP;
}

static uint32_t qualifier(acl_entry_t entry)
{
	uint32_t *id = acl_get_qualifier(entry), value = UINT32_MAX;

	if (id != NULL) {
		value = *id;
		acl_free(id);
	}
	return value;
}

static acl_entry_t find(acl_t list, acl_tag_t wanted, uint32_t id)
{
	acl_entry_t entry = NULL;
	acl_tag_t tag;

	while (next_entry(list, &entry, &tag))
		if (tag == wanted && (!has_qualifier(tag) || qualifier(entry) == id))
			return entry;
	return NULL;
}

/* Masked entries become what they are in effect, so that a new mask reveals nothing. */
static int unmask(acl_t list)
{
	acl_entry_t mask = find(list, ACL_MASK, 0), entry = NULL;
	unsigned most = mask != NULL ? access_of(mask) : ~0u;
	acl_tag_t tag;

	while (mask != NULL && next_entry(list, &entry, &tag))
		if ((has_qualifier(tag) || tag == ACL_GROUP_OBJ) && give(entry, access_of(entry) & most) != 0)
			return -1;
	return 0;
}

/* As libacl has it, or made from the mode bits. */
static acl_t read_list(int fd)
{
	struct place p = place_of(fd);
	acl_t list = acl_get_file(p.name, ACL_TYPE_ACCESS);
	struct stat st;

	if (list == NULL && (errno == ENOTSUP || errno == ENOSYS) && fstat(fd, &st) == 0)
		list = acl_from_mode(st.st_mode);
	if (list != NULL && unmask(list) != 0)
		list_free(&list);
	return list;
}

static bool who_is(acl_tag_t tag, acl_entry_t entry, const struct stat *st, struct access_entry *out)
{
	*out = (struct access_entry){.owner = !has_qualifier(tag), .access = access_of(entry)};
	switch (tag) {
	case ACL_USER_OBJ:
		out->who = (struct identity){IDENTITY_USER, st->st_uid};
		return true;
	case ACL_GROUP_OBJ:
		out->who = (struct identity){IDENTITY_GROUP, st->st_gid};
		return true;
	case ACL_USER:
		out->who = (struct identity){IDENTITY_USER, qualifier(entry)};
		return out->who.id != st->st_uid; /* the owner's entry is the other one */
	case ACL_GROUP:
		out->who = (struct identity){IDENTITY_GROUP, qualifier(entry)};
		return true;
	case ACL_OTHER:
		out->who = (struct identity){.kind = IDENTITY_ANYONE};
		return true;
	default:
		return false;
	}
}

int access_list(int fd, struct arena *a, struct access_entry **out, size_t *count, struct err *e)
{
	VEC(struct access_entry) found = VEC_INIT;
	AUTO_ACL acl_t list = read_list(fd);
	struct access_entry one;
	acl_entry_t entry = NULL;
	struct stat st;
	acl_tag_t tag;

	*count = 0;
	if (list == NULL || fstat(fd, &st) != 0)
		return err_errno(e, "reading an access list");
	while (next_entry(list, &entry, &tag))
		if (who_is(tag, entry, &st, &one))
			*vec_push(&found) = one;
	*out = arena_dup(a, found.v, found.n * sizeof(*found.v));
	*count = found.n;
	vec_free(&found);
	return 0;
}

/* The entry that an identity has, or would have. */
static acl_tag_t tag_of(const struct identity *who, const struct stat *st)
{
	switch (who->kind) {
	case IDENTITY_USER:
		return who->id == st->st_uid ? ACL_USER_OBJ : ACL_USER;
	case IDENTITY_GROUP:
		return who->id == st->st_gid ? ACL_GROUP_OBJ : ACL_GROUP;
	default:
		return ACL_OTHER;
	}
}

static int put(acl_t *list, acl_tag_t tag, uint32_t id, unsigned access)
{
	acl_entry_t entry = find(*list, tag, id);

	if (entry == NULL && (acl_create_entry(list, &entry) != 0 || acl_set_tag_type(entry, tag) != 0 ||
	                         (has_qualifier(tag) && acl_set_qualifier(entry, &id) != 0)))
		return -1;
	return give(entry, access);
}

static int edit(acl_t *list, acl_tag_t tag, uint32_t id, unsigned access, bool remove)
{
	acl_entry_t entry = find(*list, tag, id);

	if (!remove)
		return put(list, tag, id, access);
	if (entry == NULL)
		return 0;
	return has_qualifier(tag) ? acl_delete_entry(*list, entry) : give(entry, 0);
}

/*
 * Linux does not look at the entries when the mask lets nothing through: one that shuts its user out would
 * let him in as one of the others.
 */
static int widen_mask(acl_t list)
{
	acl_entry_t mask = find(list, ACL_MASK, 0), other = find(list, ACL_OTHER, 0);

	return mask != NULL && other != NULL ? give(mask, access_of(mask) | access_of(other)) : 0;
}

/* A list that says no more than mode bits do is written as those. */
static int write_list(int fd, acl_t *list, acl_type_t type)
{
	struct place p = place_of(fd);
	mode_t mode;
	struct stat st;

	if (type == ACL_TYPE_ACCESS && acl_equiv_mode(*list, &mode) == 0) {
		acl_entry_t mask = find(*list, ACL_MASK, 0);

		if (mask != NULL && acl_delete_entry(*list, mask) != 0)
			return -1;
		if (acl_set_file(p.name, type, *list) == 0)
			return 0;
		if (errno != ENOTSUP || fstat(fd, &st) != 0)
			return -1;
		return chmod(p.name, (st.st_mode & 07000) | (mode & 0777));
	}
	if (acl_calc_mask(list) != 0 || widen_mask(*list) != 0)
		return -1;
	return acl_set_file(p.name, type, *list);
}

/* Whether anybody but the owner is in it. */
static bool shares(acl_t list)
{
	acl_entry_t entry = NULL;
	acl_tag_t tag;

	while (next_entry(list, &entry, &tag))
		if (has_qualifier(tag) ||
		    ((tag == ACL_GROUP_OBJ || tag == ACL_OTHER) && access_of(entry) != 0))
			return true;
	return false;
}

/*
 * The default entries are the list itself, and one of the owner's name: what others make in the directory is
 * theirs, and the owner is to have it, too.
 */
static int write_default(int fd, acl_t *list, const struct stat *st)
{
	struct place p = place_of(fd);

	if (!shares(*list))
		return acl_delete_def_file(p.name) == 0 || errno == ENOTSUP ? 0 : -1;
	if (put(list, ACL_USER, st->st_uid, ACCESS_READ | ACCESS_WRITE | ACCESS_EXECUTE) != 0)
		return -1;
	return write_list(fd, list, ACL_TYPE_DEFAULT);
}

int access_set(int fd, const struct identity *who, unsigned access, bool remove, bool inherit, struct err *e)
{
	AUTO_ACL acl_t list = read_list(fd);
	struct stat st;

	if (list == NULL || fstat(fd, &st) != 0)
		return err_errno(e, "reading an access list");
	if (edit(&list, tag_of(who, &st), who->id, access, remove) == 0 &&
	    write_list(fd, &list, ACL_TYPE_ACCESS) == 0 &&
	    (!inherit || !S_ISDIR(st.st_mode) || write_default(fd, &list, &st) == 0))
		return 0;
	if (errno == ENOTSUP)
		return err_fail(e, MORTISE_E_UNSUPPORTED, "There are no access lists where this mailbox is");
	return err_errno(e, "writing an access list");
}

bool access_default(int fd, unsigned *group, unsigned *others)
{
	struct place p = place_of(fd);
	AUTO_ACL acl_t list = NULL;
	acl_entry_t mask, other;

	/* Nearly always there are none, which is all that is asked then. */
	if (getxattr(p.name, "system.posix_acl_default", NULL, 0) <= 0)
		return false;
	list = acl_get_file(p.name, ACL_TYPE_DEFAULT);
	if (list == NULL || acl_entries(list) <= 0)
		return false;
	mask = find(list, ACL_MASK, 0);
	if (mask == NULL)
		mask = find(list, ACL_GROUP_OBJ, 0);
	other = find(list, ACL_OTHER, 0);
	*group = mask != NULL ? access_of(mask) : 0;
	*others = other != NULL ? access_of(other) : 0;
	return true;
}
