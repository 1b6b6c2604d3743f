#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "log/log.h"
#include "net/self_signed.h"
#include "net/tls.h"
#include "base/banned.h"

#define TLS_EXPORTER_OCTETS 32 /* RFC 9266 §2 */

#define TLS_FILE_MAX (1024u * 1024u)

static const struct mortise_enum versions[] = {{"1.2", TLS1_2_VERSION}, {"1.3", TLS1_3_VERSION}, {NULL, 0}};

static const struct mortise_option tls_option_table[] = {
    MORTISE_OPTION(struct tls_options, certificate, PATH, "",
        .help = "PEM file with the certificate and the chain that leads to it; empty: see self_signed"),
    MORTISE_OPTION(struct tls_options, key, PATH, "",
        .help = "PEM file with the certificate's private key; empty: it stands in the certificate's file",
        .detail = "The file must not be readable by others."),
    MORTISE_OPTION(struct tls_options, self_signed, BOOL, "yes",
        .help = "without a certificate, make one at every start; else no TLS is offered then",
        .detail =
            "It is for this host's name and is kept in memory only. Clients cannot know that it is the right "
            "one and ask their users. Get a real certificate for more than a first look."),
    MORTISE_OPTION(
        struct tls_options, minimum, ENUM, "1.2", .values = versions, .help = "oldest TLS version spoken"),
    MORTISE_OPTION(struct tls_options, ciphers, STRING, "ECDHE+AESGCM:ECDHE+CHACHA20",
        .help = "cipher list for TLS 1.2, in OpenSSL's notation"),
    MORTISE_OPTION(struct tls_options, ciphersuites, STRING, "",
        .help = "cipher suites for TLS 1.3; empty: OpenSSL's own order"),
    MORTISE_OPTION(
        struct tls_options, groups, STRING, "", .help = "key exchange groups; empty: OpenSSL's own list"),
    MORTISE_OPTION(struct tls_options, record_size, SIZE, "16k", .min = "512", .max = "16k", .since = "0.1",
        .help = "most octets that are sent in one TLS record",
        .detail = "8k is for old clients on Windows, whose TLS (SChannel) did not take whole ones."),
};

const struct conf_group tls_conf_group = {
    .name = "tls",
    .options = tls_option_table,
    .count = ARRAY_LEN(tls_option_table),
    .size = sizeof(struct tls_options),
    .summary = "certificate and versions of TLS",
};

const char *tls_reason(void)
{
	unsigned long code = ERR_get_error();
	const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return text != NULL ? text : "unknown reason";
}

/* Appends a file to out. A secret one must not be open to everybody. */
static int read_pem(const char *path, bool secret, struct buf *out, struct err *e)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	ssize_t got;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_errno(e, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_size > TLS_FILE_MAX)
		return err_fault(e, MORTISE_E_INVALID, "%s: not a regular file of at most 1 MiB", path);
	if (secret && (st.st_mode & 07) != 0)
		return err_fault(e, MORTISE_E_PERM,
		    "%s: holds a private key and is open to others (mode %04o)", path,
		    (unsigned)st.st_mode & 07777);
	buf_reserve(out, (size_t)st.st_size + 1);
	got = io_read(fd, out->p + out->n, (size_t)st.st_size);
	if (got < 0)
		return err_errno(e, "%s", path);
	out->n += (size_t)got;
	out->p[out->n] = '\0';
	buf_addc(out, '\n');
	return 0;
}

static int no_passphrase(char *buf UNUSED, int size UNUSED, int writing UNUSED, void *arg UNUSED)
{
	return -1;
}

