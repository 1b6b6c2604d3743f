/*
 * elf.h: what a shared object says about itself, read without loading it.
 *
 * The run-time linker answers a truncated file with a crash (its pages end inside a mapping) and a renamed
 * one with nothing at all. So the file is looked at first: is it an object of this machine, is all of it
 * there, which symbols does it show. Everything is bounds-checked: the file may be anything.
 */
#ifndef MORTISE_MODULE_ELF_H
#define MORTISE_MODULE_ELF_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

#define ELF_FILE_MAX (64u << 20)
#define ELF_NAMES_MAX 64u /* exported names and needed libraries that are remembered */

struct elf_symbol {
	const char *name;
	uint64_t size; /* of the object */
	bool function;
};

struct elf_facts {
	struct elf_symbol *exports; /* defined, global or weak */
	size_t export_count;        /* all of them, even those not remembered */
	const char **needed;        /* DT_NEEDED */
	size_t needed_count;
	bool constructors; /* more than the two entries that the compiler's own start files bring */
	bool text_relocations;
	bool writable_code; /* a segment that is both */
	bool executable_stack;
	bool binds_now;
};

/* 0, or a code with what is wrong with the file. Facts live in the arena. */
int elf_read(const char *path, struct arena *a, struct elf_facts *out, struct err *e);

#endif
