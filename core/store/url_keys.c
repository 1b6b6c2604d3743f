#include "store/url_keys.h"

#include "base/mem.h"
#include "base/secure.h"
#include "store/store_int.h"
#include "base/banned.h"

#define SECRET STR("urlauth")
#define SECRET_OCTETS DIGEST_OCTETS

static int set_secret(struct index *x, uint64_t mailbox, struct err *e)
{
	unsigned char secret[SECRET_OCTETS];
	struct str value = str_mem(secret, sizeof(secret));
	int r;

	if (!index_persistent(x))
		return err_fail(e, MORTISE_E_UNAVAILABLE, "There is nowhere to keep a key");
	secure_random(secret, sizeof(secret));
	r = index_attribute_set(x, mailbox, SECRET, &value, e);
	mem_wipe(secret, sizeof(secret));
	return r;
}

/* The account's. What is read after it was made is what another session may have made meanwhile. */
static int account_secret(struct index *x, bool make, struct buf *out, struct err *e)
{
	int r = index_attribute(x, 0, SECRET, out, e);

	if (r < 0 || (r == 1 && out->n == SECRET_OCTETS))
		return r;
	buf_reset(out);
	if (!make)
		return 0;
	if (set_secret(x, 0, e) != 0)
		return e->code;
	r = index_attribute(x, 0, SECRET, out, e);
	if (r >= 0 && out->n != SECRET_OCTETS)
		return err_fault(e, MORTISE_E_IO, "the key for URLs was not kept");
	return r;
}

int store_url_sign(struct store *s, const char *mailbox, struct str text, bool make,
    unsigned char out[DIGEST_OCTETS], struct err *e)
{
	AUTO_BUF struct buf secret = BUF_INIT, own = BUF_INIT, signed_text = BUF_INIT;
	struct index *x = store_index(s, e);
	uint64_t number;
	int r;

	CHECK_OBJ(s, STORE_MAGIC);
	if (x == NULL || store_mailbox_number(s, mailbox, &number, e) != 0)
		return e->code;
	r = account_secret(x, make, &secret, e);
	if (r != 1)
		return r;
	if (index_attribute(x, number, SECRET, &own, e) < 0)
		return e->code;
	buf_printf(&signed_text, "%llu %zu ", (unsigned long long)number, own.n);
	buf_addstr(&signed_text, buf_str(&own));
	buf_addstr(&signed_text, text);
	digest_hmac((const unsigned char *)secret.p, buf_str(&signed_text), out);
	buf_wipe(&secret);
	buf_wipe(&own);
	buf_wipe(&signed_text);
	return 1;
}

int store_url_reset(struct store *s, const char *mailbox, struct err *e)
{
	struct index *x = store_index(s, e);
	uint64_t number;

	CHECK_OBJ(s, STORE_MAGIC);
	if (x == NULL || store_mailbox_number(s, mailbox, &number, e) != 0)
		return e->code;
	return set_secret(x, number, e);
}
