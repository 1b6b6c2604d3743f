/*
 * self_signed.h: the certificate of a server that has none.
 *
 * Without a certificate there is no TLS, without TLS no password is taken, and a server without a
 * configuration would serve nobody. So the master makes a certificate for this host's name, new at every
 * start and kept in memory only. Clients will ask their users whether they trust it; the log says so, and
 * what to do instead.
 */
#ifndef MORTISE_NET_SELF_SIGNED_H
#define MORTISE_NET_SELF_SIGNED_H

#include "base/buf.h"
#include "base/err.h"

/* Appends certificate and key (P-256, valid for a year) as PEM; 0 or a code. */
int tls_self_signed(struct buf *pem, struct err *e);

#endif
