/*
 * throttle.h: making guessing slow without locking anybody out.
 *
 * Failures are counted for the client's address (an IPv6 network of 64 bits counts as one) and for the user
 * name. Beyond a few free ones each failure doubles the slow-down, up to a maximum; counts halve with time.
 * There is no state in which a right password is refused: the answer only comes later. And a user is not
 * slowed down by other people's guesses when the attempt comes from an address at which that user has
 * logged in before, so an attacker cannot even make the owner wait.
 *
 * The table has a fixed number of places, eight to a bucket; the bucket is chosen by a hash with a random
 * key. A full bucket forgets its least important entry: whoever floods the table with names makes it forget
 * single failures, not the accounts under attack.
 */
#ifndef MORTISE_AUTH_THROTTLE_H
#define MORTISE_AUTH_THROTTLE_H

#include "auth/auth.h"

struct throttle;
struct throttle *throttle_new(const struct auth_options *o);
void throttle_free(struct throttle **tp);
void throttle_failed(struct throttle *t, const char *address, const char *user);
void throttle_succeeded(struct throttle *t, const char *address, const char *user);
/* Milliseconds an attempt from this address waits before it is looked at. */
uint64_t throttle_address(struct throttle *t, const char *address);
/* Milliseconds the answer to an attempt for this user takes at least. */
uint64_t throttle_user(struct throttle *t, const char *address, const char *user);

#endif
