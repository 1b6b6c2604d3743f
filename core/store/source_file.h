/* source_file.h: the source over a driver's answer. See source_file.c. */
#ifndef MORTISE_STORE_SOURCE_FILE_H
#define MORTISE_STORE_SOURCE_FILE_H

#include "store/mailbox_int.h"

/* octets: the wire size when it is known, else MORTISE_SIZE_UNKNOWN. Lives on its own; a closed mailbox turns
 * it into one that answers EXPUNGED. */
int source_file(
    struct mailbox *m, const struct mortise_ref *ref, uint64_t octets, struct source **out, struct err *e);
/* All of it will be looked at: large windows from the beginning. */
void source_file_whole(struct source *s);

#endif
