/*
 * unauthenticate.c: UNAUTHENTICATE (RFC 8437).
 *
 * The session ends, and with it all that was of the user; the front, which has kept the connection and its
 * TLS, hears of that from the spawner and goes back to where nobody is logged in (proc/front_proxy.c). So it
 * is offered under TLS only: a socket that a process of the user had in its hands could be read by another
 * one when the next user logs in.
 *
 * What a client sends behind the command without waiting would have to come back from here, and the front
 * takes no word of a session for a client's: such a connection is ended with BYE (§3 allows that).
 */
#include "imap/session_int.h"
#include "base/banned.h"

void command_unauthenticate(struct session *s, struct parse *p UNUSED)
{
	if (!s->setup->unauthenticate) {
		reply_bad(s, "UNAUTHENTICATE is for connections under TLS");
		return;
	}
	if (!stream_end_input(s->stream)) {
		session_bye(s, 0, "UNAUTHENTICATE may not be followed by commands before its answer");
		return;
	}
	reply_ok(s, NULL, "Nobody is logged in now");
	session_end(s, IMAP_UNAUTHENTICATED);
}
