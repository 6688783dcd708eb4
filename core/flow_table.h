/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The flow table in user space: the same sets (flow.h) and the same algorithm (bpf/flow_table.h) as the tc program's,
 * for packets that come from elsewhere, and what both tables' flows look like as events. One writer at a time: the
 * tc program's own table is only read and swept (sweep.h) from here.
 */
#ifndef CF_FLOW_TABLE_H
#define CF_FLOW_TABLE_H
#include <stddef.h>
#include <stdint.h>
#include "event.h"
#include "flow.h"
#include "packet.h"

/* A set of a table of user space. Its flows lie elsewhere, in the order in which ways were first used: so the memory that
 * a table touches, and what new flows touch together, is as much as there are flows, however they are strewn. */
struct cf_flow_room {
	struct cf_flow_tags tags;
	uint32_t place[15]; /* of a way's flow: 64 bytes each behind this; 0: the way was never used */
	uint32_t due; /* the sweep has nothing to do here before; CLOCK_BOOTTIME in units of CF_DUE_SHIFT; 0: no flows */
	uint32_t age[15]; /* from here on as in struct cf_flow_set */
	uint32_t pad0; /* zero */
	uint64_t bloom[7];
	uint32_t evictions;
	uint32_t evicted;
};

enum {
	CF_DUE_SHIFT = 20, /* of ns: about a millisecond, in 32 bits */
};

struct cf_flow_head { /* what a table of user space begins with */
	uint64_t placed; /* flows that have a way */
	uint32_t soonest[2]; /* sweep's: after what time, in those units, it may have to do with a new flow; [1]: of TCP */
	uint64_t pad0[6];
};

struct cf_flow_table {
	struct cf_flow_set *sets; /* FLOWS mapped, which is only swept; NULL: a table of user space */
	struct cf_flow_tags *tags; /* of each of these sets; in the same memory */
	struct cf_flow_room *rooms; /* the sets of a table of user space; NULL: FLOWS */
	struct cf_flow *flows; /* of user space; in the same memory as rooms */
	struct cf_flow_head *head;
	uint32_t set_count; /* a power of two; 0: no table */
	struct cf_flow_secret secret; /* of user space */
};

/* How many sets hold `entries` flows (0: the default): a power of two, CF_FLOW_SETS_MAX at most. */
uint32_t cf_flow_sets_for(uint32_t entries);

/* The map FLOWS has so many entries of struct cf_flow_set: sets, and in the rest their tags. */
uint32_t cf_flow_entries_of(uint32_t set_count);
/* And back; 0: no table has so many entries. */
uint32_t cf_flow_sets_in(uint32_t entries);
/* A table that is FLOWS, mapped. */
void cf_flow_table_map(struct cf_flow_table *table, void *memory, uint32_t set_count);

/* The memory of a table of user space in bytes, and a table in it: zeroed at first, aligned to 64 bytes, not owned. */
size_t cf_flow_table_size(uint32_t set_count);
void cf_flow_table_place(struct cf_flow_table *table, void *memory, uint32_t set_count);

/* Of either: the tags of a set; the flow of a way that has one (of user space, NULL: the way was never used). */
struct cf_flow_tags *cf_flow_table_tags(const struct cf_flow_table *table, uint32_t set);
struct cf_flow *cf_flow_table_flow(const struct cf_flow_table *table, uint32_t set, uint32_t way);
/* Of user space: the set that a key belongs to. */
uint32_t cf_flow_table_set(const struct cf_flow_table *table, const struct cf_flow_key *key);

/* The hash's secret from a seed: the same words for the same seed. */
void cf_flow_secret_make(uint64_t seed, struct cf_flow_secret *secret);

/* Sets of a writer that died may have ways that it had claimed: free them. Of user space. */
void cf_flow_table_repair(struct cf_flow_table *table);

/* Where a packet of user space came from: what a new entry takes over from its first packet. */
struct cf_flow_origin {
	uint32_t ifindex;
	uint32_t mark;
	uint8_t direction; /* enum cf_flow_direction */
	uint8_t source_end; /* of the sorted key */
	uint8_t hook; /* enum cf_hook */
	uint8_t verdict; /* enum cf_verdict */
	uint8_t events; /* 1 << enum cf_kind, or-ed: kept in the entry */
};

/* The twin of the tc program's accounting, in a table of user space: count one packet. `key` is sorted and has its cell;
 * `load->now` is CLOCK_BOOTTIME. Returns CF_STAT_FLOW_HIT, NEW or FULL (all ways of its set are being taken out). HIT and NEW: *flow
 * is the entry, in the table. `ended` is filled anew by each call: kind is set only with NEW. */
int cf_flow_table_account(struct cf_flow_table *table, const struct cf_flow_key *key, const struct cf_packet *packet,
			  const struct cf_load *load, const struct cf_flow_origin *origin, struct cf_flow **flow,
			  struct cf_flow_ended *ended);

/* Memory is slow and each flow is elsewhere: who has several packets at hand says of each, some packets before it is
 * accounted, first that it comes (the set is fetched) and then, when that is there, which entry it will be (by the
 * tags of this moment). Hints: they change nothing. `key` as above. */
void cf_flow_table_expect(const struct cf_flow_table *table, const struct cf_flow_key *key);
void cf_flow_table_expect_entry(const struct cf_flow_table *table, const struct cf_flow_key *key);

/* A flow as an event of `kind` (enum cf_kind), from the end that began it. packets and bytes are those of the direction
 * in which it began, up to now; reply_* those of the other, with CF_KIND_CLOSED and CF_KIND_UPDATED (else 0). Times
 * are the flow's. `out` is filled completely; seq and cpu are 0, witnesses 0, prefix empty: the caller's to add. */
void cf_flow_event(const struct cf_flow *flow, uint32_t kind, uint32_t close_reason, struct cf_event *out);

/* The entry as it is at this moment: counters of a live flow change while they are read, each of them whole. */
void cf_flow_read(const struct cf_flow *flow, struct cf_flow *out);

/* How it ended, by what its packets said: CF_CLOSE_FIN (both directions, or the one that was ever seen), CF_CLOSE_RST,
 * or CF_CLOSE_NONE. */
uint32_t cf_flow_finished(const struct cf_flow *flow);
#endif
