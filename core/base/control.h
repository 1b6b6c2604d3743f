/*
 * control.h: what the master and a role say to each other (base/pack.h encoding, SOCK_SEQPACKET).
 *
 * A role is started with fixed descriptors and nothing else: no names, no files to open, no environment. What
 * it is to work with (sockets to the other roles, listeners, the certificate) comes through the control
 * socket, one message each, before GO, and again whenever the other side of something was replaced. The same
 * message therefore serves the start, the restart of a neighbour and the reload.
 *
 *   master → role
 *     CONTROL_PEER      u32 role, u32 id; 1 descriptor. A socket to a process of that role. For auth and
 * spawner (one each in a generation) it replaces the one before; front ids are never used twice.
 *     CONTROL_LISTENER  str service, u32 tls, str address; 1 descriptor. To fronts only.
 *     CONTROL_FILE      str name; 1 descriptor (sealed memory file). To fronts: "tls"; to spawners: "table".
 *     CONTROL_GO        begin to serve
 *     CONTROL_DRAIN     take nothing new, end when the last work is done (reload)
 *     CONTROL_STOP      u64 grace in ms: end the work, then end (shutdown)
 *   role → master
 *     CONTROL_READY     once, when it serves
 *
 * End of file on the control socket means that the master is gone: a role then drains. The master believes
 * nothing else a role says; anything but READY costs the role its life.
 */
#ifndef MORTISE_BASE_CONTROL_H
#define MORTISE_BASE_CONTROL_H

enum role {
	ROLE_MASTER = 1,
	ROLE_LOG = 2,
	ROLE_AUTH = 3,
	ROLE_SPAWNER = 4,
	ROLE_FRONT = 5,
	ROLE_SESSION = 6
};

enum control_message {
	CONTROL_PEER = 0x201,
	CONTROL_LISTENER = 0x202,
	CONTROL_FILE = 0x203,
	CONTROL_GO = 0x204,
	CONTROL_DRAIN = 0x205,
	CONTROL_STOP = 0x206,
	CONTROL_READY = 0x211
};

/* Descriptors every role finds open; 0 and 1 are /dev/null, 2 is a pipe to the log role. */
#define ROLE_FD_CONTROL 3
#define ROLE_FD_LOG 4  /* the log role: its receiving end */
#define ROLE_FD_CONF 5 /* conf_unseal */
#define ROLE_FD_TEXT 6 /* log role only: what the others write to their stderr */

#endif
