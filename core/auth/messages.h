/* clang-format off */
/*
 * messages.h: what front, auth and spawner say to each other (base/pack.h encoding, SOCK_SEQPACKET). A field
 * "absent" is a string of none (p == NULL), which is not the empty string. A peer that sends anything else than
 * this is disconnected.
 *
 * front -> auth (ids are the front's own, unique among its open conversations)
 *   AUTH_START     u64 id, str mechanism, str initial (absent: none), str service, str remote, str local, u32 tls,
 *                  str tls-exporter (absent: none), str tls-server-end-point (absent: none; AUTH_BINDING_MAX)
 *                  Mechanism "" with initial "user NUL password" is LOGIN (RFC 3501 section 6.2.3).
 *   AUTH_STEP      u64 id, str response (to a challenge; for an id that has ended meanwhile it is ignored)
 *   AUTH_CANCEL    u64 id (no answer)
 * auth -> front
 *   AUTH_CHALLENGE u64 id, str octets
 *   AUTH_OK        u64 id, str grant (AUTH_GRANT_SIZE octets), str user, str server-last data (absent: none)
 *   AUTH_NO        u64 id, u32 result: MORTISE_AUTH_MISMATCH (also for UNKNOWN and DISABLED), EXPIRED or TEMP
 *   AUTH_BAD       u64 id, str text
 *   AUTH_OFFER     str mechanisms under TLS, str mechanisms in clear (once at connect)
 *
 * auth -> spawner
 *   GRANT          str grant, u64 expires (monotonic ms), str user, u32 uid, u32 gid, u32 n, n x u32 group,
 *                  str home, str service, str remote, u32 m, m x str option
 *                  Sent before AUTH_OK, so it is there when the front presents it. Single use.
 *
 * front -> spawner
 *   SPAWN          u64 id, str grant, str service, str remote, str local, u32 tls, str input (octets already
 *                  read), str tag (of the command that logged in), str ok_text; one descriptor: the plaintext
 *                  connection. The session itself answers the login command, so OK means that the mail is there.
 * spawner -> front
 *   SPAWNED        u64 id, u32 ok, u32 reason (MORTISE_E_...)
 *   ENDED          u64 id, u32 unauthenticated (the session process is gone; 1: its client said UNAUTHENTICATE)
 */
/* clang-format on */
#ifndef MORTISE_AUTH_MESSAGES_H
#define MORTISE_AUTH_MESSAGES_H

#define AUTH_GRANT_SIZE 32u
#define AUTH_BINDING_MAX 64u /* octets of a channel binding */

enum auth_message {
	AUTH_START = 0x101,
	AUTH_STEP = 0x102,
	AUTH_CANCEL = 0x103,
	AUTH_CHALLENGE = 0x111,
	AUTH_OK = 0x112,
	AUTH_NO = 0x113,
	AUTH_BAD = 0x114,
	AUTH_OFFER = 0x115,
	GRANT = 0x121,
	SPAWN = 0x131,
	SPAWNED = 0x141,
	ENDED = 0x142
};

#endif
