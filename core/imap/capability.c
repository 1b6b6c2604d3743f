#include "imap/capability.h"
#include "base/str.h"
#include "base/banned.h"

#define BEFORE 1u /* login */
#define AFTER 2u

static const struct {
	const char *name;
	unsigned when;
} capabilities[] = {
    {"IMAP4rev1", BEFORE | AFTER},    /* RFC 3501 */
    {"IMAP4rev2", BEFORE | AFTER},    /* RFC 9051 */
    {"SASL-IR", BEFORE},              /* RFC 4959 */
    {"ID", BEFORE | AFTER},           /* RFC 2971 */
    {"ENABLE", BEFORE | AFTER},       /* RFC 5161 */
    {"IDLE", AFTER},                  /* RFC 2177 */
    {"NAMESPACE", AFTER},             /* RFC 2342 */
    {"CHILDREN", AFTER},              /* RFC 3348 */
    {"UIDPLUS", AFTER},               /* RFC 4315 */
    {"MULTIAPPEND", AFTER},           /* RFC 3502 */
    {"UNSELECT", AFTER},              /* RFC 3691 */
    {"BINARY", AFTER},                /* RFC 3516 */
    {"UTF8=ACCEPT", AFTER},           /* RFC 6855 */
    {"CATENATE", AFTER},              /* RFC 4469 */
    {"REPLACE", AFTER},               /* RFC 8508 */
    {"URLAUTH", AFTER},               /* RFC 4467 */
    {"URLAUTH=BINARY", AFTER},        /* RFC 5524 */
    {"URL-PARTIAL", AFTER},           /* RFC 5550 */
    {"WITHIN", AFTER},                /* RFC 5032 */
    {"PARTIAL", AFTER},               /* RFC 9394 */
    {"UIDONLY", AFTER},               /* RFC 9586 */
    {"UIDBATCHES", AFTER},            /* draft-ietf-mailmaint-imap-uidbatches */
    {"CREATE-SPECIAL-USE", AFTER},    /* RFC 6154 */
    {"METADATA", AFTER},              /* RFC 5464 */
    {"METADATA-SERVER", AFTER},       /* RFC 5464 */
    {"COMPRESS=DEFLATE", AFTER},      /* RFC 4978 */
    {"NOTIFY", AFTER},                /* RFC 5465 */
    {"OBJECTID", AFTER},              /* RFC 8474 */
    {"PREVIEW", AFTER},               /* RFC 8970 */
    {"SAVEDATE", AFTER},              /* RFC 8514 */
    {"STATUS=SIZE", AFTER},           /* RFC 8438 */
    {"LIST-EXTENDED", AFTER},         /* RFC 5258 */
    {"LIST-STATUS", AFTER},           /* RFC 5819 */
    {"SPECIAL-USE", AFTER},           /* RFC 6154 */
    {"ESEARCH", AFTER},               /* RFC 4731 */
    {"SEARCHRES", AFTER},             /* RFC 5182 */
    {"ESORT", AFTER},                 /* RFC 5267 */
    {"CONTEXT=SEARCH", AFTER},        /* RFC 5267 */
    {"CONTEXT=SORT", AFTER},          /* RFC 5267 */
    {"SCAN", AFTER},                  /* of the UW toolkit */
    {"I18NLEVEL=2", AFTER},           /* RFC 5255 */
    {"INPROGRESS", AFTER},            /* RFC 9585 */
    {"SEARCH=FUZZY", AFTER},          /* RFC 6203 */
    {"MULTISEARCH", AFTER},           /* RFC 7377 */
    {"FILTERS", AFTER},               /* RFC 5466 */
    {"MOVE", AFTER},                  /* RFC 6851 */
    {"CONDSTORE", AFTER},             /* RFC 7162 */
    {"QRESYNC", AFTER},               /* RFC 7162 */
    {"SORT", AFTER},                  /* RFC 5256 */
    {"SORT=DISPLAY", AFTER},          /* RFC 5957 */
    {"THREAD=ORDEREDSUBJECT", AFTER}, /* RFC 5256 */
    {"THREAD=REFERENCES", AFTER},     /* RFC 5256 */
    {"THREAD=REFS", AFTER},           /* draft-ietf-morg-inthread */

    /* RFC 4314, RFC 8440 */
    {"ACL", AFTER},
    {"RIGHTS=texk", AFTER},
    {"LIST-MYRIGHTS", AFTER},

    {"LIST-METADATA", AFTER},     /* RFC 9590 */
    {"MAILBOX-REFERRALS", AFTER}, /* RFC 2193 */

    /* RFC 9208 */
    {"QUOTA", AFTER},
    {"QUOTA=RES-STORAGE", AFTER},
    {"QUOTA=RES-MESSAGE", AFTER},
    {"QUOTA=RES-MAILBOX", AFTER},
    {"QUOTA=RES-ANNOTATION-STORAGE", AFTER},
    {"QUOTASET", AFTER},
};

void capability_write(struct buf *out, const struct capability_facts *f)
{
	unsigned when = f->authenticated ? AFTER : BEFORE;
	struct str rest = str_of(f->mechanisms);
	size_t i;

	for (i = 0; i < ARRAY_LEN(capabilities); i++) {
		if ((capabilities[i].when & when) == 0)
			continue;
		buf_adds(out, i > 0 ? " " : "");
		buf_adds(out, capabilities[i].name);
	}
	buf_adds(out, f->literal_minus ? " LITERAL-" : " LITERAL+"); /* RFC 7888 */
	if (f->append_limit != 0)
		buf_printf(out, " APPENDLIMIT=%llu", (unsigned long long)f->append_limit); /* RFC 7889 */
	if (f->message_limit != 0)                                                         /* RFC 9738 */
		buf_printf(out, " MESSAGELIMIT=%llu", (unsigned long long)f->message_limit);
	else if (f->save_limit != 0)
		buf_printf(out, " SAVELIMIT=%llu", (unsigned long long)f->save_limit);
	if (f->unauthenticate)
		buf_adds(out, " UNAUTHENTICATE"); /* RFC 8437 */
	if (f->jmap)
		buf_adds(out, " JMAPACCESS"); /* RFC 9698 */
	if (f->authenticated)
		return;
	if (f->starttls)
		buf_adds(out, " STARTTLS");
	if (f->login_disabled)
		buf_adds(out, " LOGINDISABLED");
	while (rest.n > 0) {
		struct str mechanism = str_cut(&rest, ' ');

		if (mechanism.n > 0) {
			buf_adds(out, " AUTH=");
			buf_addstr(out, mechanism);
		}
	}
}
