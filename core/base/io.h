/*
 * io.h: whole reads and writes, descriptors that close themselves, descriptors sent to another process.
 * Every function retries EINTR and returns -1 with errno set.
 */
#ifndef MORTISE_BASE_IO_H
#define MORTISE_BASE_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/object.h"

int io_write(int fd, const void *p, size_t n);                   /* 0 when all n were written */
int io_pwrite(int fd, const void *p, size_t n, uint64_t offset); /* 0 when all n were written */
ssize_t io_read(int fd, void *p, size_t n);                      /* until n or end of file; octets read */
ssize_t io_pread(int fd, void *p, size_t n, uint64_t offset);    /* until n or end of file; octets read */
int io_fsync(int fd);
int io_sync_all(const int *fds, size_t n, bool data_only); /* all of them, in about the time of one */
int io_cloexec(int fd, int on);
int io_nonblock(int fd, int on);
/* Waits for events (POLLIN…) until deadline (clock_ms; 0: for ever). 1 ready, 0 deadline, -1 error. */
int io_wait(int fd, short events, uint64_t deadline);
/* A sealed, read-only memory file holding n octets; -1 on error. */
int io_memfd(const char *name, const void *p, size_t n);

/* One datagram on a SOCK_SEQPACKET socket, with up to IO_MAX_FDS descriptors. Never raises SIGPIPE. */
#define IO_MAX_FDS 4
int io_send(int sock, const void *p, size_t n, const int *fds, size_t nfds); /* 0 or -1 */
/*
 * Receives one datagram. *nfds is in: room in fds, out: how many came. Descriptors beyond that and every
 * descriptor of a truncated datagram are closed; a truncated datagram gives -1 with EMSGSIZE. Received
 * descriptors are close-on-exec. 0 means the peer is gone.
 */
ssize_t io_recv(int sock, void *p, size_t n, int *fds, size_t *nfds);

void io_close(int *fd); /* closes unless -1, sets -1 */
#define AUTO_CLOSE __attribute__((cleanup(io_close)))

#endif
