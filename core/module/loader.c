/*
 * loader.c: from a name to checked descriptors.
 *
 * What libltdl (2.4.7) does that must not matter here: every failed load says "file not found"; it binds
 * lazily, so a missing function would kill the process at its first call; it looks into environment paths for
 * a bare name; its preload-only advice does not find preloaded archives at all. So the list of built-in
 * modules is read directly, files are only ever opened by their whole path, and the run-time linker is asked
 * first, with RTLD_NOW.
 */
#include <dlfcn.h>
#include <errno.h>
#include <ltdl.h>
#include <pwd.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "module/elf.h"
#include "module/module_int.h"
#include "base/banned.h"

#define SINGLE "_LTX_mortise_module"
#define SEVERAL "_LTX_mortise_modules"
#define DESCRIPTORS_MAX 64

static const lt_dlsymlist *builtin;

void module_set_builtin(const void *symbols)
{
	builtin = symbols;
}

/* The list of a program is: its own name, then for each archive "NAME.a" with address NULL and its symbols.
 */
const char *module_builtin_name(size_t index)
{
	static const char ending[] = ".a";

	for (const lt_dlsymlist *s = builtin; s != NULL && s->name != NULL; s++) {
		struct str name = str_of(s->name);

		if (s->address == NULL && str_ends(name, str_of(ending)) && index-- == 0)
			return s->name;
	}
	return NULL;
}

/* A symbol of the archive NAME.a, or NULL. */
static const void *builtin_symbol(const char *archive, const char *symbol)
{
	const lt_dlsymlist *s = builtin;

	while (s != NULL && s->name != NULL && (s->address != NULL || strcmp(s->name, archive) != 0))
		s++;
	if (s == NULL || s->name == NULL)
		return NULL;
	for (s++; s->name != NULL && s->address != NULL; s++)
		if (strcmp(s->name, symbol) == 0)
			return s->address;
	return NULL;
}

static bool is_builtin(const char *stem)
{
	const char *name;

	for (size_t i = 0; (name = module_builtin_name(i)) != NULL; i++)
		if (strlen(name) == strlen(stem) + 2 && strncmp(name, stem, strlen(stem)) == 0)
			return true;
	return false;
}

/* A name as it stands in a symbol: what libltdl makes of a file name too. */
static char *ident_of(struct arena *a, const char *stem)
{
	char *ident = arena_strdup(a, stem);

	for (char *p = ident; *p != '\0'; p++)
		if (!ascii_alpha(*p) && !ascii_digit(*p))
			*p = '_';
	return ident;
}

/* ---- finding ---- */

static int trusted_owner(const struct module_options *o, uid_t *owner, struct err *e)
{
	const struct passwd *pw;
	uint32_t number;

	/* Whoever runs this process may as well own its code: an unprivileged installation. */
	*owner = geteuid();
	if (o->owner == NULL || o->owner[0] == '\0')
		return 0;
	if (str_u32(str_of(o->owner), &number)) {
		*owner = number;
		return 0;
	}
	pw = getpwnam(o->owner);
	if (pw == NULL)
		return err_fault(e, MORTISE_E_INVALID, "module_loader.owner: no user \"%s\"", o->owner);
	*owner = pw->pw_uid;
	return 0;
}

/* The file, and the folder it is named in: a link in somebody's folder could be turned to another file. */
static int check_trust(const char *path, const struct module_options *o, struct arena *a, struct err *e)
{
	const char *slash = strrchr(path, '/');
	uid_t owner;

	if (!o->check_owner)
		return 0;
	if (trusted_owner(o, &owner, e) != 0)
		return e->code;
	if (path_trusted(arena_strndup(a, path, slash > path ? (size_t)(slash - path) : 1), owner, e) != 0)
		return e->code;
	return path_trusted(path, owner, e);
}

/* "unix", or the whole path of a file "/…/NAME.so". */
static int split_type(const char *type, struct str *stem, struct err *e)
{
	struct str s = str_of(type);
	const char *slash = strrchr(type, '/');

	if (type[0] == '/') {
		if (!str_ends(s, STR(".so")))
			return err_fault(e, MORTISE_E_INVALID, "%s: a module file ends in .so", type);
		s = str_from(s, (size_t)(slash - type) + 1);
		s.n -= strlen(".so");
	}
	if (!module_name_valid(s))
		return err_fault(e, MORTISE_E_INVALID,
		    "\"%s\" cannot be a module: a name has 1 to %d lower case letters, digits, '-' and '_'",
		    type, MODULE_NAME_MAX);
	*stem = s;
	return 0;
}

