/* grammar_int.h: the words of the grammar, used by its files. */
#ifndef TESTS_PROTO_GRAMMAR_INT_H
#define TESTS_PROTO_GRAMMAR_INT_H

#include "grammar.h"

struct grammar {
	struct str line;
	size_t at;
	struct buf *why;
	unsigned depth;
	unsigned mode; /* GRAMMAR_… */
};

/* Notes what was wanted at this place, unless something was noted before. Always false. */
bool wanted(struct grammar *g, const char *what);

bool at_end(const struct grammar *g);
char next(const struct grammar *g);                  /* '\0' at the end */
bool take(struct grammar *g, char c);                /* goes on behind c if it is next */
bool take_word(struct grammar *g, const char *word); /* a whole atom, without regard to case */
bool want(struct grammar *g, char c);
bool want_end(struct grammar *g);

bool number(struct grammar *g, uint64_t *n);   /* 32 bits */
bool number64(struct grammar *g, uint64_t *n); /* 63 bits */
bool nz_number(struct grammar *g, uint64_t *n);
bool mod_sequence(struct grammar *g); /* RFC 7162 §7: not zero, 63 bits */
/* Ranges of numbers without "*"; how many they name. */
bool uid_set(struct grammar *g, uint64_t *count);
bool atom(struct grammar *g, struct str *s);
bool string(struct grammar *g, struct buf *octets); /* octets may be NULL: quoted or literal */
bool nstring(struct grammar *g, struct buf *octets, bool *nil);
bool literal8(struct grammar *g, struct buf *octets); /* RFC 3516; octets may be NULL */
bool astring(struct grammar *g, struct buf *octets);
bool quoted(struct grammar *g, struct buf *octets);
bool mailbox(struct grammar *g);
bool capability_data(struct grammar *g);
/* "(" [flag *(SP flag)] ")"; `extra` is one more flag that may stand there: \Recent or \*. */
bool flag_list(struct grammar *g, const char *extra);

/* grammar_acl.c: behind "* QUOTA" and so on */
bool quota_data(struct grammar *g);
bool quotaroot_data(struct grammar *g);
bool acl_data(struct grammar *g);
bool myrights_data(struct grammar *g);
bool listrights_data(struct grammar *g);
/* grammar_code.c: [ code ] SP text */
bool resp_text(struct grammar *g);
/* grammar_fetch.c: "(" objectid ")" */
bool object_id(struct grammar *g);
bool urlfetch_data(struct grammar *g);
/* behind "* n FETCH " */
bool msg_att(struct grammar *g);

#endif
