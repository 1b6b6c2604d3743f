#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "module/elf.h"
#include "base/banned.h"

#if UINTPTR_MAX == UINT64_MAX
#define OUR_CLASS ELFCLASS64
#define SYMBOL_BIND ELF64_ST_BIND
#define SYMBOL_TYPE ELF64_ST_TYPE
#else
#define OUR_CLASS ELFCLASS32
#define SYMBOL_BIND ELF32_ST_BIND
#define SYMBOL_TYPE ELF32_ST_TYPE
#endif

#if defined(__x86_64__) && defined(__LP64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#elif defined(__i386__)
#define OUR_MACHINE EM_386
#elif defined(__arm__)
#define OUR_MACHINE EM_ARM
#elif defined(__riscv)
#define OUR_MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define OUR_MACHINE EM_PPC64
#elif defined(__s390__)
#define OUR_MACHINE EM_S390
#endif /* others: the run-time linker decides */

#define OUR_DATA (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

struct image {
	const unsigned char *p;
	size_t n;
};

/* [offset, offset + size) of the file, or NULL when it is not all there. */
static const void *at(const struct image *i, uint64_t offset, uint64_t size)
{
	return offset <= i->n && size <= i->n - offset ? i->p + offset : NULL;
}

/* A string of a string table: NULL unless it ends inside. */
static const char *name_at(const struct image *i, const ElfW(Shdr) * strings, uint64_t offset)
{
	const char *s;

	if (offset >= strings->sh_size)
		return NULL;
	s = at(i, strings->sh_offset + offset, strings->sh_size - offset);
	return s != NULL && memchr(s, '\0', strings->sh_size - offset) != NULL ? s : NULL;
}

static int check_header(const struct image *i, const ElfW(Ehdr) * h, const char *path, struct err *e)
{
	if (i->n < EI_NIDENT || memcmp(i->p, ELFMAG, SELFMAG) != 0)
		return err_fault(e, MORTISE_E_INVALID, "%s is not a shared object (no ELF header)", path);
	if (i->p[EI_CLASS] != OUR_CLASS)
		return err_fault(e, MORTISE_E_INVALID,
		    "%s is for a %d-bit machine, imapd is for a %d-bit one", path,
		    i->p[EI_CLASS] == ELFCLASS64 ? 64 : 32, (int)sizeof(void *) * 8);
	if (i->p[EI_DATA] != OUR_DATA)
		return err_fault(e, MORTISE_E_INVALID, "%s is for a machine of another byte order", path);
	if (i->n < sizeof(*h))
		return err_fault(e, MORTISE_E_INVALID, "%s is truncated inside its ELF header", path);
#ifdef OUR_MACHINE
	if (h->e_machine != OUR_MACHINE)
		return err_fault(e, MORTISE_E_INVALID,
		    "%s is for another machine (ELF machine %u, imapd has %u)", path, h->e_machine,
		    OUR_MACHINE);
#endif
	if (h->e_type != ET_DYN)
		return err_fault(
		    e, MORTISE_E_INVALID, "%s is not a shared object (ELF type %u)", path, h->e_type);
	if (h->e_phentsize != sizeof(ElfW(Phdr)) || (h->e_shnum != 0 && h->e_shentsize != sizeof(ElfW(Shdr))))
		return err_fault(e, MORTISE_E_INVALID, "%s has a damaged ELF header", path);
	return 0;
}

static int truncated(const struct image *i, uint64_t end, const char *path, struct err *e)
{
	return err_fault(e, MORTISE_E_INVALID,
	    "%s is truncated: it has %zu octets, its headers speak of %llu", path, i->n,
	    (unsigned long long)end);
}