int module_find(const char *type, const struct module_options *o, struct arena *a, struct module_file **out,
    struct err *e)
{
	struct module_file *f = arena_new_of(a, struct module_file);
	struct str stem = STR_NONE;

	if (split_type(type, &stem, e) != 0)
		return e->code;
	f->stem = arena_strndup(a, stem.p, stem.n);
	f->ident = ident_of(a, f->stem);
	*out = f;
	if (type[0] != '/' && is_builtin(f->stem)) {
		f->builtin = true;
		f->path = "built in";
		return 0;
	}
	f->path = type[0] == '/' ? arena_strdup(a, type) : arena_printf(a, "%s/%s.so", o->path, f->stem);
	if (access(f->path, F_OK) != 0)
		return err_errno(e, "%s", f->path);
	return check_trust(f->path, o, a, e);
}

/* ---- opening ---- */

/* The descriptor symbol that a file has under another name than its own: "maildir", or NULL. */
static const char *other_ident(const struct elf_facts *elf, struct arena *a)
{
	size_t count = elf->export_count < ELF_NAMES_MAX ? elf->export_count : ELF_NAMES_MAX;

	for (size_t i = 0; i < count; i++) {
		struct str name = str_of(elf->exports[i].name);

		if (str_ends(name, STR(SINGLE)))
			return arena_strndup(a, name.p, name.n - strlen(SINGLE));
		if (str_ends(name, STR(SEVERAL)))
			return arena_strndup(a, name.p, name.n - strlen(SEVERAL));
	}
	return NULL;
}

static int check_symbols(
    const struct module_file *f, const struct elf_facts *elf, struct arena *a, struct err *e)
{
	const char *single = arena_printf(a, "%s" SINGLE, f->ident), *other;
	const char *several = arena_printf(a, "%s" SEVERAL, f->ident);
	size_t count = elf->export_count < ELF_NAMES_MAX ? elf->export_count : ELF_NAMES_MAX, found = 0;

	for (size_t i = 0; i < count; i++) {
		const struct elf_symbol *s = &elf->exports[i];
		bool is_single = strcmp(s->name, single) == 0;

		if (!is_single && strcmp(s->name, several) != 0)
			continue;
		found++;
		if (s->function || (is_single && s->size < offsetof(struct mortise_module, kind)))
			return err_fault(
			    e, MORTISE_E_INVALID, "%s: %s is not a descriptor", f->path, s->name);
	}
	if (found == 1)
		return 0;
	if (found > 1)
		return err_fault(e, MORTISE_E_INVALID, "%s has both %s and %s", f->path, single, several);
	if (elf->export_count > ELF_NAMES_MAX)
		return err_fault(e, MORTISE_E_INVALID, "%s shows %zu symbols; a module shows one, %s",
		    f->path, elf->export_count, single);
	other = other_ident(elf, a);
	if (other != NULL)
		return err_fault(e, MORTISE_E_INVALID, "%s: the file was renamed: it holds the module \"%s\"",
		    f->path, other);
	return err_fault(
	    e, MORTISE_E_INVALID, "%s is not a Mortise module: it has no symbol %s", f->path, single);
}

static int start_ltdl(struct err *e)
{
	static bool started;

	if (!started && lt_dlinit() != 0)
		return err_fault(e, MORTISE_E_INTERNAL, "libltdl: %s", lt_dlerror());
	started = true;
	return 0;
}

/* libltdl's reference: by whole path, so that it looks nowhere else; never given back. */
static int take_reference(
    const struct module_file *f, const char *name, const char *symbol, const void *address, struct err *e)
{
	lt_dladvise advise;
	lt_dlhandle handle;

	if (start_ltdl(e) != 0)
		return e->code;
	if (lt_dladvise_init(&advise) != 0 || lt_dladvise_local(&advise) != 0 ||
	    lt_dladvise_resident(&advise) != 0)
		return err_fault(e, MORTISE_E_INTERNAL, "libltdl: %s", lt_dlerror());
	handle = lt_dlopenadvise(name, advise);
	lt_dladvise_destroy(&advise);
	if (handle == NULL)
		return err_fault(
		    e, MORTISE_E_INTERNAL, "%s: libltdl does not load it: %s", f->path, lt_dlerror());
	if (lt_dlsym(handle, symbol) != address)
		return err_fault(
		    e, MORTISE_E_INTERNAL, "%s: libltdl found another file for this name", f->path);
	return 0;
}

