/*
 * driver.h: every call from the engine into a driver.
 *
 * The functions here do what each callback needs around it: the call's frame, its deadline and stop test, the
 * error moved into ours. What a driver answers is checked as far as it can be: a positive result where there
 * is none becomes INTERNAL. Those that take a mailbox also count the call (mailbox.calls), because a source
 * handed out earlier is only valid until the next call on its box.
 */
#ifndef MORTISE_STORE_DRIVER_H
#define MORTISE_STORE_DRIVER_H

#include "store/mailbox_int.h"

int driver_recognise(struct store *s, struct instance *i, const struct mortise_probe *p, struct err *e);
int driver_create(struct store *s, struct instance *i, const struct mortise_place *p, struct err *e);
int driver_remove(struct store *s, struct instance *i, const struct mortise_place *p, struct err *e);
int driver_rename(struct store *s, struct instance *i, const struct mortise_place *from,
    const struct mortise_place *to, struct err *e);

int box_open(struct mailbox *m, bool read_only, struct err *e);
void box_close(struct mailbox *m);
int box_sync(struct mailbox *m, struct mortise_cursor *c, const struct mortise_sink *sink, struct err *e);
int box_lock(struct mailbox *m, int mode, uint64_t deadline, struct err *e);
int box_read(struct mailbox *m, const struct mortise_ref *r, struct mortise_source *out, struct err *e);
int box_set_flags(struct mailbox *m, const struct mortise_flag_change *c, size_t n, struct err *e);
int box_expunge(struct mailbox *m, const struct mortise_ref *refs, size_t n, struct err *e);
int box_add_keyword(struct mailbox *m, const char *name, unsigned *bit, struct err *e);
int box_seen_recent(struct mailbox *m, const struct mortise_ref *refs, size_t n, struct err *e);
int box_watch(struct mailbox *m, struct mortise_watch *w, struct err *e);
int box_append_begin(struct mailbox *m, void **tx, struct err *e);
int box_append_message(struct mailbox *m, void *tx, const struct mortise_append_info *i, struct err *e);
int box_append_write(struct mailbox *m, void *tx, const void *p, size_t n, struct err *e);
/* refs: UIDs or, where the engine gives them, locators. */
int box_append_commit(
    struct mailbox *m, void *tx, uint32_t *uidvalidity, struct mortise_ref *refs, size_t n, struct err *e);
/* Messages of `from`, a box of the same driver. UNSUPPORTED: to be copied in the other way. */
int box_append_copy(struct mailbox *m, void *tx, struct mailbox *from, const struct mortise_ref *refs,
    const struct mortise_append_info *infos, size_t n, struct err *e);
int box_adopt(struct mailbox *m, uint32_t uidvalidity, uint32_t uidnext, struct err *e);
/* What the driver has put off; false: it puts off nothing. */
bool box_checkpoint(struct mailbox *m);
void box_append_abort(struct mailbox *m, void *tx);

#endif
