/*
 * faults.h: every call that changes a file, counted, and made to go wrong.
 *
 * A test program is linked with --wrap for the calls in local.mk, so that what the server's code calls comes
 * here first. A run of one operation makes calls 1 … n. The same operation is then repeated with a fault at
 * call 1, 2, … until it ends without meeting one: killed before the call or in the middle of a write, an
 * error in the call's place (from then on when sticky), a write that is cut short.
 *
 * The same calls can be recorded instead: what was written where, what was synced when. From that states are
 * built that a machine without power could leave (crash.c).
 *
 * Everything that a killed process must be able to tell its parent is in one shared mapping.
 */
#ifndef TESTS_STORAGE_FAULTS_H
#define TESTS_STORAGE_FAULTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum fault_kind {
	FAULT_NONE,
	FAULT_KILL,  /* before the call */
	FAULT_TORN,  /* in a write, between two sectors; other calls: before */
	FAULT_ERROR, /* the call fails */
	FAULT_SHORT, /* a write does half */
};

struct fault {
	enum fault_kind kind;
	unsigned at; /* 1 is the first call */
	int error;
	bool sticky; /* every later call too */
};

enum event_kind {
	EVENT_WRITE,
	EVENT_SIZE,
	EVENT_TIMES,
	EVENT_SYNC,
	EVENT_NAME,
	EVENT_UNNAME,
	EVENT_SYNC_DIR
};

struct event {
	enum event_kind kind;
	uint64_t inode; /* of the file, or of the directory */
	uint64_t offset, size;
	size_t data;           /* WRITE: in the log's octets */
	uint64_t named;        /* NAME: inode that got it */
	struct timespec mtime; /* TIMES */
	char name[96];
	bool renamed;   /* UNNAME: by the event before it */
	bool directory; /* NAME: of one that was made */
	bool times;     /* SYNC: not of data only */
};

#define EVENTS_MAX 4096u
#define OCTETS_MAX (48u << 20)

struct shared {
	unsigned calls; /* counted */
	bool met;       /* the fault was met */
	bool acknowledged;
	int code;             /* what the operation said */
	uint32_t uidvalidity; /* that it told, or 0 */
	char text[600];
	bool recording;
	size_t events, octets;
	struct event event[EVENTS_MAX];
	unsigned char octet[OCTETS_MAX];
};
extern struct shared *shared;

void faults_map(void);
/* In the child: from here on. */
void faults_arm(const struct fault *f);
void faults_off(void);

#endif
