/*
 * spool.h: a message that has to be seen whole before it can be handed on.
 *
 * Its octets come in order, then they are read as a source. They lie in a file without a name in the state
 * directory (in memory where there is none): nothing stays behind, whatever happens.
 */
#ifndef MORTISE_STORE_SPOOL_H
#define MORTISE_STORE_SPOOL_H

#include "mime/source.h"
#include "store/store.h"

struct spool;
int spool_open(struct store *s, struct spool **out, struct err *e);
int spool_add(struct spool *p, struct str octets, struct err *e);
/* What has been added so far. The spool must outlive it. */
int spool_source(struct spool *p, struct source **out, struct err *e);
void spool_close(struct spool **pp);

#endif
