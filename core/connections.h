/* SPDX-License-Identifier: MIT
 *
 * How many different connections the cells opened: of the run and of each cell, in memory that the supervisor shares
 * with its workers. A set knows the first `cap` of them; beyond that the rest is estimated. Counting the same event
 * again adds nothing, so a worker may be killed between any two instructions and its successor counts the batch again:
 * that needs no transaction (outcome.h). What was lost before it got here is the summary's to say.
 */
#ifndef CF_CONNECTIONS_H
#define CF_CONNECTIONS_H
#include <stdint.h>
#include "event.h"

enum {
	CF_CONNECTIONS_CAP = 1000000, /* default; 64/3 bytes for each in the end: 21 MB */
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

/* Count `event` if it opens a connection out of the cell: its first packet, with ports or an echo identifier where the
 * protocol has them, that answers nothing. event->cell is what the kernel wrote: slot and epoch. One writer at a time.
 * A tuple seen before is the same connection when the event is not later than the last one counted of it (a batch done
 * again), or is flagged CF_EVENT_REOPENED or CF_EVENT_MIDSTREAM; else a new one. */
void cf_connections_add(struct cf_connections *connections, const struct cf_event *event);

/* What cf_connections_add will need of `event` some calls later: nearly all that a connection costs is waiting for its
 * place in a table of many megabytes. Only said in advance, counts nothing; the event must
 * not change until then, and one that is not added in the end is to be expected anew if it is there again. */
void cf_connections_expect(struct cf_connections *connections, const struct cf_event *event);
enum { CF_CONNECTIONS_AHEAD = 8 }; /* calls: the way to memory and back, a few hundred ns */

/* From any process that has the memory, at any time. */
void cf_connections_of_run(const struct cf_connections *connections, struct cf_connection_count *out);
/* `slot` with its epoch, as in struct cf_cell. */
void cf_connections_of_cell(const struct cf_connections *connections, uint32_t slot, struct cf_connection_count *out);

/* `count` for a field of 32 bits: the greatest number there when it is more. */
uint32_t cf_connections_field(uint64_t count);
#endif
