/*
 * mortise/error.h: the error codes that cross the border between the core and modules.
 *
 * A callback returns 0 (or a positive result its comment names) or one of these negative codes, after having
 * told why through host->fail (the client's doing; text is shown to the client) or host->fault (not the
 * client's doing; text is for the administrator, the client sees only mortise_error_text(code) and a
 * reference number). The first error of a call is the one that is kept.
 *
 * Codes are spaced and only ever added. A code that the reader does not know is treated as INTERNAL.
 * Response codes are those of RFC 5530, RFC 3501 and RFC 9051; POP3 codes those of RFC 2449 and RFC 3206.
 */
#ifndef MORTISE_ERROR_H
#define MORTISE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_E_NOTFOUND (-10)     /* no such mailbox or message */
#define MORTISE_E_EXISTS (-20)       /* the name is taken */
#define MORTISE_E_NOTEMPTY (-25)     /* there are mailboxes below it */
#define MORTISE_E_PERM (-30)         /* not allowed: file modes, read-only, rights */
#define MORTISE_E_QUOTA (-40)        /* quota or disk full */
#define MORTISE_E_INUSE (-50)        /* locked by somebody else until the deadline */
#define MORTISE_E_EXPUNGED (-60)     /* the message went away meanwhile */
#define MORTISE_E_CORRUPT (-70)      /* the mailbox cannot be understood; it was left untouched */
#define MORTISE_E_LIMIT (-80)        /* a configured limit */
#define MORTISE_E_TOOBIG (-90)       /* this message or argument is too large */
#define MORTISE_E_UNSUPPORTED (-100) /* this format or server does not do that */
#define MORTISE_E_INVALID (-110)     /* bad name or argument */
#define MORTISE_E_TEMP (-120)        /* try again later */
#define MORTISE_E_UNAVAILABLE (-130) /* a service this depends on is down */
#define MORTISE_E_CANCELLED (-140)   /* should_stop said so */
#define MORTISE_E_IO (-150)          /* read or write failed; data state unknown beyond what was synced */
#define MORTISE_E_INTERNAL (-160)    /* a bug */

/* What a client may be told about a fault. Static text, never NULL. */
static inline const char *mortise_error_text(int code)
{
	switch (code) {
	case MORTISE_E_NOTFOUND:
		return "No such mailbox";
	case MORTISE_E_EXISTS:
		return "Mailbox already exists";
	case MORTISE_E_NOTEMPTY:
		return "Mailbox has others below it";
	case MORTISE_E_PERM:
		return "Permission denied";
	case MORTISE_E_QUOTA:
		return "No space left for this operation";
	case MORTISE_E_INUSE:
		return "Mailbox is in use";
	case MORTISE_E_EXPUNGED:
		return "Some of the messages no longer exist";
	case MORTISE_E_CORRUPT:
		return "Mailbox is damaged";
	case MORTISE_E_LIMIT:
		return "Limit exceeded";
	case MORTISE_E_TOOBIG:
		return "Too large";
	case MORTISE_E_UNSUPPORTED:
		return "Not supported here";
	case MORTISE_E_INVALID:
		return "Invalid name or argument";
	case MORTISE_E_TEMP:
		return "Temporary failure, try again later";
	case MORTISE_E_UNAVAILABLE:
		return "Service unavailable, try again later";
	case MORTISE_E_CANCELLED:
		return "Operation cancelled";
	case MORTISE_E_IO:
		return "Input/output error";
	default:
		return "Internal error";
	}
}

/* IMAP response code without brackets, or NULL when there is none. */
static inline const char *mortise_error_imap(int code)
{
	switch (code) {
	case MORTISE_E_NOTFOUND:
		return "NONEXISTENT";
	case MORTISE_E_EXISTS:
		return "ALREADYEXISTS";
	case MORTISE_E_NOTEMPTY:
		return "HASCHILDREN";
	case MORTISE_E_PERM:
		return "NOPERM";
	case MORTISE_E_QUOTA:
		return "OVERQUOTA";
	case MORTISE_E_INUSE:
		return "INUSE";
	case MORTISE_E_EXPUNGED:
		return "EXPUNGEISSUED";
	case MORTISE_E_CORRUPT:
		return "CORRUPTION";
	case MORTISE_E_LIMIT:
		return "LIMIT";
	case MORTISE_E_TOOBIG:
		return "TOOBIG";
	case MORTISE_E_UNSUPPORTED:
	case MORTISE_E_INVALID:
		return "CANNOT";
	case MORTISE_E_TEMP:
	case MORTISE_E_UNAVAILABLE:
	case MORTISE_E_CANCELLED:
	case MORTISE_E_IO:
		return "UNAVAILABLE";
	default:
		return "SERVERBUG";
	}
}

/* POP3 response code without brackets. */
static inline const char *mortise_error_pop(int code)
{
	switch (code) {
	case MORTISE_E_INUSE:
		return "IN-USE";
	case MORTISE_E_TEMP:
	case MORTISE_E_UNAVAILABLE:
	case MORTISE_E_CANCELLED:
	case MORTISE_E_QUOTA:
	case MORTISE_E_LIMIT:
		return "SYS/TEMP";
	default:
		return "SYS/PERM";
	}
}

#ifdef __cplusplus
}
#endif
#endif
