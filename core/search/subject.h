/*
 * subject.h: the base subject (RFC 5256 §2.1).
 *
 * What SORT and THREAD compare of a Subject: without "Re:", "Fwd:", "[list]" and "(fwd)". RFC 5256 gives the
 * procedure step by step and wants exactly that. It is written here so that every octet is looked at a
 * bounded number of times, however many blobs and brackets a sender has put in a row.
 */
#ifndef MORTISE_SEARCH_SUBJECT_H
#define MORTISE_SEARCH_SUBJECT_H

#include "base/buf.h"
#include "base/str.h"

/*
 * Appends the base subject of a decoded Subject. True: what was taken away makes it a reply or a forward
 * (RFC 5256 §3, REFERENCES).
 */
bool base_subject(struct buf *out, struct str decoded);

#endif
