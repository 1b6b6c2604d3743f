/*
 * list.h: LIST in two forms.
 *
 * The old one (RFC 3501 §6.3.8) tells entries as the store finds them. The extended one (RFC 5258, RFC 5819,
 * RFC 6154, RFC 8440, RFC 9590) first gathers all names that may matter, existing ones and subscribed ones,
 * each once; then it is known which are selected and which have others below them that are (RECURSIVEMATCH).
 */
#ifndef MORTISE_IMAP_LIST_H
#define MORTISE_IMAP_LIST_H

#include "imap/session_int.h"
#include "imap/status.h"
#include "store/special_use.h"

/* Selection and return options. */
#define LIST_OPTION_SUBSCRIBED 0x01u
#define LIST_OPTION_SPECIAL_USE 0x02u
#define LIST_OPTION_RECURSIVEMATCH 0x04u
#define LIST_OPTION_REMOTE 0x08u /* there are no remote mailboxes */
#define LIST_OPTION_CHILDREN 0x10u
#define LIST_OPTION_STATUS 0x20u
#define LIST_OPTION_MYRIGHTS 0x40u
#define LIST_OPTION_METADATA 0x80u

struct list_request {
	bool extended;
	unsigned select, wanted; /* what a selection option implies is wanted, too */
	const char *reference;
	const char **patterns;
	size_t pattern_count;
	struct status_request status;
	struct str *metadata; /* entries */
	size_t metadata_count;
};

/* SP arguments to the end of the command. False: the parse has the error. */
bool list_parse(struct session *s, struct parse *p, struct list_request *out);

struct list_line {
	const char *word; /* "LIST" or "LSUB" */
	bool extended;    /* \NonExistent and \Subscribed may be said */
	struct list_entry entry;
	unsigned uses;       /* SPECIAL_USE_… */
	unsigned childinfo;  /* selection options; 0: no CHILDINFO */
	const char *oldname; /* another spelling that was meant (RFC 9051 §6.3.9.7), the name before (RFC 5465
	                        §5.4), or NULL */
	bool no_access;      /* it may be listed, not read (RFC 5465 §3.1) */
};
void list_write(const struct session *s, struct buf *out, const struct list_line *l);

/* ---- metadata.c, for RETURN (METADATA (entries)) (RFC 9590) ---- */
/* "(" entries ")" */
bool metadata_parse_entries(struct session *s, struct parse *p, struct list_request *out);
/* "* METADATA mailbox (…)"; NIL for what is not there. 0, or a code and nothing was written. */
int metadata_write(struct session *s, const char *mailbox, const struct list_request *r, struct err *e);

int list_extended(struct session *s, const struct list_request *r, struct err *e);

#endif
