/*
 * references.h: message ids in a header field (RFC 5322 §3.6.4), in the normal form of RFC 5256 §3.
 *
 * <"01KF8JCEOCBS0045PS"@xxx.yyy.com> and <01KF8JCEOCBS0045PS@xxx.yyy.com> are the same id: quoting, white
 * space and comments go. Otherwise octets are kept as they are; ids are compared with regard to case. An id
 * has something on both sides of an "@"; what else stands between angle brackets is none, and text outside of
 * them is passed over.
 */
#ifndef MORTISE_SEARCH_REFERENCES_H
#define MORTISE_SEARCH_REFERENCES_H

#include "base/buf.h"
#include "base/str.h"

/*
 * Appends the next id of *value to `out`, without its brackets. False: there is none. Never NUL, never empty.
 */
bool message_id_next(struct str *value, struct buf *out);

#endif
