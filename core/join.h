/* SPDX-License-Identifier: MIT
 *
 * One event from two witnesses: what tc saw of a flow and what netfilter logged of it, of cells that have both sources.
 * The first word of a flow is held for a while (CF_JOIN_HOLD_MS), and what the other source says of the same flow in
 * that time becomes part of it: `witnesses`, netfilter's prefix, and CF_EVENT_CONFLICT when netfilter drops what tc saw
 * leave. Bounded: beyond CF_JOIN_MAX waiting events the oldest is told early, and counted. Pure: no clock, no input.
 */
#ifndef CF_JOIN_H
#define CF_JOIN_H
#include <stdint.h>
#include "event.h"

enum {
	CF_JOIN_HOLD_MS = 100, /* NFLOG hands a packet over some 10 ms after tc saw it; a busy reader is late itself */
	CF_JOIN_MEMORY_MS = 2000, /* how long a flow that was told is remembered for a witness that is late */
	CF_JOIN_MAX = 16384, /* events that wait; about 5 MB */
};

struct cf_join;

struct cf_join_numbers {
	uint64_t joined, conflicts, early;
	uint64_t waiting; /* now */
};

/* Gets an event whose time has come. 0, or -1: no room now, it stays and is offered again. */
typedef int cf_join_fn(void *context, struct cf_event *event);

struct cf_join *cf_join_new(cf_join_fn *fn, void *context); /* NULL: no memory */
void cf_join_free(struct cf_join *join);

/* An opened or logged event of one source. The same flow (cell, protocol, addresses, ports or ICMP id; in either
 * direction) from the other source is merged with it, also after it was told, for as long as the join remembers it:
 * then only a conflict is told, as an event of its own. Other kinds go through at once, after what waits of that flow.
 * 0: taken; -1: it would have to be told now and fn has no room: offer it again. */
int cf_join_take(struct cf_join *join, const struct cf_event *event, uint64_t now_ns);
/* Tell what waits of the flow of `event`, which the caller is about to tell past this. 0, or -1: no room. */
int cf_join_precede(struct cf_join *join, const struct cf_event *event, uint64_t now_ns);
/* Tell what waited long enough (`all`: everything). Returns how many still wait. */
uint32_t cf_join_release(struct cf_join *join, uint64_t now_ns, int all);
/* When the oldest is due, by the clock of now_ns; 0: nothing waits. */
uint64_t cf_join_due(const struct cf_join *join);
struct cf_join_numbers cf_join_numbers(const struct cf_join *join);
#endif
