#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/secure.h"
#include "net/tls.h"
#include "net/self_signed.h"
#include "base/banned.h"

#define YEAR_SECONDS (365L * 24 * 3600)

static bool add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *x;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = x != NULL && X509_add_ext(cert, x, -1) == 1;
	X509_EXTENSION_free(x);
	return ok;
}

/* A host name as it may stand in a certificate; others would need quoting in the extension's text. */
static bool plain_name(const char *name)
{
	struct str s = str_of(name);
	size_t i;

	for (i = 0; i < s.n; i++)
		if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-' && s.p[i] != '.')
			return false;
	return s.n > 0 && s.n <= 64;
}

static bool fill(X509 *cert, EVP_PKEY *key, const char *host)
{
	AUTO_BUF struct buf names = BUF_INIT;
	X509_NAME *name = X509_get_subject_name(cert);
	uint32_t serial = 1 + secure_random_below(INT32_MAX);

	buf_printf(&names, "DNS:%s,DNS:localhost,IP:127.0.0.1,IP:::1", host);
	return X509_set_version(cert, 2) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
	       X509_gmtime_adj(X509_getm_notAfter(cert), YEAR_SECONDS) != NULL &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)host, -1, -1, 0) ==
	           1 &&
	       X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
	       add_extension(cert, NID_subject_alt_name, buf_cstr(&names)) &&
	       add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(cert, NID_ext_key_usage, "serverAuth") && X509_sign(cert, key, EVP_sha256()) > 0;
}

static bool write_pem(X509 *cert, EVP_PKEY *key, struct buf *pem)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	bool ok = bio != NULL && PEM_write_bio_X509(bio, cert) == 1 &&
	          PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
	char *data;
	long n = ok ? BIO_get_mem_data(bio, &data) : 0;

	if (n > 0)
		buf_add(pem, data, (size_t)n);
	BIO_free(bio);
	return n > 0;
}

int tls_self_signed(struct buf *pem, struct err *e)
{
	char host[256] = "";
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	if (gethostname(host, sizeof(host) - 1) != 0 || !plain_name(host))
		memcpy(host, "localhost", sizeof("localhost"));
	if (key == NULL || cert == NULL || !fill(cert, key, host) || !write_pem(cert, key, pem))
		err_fault(e, MORTISE_E_INTERNAL, "cannot make a certificate: %s", tls_reason());
	X509_free(cert);
	EVP_PKEY_free(key);
	return e->code;
}
