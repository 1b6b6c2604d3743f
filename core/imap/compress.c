/*
 * compress.c: COMPRESS (RFC 4978).
 *
 * The session compresses, whoever takes off the TLS: the front carries octets. The OK is the last thing that
 * goes as it is (session.c).
 */
#include "imap/session_int.h"
#include "base/banned.h"

void command_compress(struct session *s, struct parse *p)
{
	struct str mechanism;

	if (!parse_sp(p) || !parse_atom(p, &mechanism) || !parse_end(p)) {
		reply_bad(s, p->error);
	} else if (!str_ieqc(mechanism, "DEFLATE")) {
		reply_bad(s, "Unknown compression mechanism");
	} else if (stream_deflates(s->stream)) {
		reply_no(s, "COMPRESSIONACTIVE", "DEFLATE is active by an earlier COMPRESS");
	} else {
		s->compress = true;
		reply_ok(s, NULL, "DEFLATE is active");
	}
}
