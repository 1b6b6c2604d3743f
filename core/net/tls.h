/*
 * tls.h: the server side of TLS.
 *
 * The master reads the certificate chain and the key (the key file may not be readable by everybody), checks
 * that they belong together, and hands them to the fronts in a sealed memory file; no front ever opens a
 * file. One certificate serves every name a client asks for (SNI is accepted and not needed): a mail server
 * has one name.
 *
 * What is spoken: TLS 1.2 with ephemeral keys and AEAD suites, and TLS 1.3. What is not: older versions,
 * compression, renegotiation, early data, tickets and cached sessions (nothing of one connection is of any
 * use to another). ALPN is optional; a client that sends it must offer this protocol (RFC 7301, RFC 8314).
 */
#ifndef MORTISE_NET_TLS_H
#define MORTISE_NET_TLS_H

#include <openssl/ssl.h>

#include "base/err.h"
#include "conf/conf.h"

/* conf group "tls". */
struct tls_options {
	const char *certificate; /* PEM chain; "" none: self_signed, or no TLS is offered */
	const char *key;         /* PEM; "": in the certificate's file */
	bool self_signed;
	int minimum;         /* TLS1_2_VERSION or TLS1_3_VERSION */
	const char *ciphers; /* of TLS 1.2, OpenSSL's notation */
	const char *ciphersuites;
	const char *groups;
	uint64_t record_size; /* octets of what is sent in one record */
};
extern const struct conf_group tls_conf_group;

/* Reads and checks certificate and key; *fd is a sealed memory file, or -1 when none is configured. */
int tls_seal(const struct tls_options *o, int *fd, struct err *e);
/* A context for one protocol ("imap") from what tls_seal made. The descriptor stays the caller's. */
int tls_context(const struct tls_options *o, int fd, const char *protocol, SSL_CTX **out, struct err *e);

#define TLS_BINDING_MAX 64u /* octets of a channel binding */
/*
 * Channel bindings of an established connection, for SASL: how many octets are in `out`, 0 when there is
 * none. tls-exporter (RFC 9266) wants TLS 1.3 or the extended master secret; tls-server-end-point (RFC 5929
 * §4) is the digest of our certificate. tls-unique is not for TLS 1.3 and not safe before (attack-057).
 */
size_t tls_exporter(const SSL *ssl, unsigned char out[TLS_BINDING_MAX]);
size_t tls_endpoint(const SSL *ssl, unsigned char out[TLS_BINDING_MAX]);

/* The first error in OpenSSL's queue as text (which is emptied), for the administrator. */
const char *tls_reason(void);

#endif