/* *single or *several is the address of the symbol. */
static int open_file(
    struct module_file *f, struct arena *a, const void **single, const void **several, struct err *e)
{
	const char *single_name = arena_printf(a, "%s" SINGLE, f->ident), *text;
	struct elf_facts elf;
	void *handle;

	if (elf_read(f->path, a, &elf, e) != 0 || check_symbols(f, &elf, a, e) != 0)
		return e->code;
	module_step("loading");
	handle = dlopen(f->path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL) {
		text = dlerror();
		return err_fault(
		    e, MORTISE_E_INVALID, "%s cannot be loaded: %s", f->path, text != NULL ? text : "?");
	}
	*single = dlsym(handle, single_name);
	*several = dlsym(handle, arena_printf(a, "%s" SEVERAL, f->ident));
	return take_reference(f, f->path, *single != NULL ? "mortise_module" : "mortise_modules",
	    *single != NULL ? *single : *several, e);
}

static int open_builtin(
    const struct module_file *f, struct arena *a, const void **single, const void **several, struct err *e)
{
	const char *archive = arena_printf(a, "%s.a", f->stem);

	*single = builtin_symbol(archive, arena_printf(a, "%s" SINGLE, f->ident));
	*several = builtin_symbol(archive, arena_printf(a, "%s" SEVERAL, f->ident));
	if (*single == NULL && *several == NULL)
		return err_fault(e, MORTISE_E_INTERNAL, "the built-in module %s has no descriptor", f->stem);
	return take_reference(f, archive, *single != NULL ? "mortise_module" : "mortise_modules",
	    *single != NULL ? *single : *several, e);
}

/* One descriptor in the file must have the file's name, and no two the same. */
static int check_names(const struct module_file *f, struct err *e)
{
	bool own = false;

	for (size_t i = 0; i < f->count; i++) {
		const char *name = f->modules[i]->name;

		own = own || strcmp(name, f->stem) == 0;
		for (size_t k = 0; k < i; k++)
			if (strcmp(name, f->modules[k]->name) == 0)
				return err_fault(e, MORTISE_E_INVALID, "%s has two descriptors named \"%s\"",
				    f->path, name);
	}
	if (!own && f->count == 1)
		return err_fault(e, MORTISE_E_INVALID, "%s: the file was renamed: it holds the module \"%s\"",
		    f->path, f->modules[0]->name);
	return 0;
}

static int check_all(struct module_file *f, struct err *e)
{
	module_step("reading its descriptor");
	for (size_t i = 0; i < f->count; i++) {
		struct err why = ERR_INIT;

		if (descriptor_check(f->modules[i], &why) == 0)
			continue;
		if (f->count == 1)
			return err_fault(e, why.code, "%s: %s", f->path, why.admin);
		return err_fault(e, why.code, "%s: descriptor %zu: %s", f->path, i + 1, why.admin);
	}
	return check_names(f, e);
}

int module_open(struct module_file *f, struct arena *a, struct err *e)
{
	const void *single = NULL, *several = NULL;
	const struct mortise_module *const *list;
	int r;

	r = f->builtin ? open_builtin(f, a, &single, &several, e) : open_file(f, a, &single, &several, e);
	if (r != 0)
		return r;
	f->modules = arena_array(a, DESCRIPTORS_MAX, sizeof(f->modules[0]));
	if (single != NULL) {
		f->modules[f->count++] = single;
		return check_all(f, e);
	}
	for (list = several; list[f->count] != NULL; f->count++) {
		if (f->count == DESCRIPTORS_MAX)
			return err_fault(
			    e, MORTISE_E_LIMIT, "%s has more than %d descriptors", f->path, DESCRIPTORS_MAX);
		f->modules[f->count] = list[f->count];
	}
	if (f->count == 0)
		return err_fault(e, MORTISE_E_INVALID, "%s has an empty list of descriptors", f->path);
	return check_all(f, e);
}
