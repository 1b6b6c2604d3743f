/* notify.h: telling systemd how we are (sd_notify(3)'s protocol: one datagram of NAME=VALUE lines). */
#ifndef MORTISE_PROC_NOTIFY_H
#define MORTISE_PROC_NOTIFY_H

/* Takes NOTIFY_SOCKET from the environment; without it, the others do nothing. */
void notify_start(void);
void notify_send(const char *state); /* "READY=1" */
void notify_reloading(void);         /* RELOADING=1 with the time systemd wants beside it */

#endif