/* The chain and the key in `pem` go into ctx. */
static int use_pem(SSL_CTX *ctx, struct str pem, const char *where, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
	EVP_PKEY *key = NULL;
	X509 *chain;

	if (cert == NULL || SSL_CTX_use_certificate(ctx, cert) != 1)
		err_fault(e, MORTISE_E_INVALID, "%s: no usable certificate: %s", where, tls_reason());
	while (e->code == 0 && (chain = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL)
		if (SSL_CTX_add0_chain_cert(ctx, chain) != 1) {
			X509_free(chain);
			err_fault(e, MORTISE_E_INVALID, "%s: bad chain: %s", where, tls_reason());
		}
	ERR_clear_error();
	BIO_free(bio);
	X509_free(cert);
	if (e->code != 0)
		return e->code;
	bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	if (key == NULL)
		err_fault(e, MORTISE_E_INVALID,
		    "%s: no usable private key (it may not have a passphrase): %s", where, tls_reason());
	else if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		err_fault(e, MORTISE_E_INVALID, "%s: key and certificate do not belong together: %s", where,
		    tls_reason());
	EVP_PKEY_free(key);
	return e->code;
}

/* The client's ALPN list must hold our protocol; a client without ALPN does not come here. */
static int choose_protocol(SSL *ssl UNUSED, const unsigned char **out, unsigned char *out_size,
    const unsigned char *in, unsigned in_size, void *arg)
{
	struct str want = str_of(arg);
	unsigned i = 0;

	while (i < in_size && i + 1 + in[i] <= in_size) {
		if (str_eq(str_mem(in + i + 1, in[i]), want)) {
			*out = in + i + 1;
			*out_size = in[i];
			return SSL_TLSEXT_ERR_OK;
		}
		i += 1u + in[i];
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int set_rules(SSL_CTX *ctx, const struct tls_options *o, const char *protocol, struct err *e)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
	                             SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_security_level(ctx, 2);
	if (SSL_CTX_set_num_tickets(ctx, 0) != 1 || SSL_CTX_set_min_proto_version(ctx, o->minimum) != 1)
		return err_fault(e, MORTISE_E_INTERNAL, "TLS set-up: %s", tls_reason());
	if (SSL_CTX_set_cipher_list(ctx, o->ciphers) != 1)
		return err_fault(e, MORTISE_E_INVALID, "tls.ciphers: %s", tls_reason());
	if (o->ciphersuites != NULL && *o->ciphersuites != '\0' &&
	    SSL_CTX_set_ciphersuites(ctx, o->ciphersuites) != 1)
		return err_fault(e, MORTISE_E_INVALID, "tls.ciphersuites: %s", tls_reason());
	if (o->groups != NULL && *o->groups != '\0' && SSL_CTX_set1_groups_list(ctx, o->groups) != 1)
		return err_fault(e, MORTISE_E_INVALID, "tls.groups: %s", tls_reason());
	if (SSL_CTX_set_max_send_fragment(ctx, (long)o->record_size) != 1)
		return err_fault(e, MORTISE_E_INVALID, "tls.record_size: %s", tls_reason());
	if (protocol != NULL)
		SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, (void *)(uintptr_t)protocol);
	return 0;
}

static int build_context(const struct tls_options *o, struct str pem, const char *where, const char *protocol,
    SSL_CTX **out, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	ERR_clear_error();
	if (ctx == NULL)
		return err_fault(e, MORTISE_E_INTERNAL, "SSL_CTX_new: %s", tls_reason());
	if (set_rules(ctx, o, protocol, e) != 0 || use_pem(ctx, pem, where, e) != 0) {
		SSL_CTX_free(ctx);
		return e->code;
	}
	*out = ctx;
	return 0;
}

int tls_seal(const struct tls_options *o, int *fd, struct err *e)
{
	bool none = o->certificate == NULL || *o->certificate == '\0';
	struct buf pem = BUF_INIT;
	SSL_CTX *ctx = NULL;

	*fd = -1;
	if (none && !o->self_signed)
		return 0;
	if (none) {
		log_msg(MSG_TLS_SELF_SIGNED, "tls.certificate is not set: using one made for this run");
		tls_self_signed(&pem, e);
	} else if (o->key != NULL && *o->key != '\0') {
		if (read_pem(o->certificate, false, &pem, e) == 0)
			read_pem(o->key, true, &pem, e);
	} else {
		read_pem(o->certificate, true, &pem, e);
	}
	if (e->code == 0 &&
	    build_context(o, buf_str(&pem), none ? "self-signed" : o->certificate, NULL, &ctx, e) == 0) {
		SSL_CTX_free(ctx);
		*fd = io_memfd("mortise-tls", pem.p, pem.n);
		if (*fd < 0)
			err_errno(e, "memory file for the certificate");
	}
	buf_wipe(&pem);
	return e->code;
}

int tls_context(const struct tls_options *o, int fd, const char *protocol, SSL_CTX **out, struct err *e)
{
	struct buf pem = BUF_INIT;
	struct stat st;
	ssize_t got;

	if (fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > 3 * (off_t)TLS_FILE_MAX)
		return err_fault(e, MORTISE_E_INTERNAL, "the certificate's memory file is not usable");
	buf_reserve(&pem, (size_t)st.st_size);
	got = io_pread(fd, pem.p, (size_t)st.st_size, 0);
	if (got < 0)
		err_errno(e, "the certificate's memory file");
	else
		pem.n = (size_t)got;
	if (e->code == 0)
		build_context(o, buf_str(&pem), "tls.certificate", protocol, out, e);
	buf_wipe(&pem);
	return e->code;
}

size_t tls_exporter(const SSL *ssl, unsigned char out[TLS_BINDING_MAX])
{
	static const char label[] = "EXPORTER-Channel-Binding";
	SSL *s = (SSL *)ssl; /* OpenSSL 3.0 has no const here; nothing is changed */

	if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(s) != 1)
		return 0;
	return SSL_export_keying_material(
	           s, out, TLS_EXPORTER_OCTETS, label, sizeof(label) - 1, NULL, 0, 0) == 1
	           ? TLS_EXPORTER_OCTETS
	           : 0;
}

size_t tls_endpoint(const SSL *ssl, unsigned char out[TLS_BINDING_MAX])
{
	const X509 *certificate = SSL_get_certificate(ssl);
	int kind = NID_undef;
	const EVP_MD *md;
	unsigned n = 0;

	if (certificate == NULL || X509_get_signature_info((X509 *)certificate, &kind, NULL, NULL, NULL) != 1)
		return 0;
	/* The signature's own hash, but nothing weaker than SHA-256; Ed25519 and its like have none. */
	md = kind == NID_md5 || kind == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(kind);
	if (md == NULL || X509_digest(certificate, md, out, &n) != 1)
		return 0;
	return n;
}
