/*
 * manual.h: whole manual pages in mdoc(7), made from the tables the server itself uses, so that they cannot
 * say something else than the server does.
 */
#ifndef MORTISE_CONF_MANUAL_H
#define MORTISE_CONF_MANUAL_H

#include "conf/conf.h"

void conf_manual(const struct conf_group *const *groups, size_t n, struct buf *out); /* imapd.conf(5) */
void conf_manual_messages(struct buf *out);                                          /* mortise-messages(7) */

#endif
