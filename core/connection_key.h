/* SPDX-License-Identifier: MIT
 *
 * Which events open a connection out of their cell, and by what two of them are the same: pure functions of an event.
 * Counting is connections.c's.
 */
#ifndef CF_CONNECTION_KEY_H
#define CF_CONNECTION_KEY_H
#include <stdint.h>
#include "event.h"
#include "hash.h"

enum { CF_CONNECTION_AGAIN = CF_EVENT_REOPENED | CF_EVENT_MIDSTREAM };

/* 1: the first packet out of the cell, with ports or an echo identifier where the protocol has them, that answers
 * nothing. */
int cf_connection_opens(const struct cf_event *event);

/* 1: the same event may come more than once. Records of 40 bytes are of no kind, so objects may tell a flow again in
 * one; they are known by having no bytes, and what is told again has the same first time. */
static inline int cf_connection_repeats(const struct cf_event *event)
{
	return event->bytes == 0 && !(event->flags & CF_CONNECTION_AGAIN);
}

/* Of the cell, the protocol, addresses, and ports or echo identifier; and of the time of an event that may come more
 * than once. Never 0. */
uint64_t cf_connection_key(const struct cf_hash_secret *secret, const struct cf_event *event);
#endif
