/*
 * url_keys.h: what authorises URLs to a user's mail (RFC 4467 §2.2).
 *
 * The account has a secret of 32 random octets, a mailbox one of its own once RESETKEY has named it. Both,
 * and the mailbox's number in the index, go into the signature of a URL. So all URLs of the account, or all
 * of one mailbox, are worth nothing when the secret is a new one, and those of a mailbox that was deleted
 * when another one gets its name. They are attributes in index.state, durable, and never leave the store.
 */
#ifndef MORTISE_STORE_URL_KEYS_H
#define MORTISE_STORE_URL_KEYS_H

#include "base/digest.h"
#include "store/store.h"

/*
 * Signs a text that names something in this mailbox. 1, or 0: nothing was ever signed, and `make` is false;
 * or a code. UNAVAILABLE: there is nowhere to keep a key.
 */
int store_url_sign(struct store *s, const char *mailbox, struct str text, bool make,
    unsigned char out[DIGEST_OCTETS], struct err *e);
/* New secrets: of this mailbox, or (NULL) of the account. */
int store_url_reset(struct store *s, const char *mailbox, struct err *e);

#endif