static int read_segments(
    const struct image *i, const ElfW(Ehdr) * h, const char *path, struct elf_facts *out, struct err *e)
{
	const ElfW(Phdr) *p = at(i, h->e_phoff, (uint64_t)h->e_phnum * sizeof(*p));

	if (p == NULL || h->e_phoff % _Alignof(ElfW(Phdr)) != 0)
		return truncated(i, h->e_phoff + (uint64_t)h->e_phnum * sizeof(*p), path, e);
	for (unsigned k = 0; k < h->e_phnum; k++) {
		if (p[k].p_type == PT_LOAD && at(i, p[k].p_offset, p[k].p_filesz) == NULL)
			return truncated(i, p[k].p_offset + p[k].p_filesz, path, e);
		if (p[k].p_type == PT_LOAD && (p[k].p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
			out->writable_code = true;
		if (p[k].p_type == PT_GNU_STACK && (p[k].p_flags & PF_X) != 0)
			out->executable_stack = true;
	}
	return 0;
}

static void read_symbols(const struct image *i, const ElfW(Shdr) * table, const ElfW(Shdr) * strings,
    struct arena *a, struct elf_facts *out)
{
	size_t count = table->sh_size / sizeof(ElfW(Sym));
	const ElfW(Sym) *s = at(i, table->sh_offset, table->sh_size);

	if (s == NULL || table->sh_offset % _Alignof(ElfW(Sym)) != 0)
		return;
	for (size_t k = 0; k < count; k++) {
		unsigned bind = SYMBOL_BIND(s[k].st_info), visibility = s[k].st_other & 3;
		const char *name;

		if (s[k].st_shndx == SHN_UNDEF || (bind != STB_GLOBAL && bind != STB_WEAK) ||
		    (visibility != STV_DEFAULT && visibility != STV_PROTECTED))
			continue;
		name = name_at(i, strings, s[k].st_name);
		if (name == NULL || name[0] == '\0' || s[k].st_shndx == SHN_ABS)
			continue;
		if (out->export_count++ >= ELF_NAMES_MAX)
			continue;
		out->exports[out->export_count - 1] = (struct elf_symbol){
		    .name = arena_strdup(a, name),
		    .size = s[k].st_size,
		    .function = SYMBOL_TYPE(s[k].st_info) == STT_FUNC,
		};
	}
}

static void read_dynamic(const struct image *i, const ElfW(Shdr) * table, const ElfW(Shdr) * strings,
    struct arena *a, struct elf_facts *out)
{
	const ElfW(Dyn) *d = at(i, table->sh_offset, table->sh_size);
	size_t count = table->sh_size / sizeof(*d);

	if (d == NULL || table->sh_offset % _Alignof(ElfW(Dyn)) != 0)
		return;
	for (size_t k = 0; k < count && d[k].d_tag != DT_NULL; k++) {
		const char *name;

		switch (d[k].d_tag) {
		case DT_NEEDED:
			name = name_at(i, strings, d[k].d_un.d_val);
			if (name != NULL && out->needed_count < ELF_NAMES_MAX)
				out->needed[out->needed_count++] = arena_strdup(a, name);
			break;
		case DT_INIT_ARRAYSZ: /* crtbegin's frame_dummy is one */
			if (d[k].d_un.d_val > sizeof(void *))
				out->constructors = true;
			break;
		case DT_TEXTREL:
			out->text_relocations = true;
			break;
		case DT_FLAGS:
			if ((d[k].d_un.d_val & DF_TEXTREL) != 0)
				out->text_relocations = true;
			if ((d[k].d_un.d_val & DF_BIND_NOW) != 0)
				out->binds_now = true;
			break;
		case DT_FLAGS_1:
			if ((d[k].d_un.d_val & DF_1_NOW) != 0)
				out->binds_now = true;
			break;
		default:
			break;
		}
	}
}

static int read_image(
    const struct image *i, const char *path, struct arena *a, struct elf_facts *out, struct err *e)
{
	const ElfW(Ehdr) *h = (const void *)i->p;
	const ElfW(Shdr) * s;

	if (check_header(i, h, path, e) != 0 || read_segments(i, h, path, out, e) != 0)
		return e->code;
	s = at(i, h->e_shoff, (uint64_t)h->e_shnum * sizeof(*s));
	if (s == NULL || h->e_shoff % _Alignof(ElfW(Shdr)) != 0)
		return truncated(i, h->e_shoff + (uint64_t)h->e_shnum * sizeof(*s), path, e);
	for (unsigned k = 0; k < h->e_shnum; k++) {
		if (s[k].sh_type != SHT_DYNSYM && s[k].sh_type != SHT_DYNAMIC)
			continue;
		if (s[k].sh_link >= h->e_shnum)
			continue;
		if (s[k].sh_type == SHT_DYNSYM)
			read_symbols(i, &s[k], &s[s[k].sh_link], a, out);
		else
			read_dynamic(i, &s[k], &s[s[k].sh_link], a, out);
	}
	return 0;
}

int elf_read(const char *path, struct arena *a, struct elf_facts *out, struct err *e)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct image image = {NULL, 0};
	unsigned char *copy;
	struct stat st;
	int r;

	*out = (struct elf_facts){0};
	out->exports = arena_array(a, ELF_NAMES_MAX, sizeof(out->exports[0]));
	out->needed = arena_array(a, ELF_NAMES_MAX, sizeof(out->needed[0]));
	if (fd < 0 || fstat(fd, &st) != 0)
		return err_errno(e, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_fault(e, MORTISE_E_INVALID, "%s is not a regular file", path);
	if (st.st_size > (off_t)ELF_FILE_MAX)
		return err_fault(e, MORTISE_E_TOOBIG, "%s is larger than %u octets", path, ELF_FILE_MAX);
	copy = mem_alloc((size_t)st.st_size + sizeof(ElfW(Ehdr)));
	image.p = copy;
	image.n = (size_t)st.st_size;
	if (io_pread(fd, copy, image.n, 0) != (ssize_t)image.n)
		r = err_errno(e, "%s", path);
	else
		r = read_image(&image, path, a, out, e);
	mem_free(copy);
	return r;
}
