/* SPDX-License-Identifier: MIT
 *
 * What the collector knows and does with one event at a time: its sources, its flow tables, and the way into the host
 * ring. The process around it (orders, waiting, ending) is collector.c's.
 */
#ifndef CF_COLLECT_H
#define CF_COLLECT_H
#include "channel.h"
#include "collect_note.h"
#include "collector.h"
#include "join.h"
#include "nflog.h"
#include "own_ring.h"
#include "sweep.h"

enum {
	CF_COLLECT_ROOM =
		3 << 19, /* bytes free in the host ring before a socket is read: more than one read can fill */
};

struct cf_collect_source { /* of one cell */
	struct cf_message_source about;
	struct cf_nflog nflog; /* fd -1: none */
	struct cf_own_ring ring;
	int ring_fd; /* that it is of; -1: none */
	int bell_fd; /* of that; -1: it has none */
};

struct cf_collect {
	const struct cf_collector_config *config;
	struct cf_host_producer producer;
	struct cf_sweep flows; /* the tc programs' table; not there before CF_MSG_FLOWS */
	struct cf_sweep logged; /* NFLOG's */
	struct cf_sweep_options times;
	struct cf_sweep_numbers counted[2]; /* what of the sweeps' numbers is in config->numbers */
	struct cf_join *join;
	struct cf_join_numbers joined; /* what of the join's numbers is in config->numbers */
	struct cf_collected_closed told; /* first_seen_ns not 0: a predecessor told its end, and it is in a table yet */
	uint64_t seq; /* of the events made here */
	uint64_t now_ns; /* CLOCK_BOOTTIME of this turn */
	uint32_t bell_count; /* rings whose producers ration their wake-ups */
	uint32_t nflog_count; /* sources that have a socket */
	uint8_t wants[CF_CELLS_MAX]; /* 1 << enum cf_kind, or-ed, by slot without the epoch */
	struct cf_collect_source *sources[CF_CELLS_MAX]; /* by slot without the epoch; NULL: none */
};

/* Maps what `config` names. 0 or -1. */
int cf_collect_open(struct cf_collect *collect, const struct cf_collector_config *config, struct cf_error *error);
int cf_collect_flows(struct cf_collect *collect, uint64_t set_count, int fd, struct cf_error *error);
void cf_collect_times(struct cf_collect *collect, const struct cf_plan_flows *times);

/* Takes over the descriptors (-1: none). What the slot had before is closed, unread: the caller has read it. */
int cf_collect_add(struct cf_collect *collect, const struct cf_message_source *about, int nflog_fd, int ring_fd, int bell_fd,
		   struct cf_error *error);
/* Reads what is left of it and closes its descriptors. Its flows are the sweep's. */
void cf_collect_remove(struct cf_collect *collect, uint32_t slot);

/* Read a bounded piece of a source. 1: there may be more; 0: not now. */
int cf_collect_read(struct cf_collect *collect, struct cf_collect_source *source);
/* Tell what waited long enough for its other witness; `all`: tell everything. */
void cf_collect_release(struct cf_collect *collect, int all);

/* Bring config->numbers up to date with the join's, after each change: what waits there is lost with this process. */
void cf_collect_count_join(struct cf_collect *collect);
/* The same with the sweeps'. */
void cf_collect_count(struct cf_collect *collect);

/* A flow's end or interval into the host ring: cf_sweep_fn, `context` is the struct cf_collect. */
int cf_collect_flow(void *context, const struct cf_flow *flow, uint32_t kind, uint32_t close_reason);
/* 0, or -1: no room now. */
int cf_collect_put(struct cf_collect *collect, struct cf_event *event);
int cf_collect_has_room(const struct cf_collect *collect);
#endif
