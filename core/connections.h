/* SPDX-License-Identifier: MIT
 *
 * How many different connections the cells opened: of the run and of each cell, in memory that the supervisor shares
 * with its workers. A set knows the first `cap` of them; beyond that the rest is estimated. Counting is part of a
 * batch's transaction (outcome.h): what a worker that was killed between any two instructions had counted of its batch
 * is undone by its successor, which counts the batch again. What was lost before it got here is the summary's to say.
 */
#ifndef CF_CONNECTIONS_H
#define CF_CONNECTIONS_H
#include <stdint.h>
#include "event.h"

enum {
	CF_CONNECTIONS_CAP = 1000000, /* default; 32/3 bytes for each in the end: 11 MB */
	CF_CONNECTIONS_CAP_MAX = 1 << 26,
};

struct cf_connections;

struct cf_connection_count {
	uint64_t count;
	double error; /* standard error of `count` as a fraction of it; 0 unless is_estimate */
	uint32_t is_estimate; /* 1: more than the set holds */
	uint32_t is_missing; /* 1: some may not have been counted, as they could not be told from others */
};

/* For 1..CF_CONNECTIONS_CAP_MAX connections; made before the first worker is. NULL: no memory, or no randomness. */
struct cf_connections *cf_connections_new(uint64_t cap);
void cf_connections_free(struct cf_connections *connections);
/* Before the first is counted: the same seed estimates the same. Only where nobody can choose tuples that collide. */
void cf_connections_seed(struct cf_connections *connections, uint64_t seed);

/* A transaction of at most CF_BATCH_MAX events begins, of the attempt with that number; what was counted before is for
 * good. Once in each process before anything else is counted there, as a predecessor may have moved the set. Makes room
 * for the batch: now and then this copies the whole set. Who never undoes may go on counting in one transaction: when
 * the log of it is full, what is in it is for good. */
void cf_connections_begin(struct cf_connections *connections, uint32_t attempt);
/* All that was counted since that attempt began is uncounted, if it is the latest that did; else nothing happens. May
 * be cut off and done again. Estimates stay: they are of sets, to which the same events are added again. */
void cf_connections_undo(struct cf_connections *connections, uint32_t attempt);

/* Count `event` if it opens a connection (connection_key.h). event->cell is what the kernel wrote: slot and epoch. One
 * writer at a time. A tuple seen before is the same connection when the event is flagged CF_EVENT_REOPENED or
 * CF_EVENT_MIDSTREAM; else another one. Of an event that may come more than once, the same time is the same one. */
void cf_connections_add(struct cf_connections *connections, const struct cf_event *event);

/* What cf_connections_add will need of the next `count` events, CF_CONNECTIONS_AHEAD at most, after the transaction was
 * begun: nearly all that a connection costs is waiting for its place in a table of many megabytes. Only said in
 * advance, counts nothing. An event is to be as it is now when it is added, at the same address; those that are not
 * added are no harm. */
void cf_connections_expect(struct cf_connections *connections, const struct cf_event *events, uint32_t count);
enum { CF_CONNECTIONS_AHEAD = 32 }; /* 8 KB of events: they stay in the innermost cache */

/* From any process that has the memory, at any time. */
void cf_connections_of_run(const struct cf_connections *connections, struct cf_connection_count *out);
/* `slot` with its epoch, as in struct cf_cell. */
void cf_connections_of_cell(const struct cf_connections *connections, uint32_t slot, struct cf_connection_count *out);

/* `count` for a field of 32 bits: the greatest number there when it is more. */
uint32_t cf_connections_field(uint64_t count);
#endif
