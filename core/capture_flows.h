/* SPDX-License-Identifier: MIT
 *
 * Packets of a capture into flows, and what becomes of those into a batch of events: the flow table and the sweep of
 * the live run, in ordinary memory and in the time that the packets have. Only sets that have flows are swept, so that
 * a quiet day costs nothing.
 */
#ifndef CF_CAPTURE_FLOWS_H
#define CF_CAPTURE_FLOWS_H
#include "capture.h"
#include "capture_cells.h"
#include "sweep.h"

enum {
	CF_CAPTURE_PACKET_ROOM = 4, /* events that a packet can make: two cells, and for each one that ended */
};

struct cf_capture_flows {
	struct cf_flow_table table;
	void *memory; /* its; owned */
	struct cf_sweep sweep; /* of one set at a time */
	struct cf_sweep_options times;
	uint32_t *active; /* sets that have flows */
	uint8_t *is_active; /* by set */
	uint32_t active_count;
	uint32_t at; /* into active: where a round goes on */
	uint32_t is_finishing; /* the second half of a round */
	uint32_t events; /* 1 << enum cf_kind, or-ed: what is told */
	struct cf_capture_numbers *numbers;
	uint64_t seq[CF_CAPTURE_SIDES]; /* by cell */
	uint64_t now_ns;
	uint64_t batch_since_ns; /* of the batch's first event */
	struct cf_batch batch; /* the caller empties it: count = 0 */
};

int cf_capture_flows_init(struct cf_capture_flows *flows, const struct cf_capture_options *options,
			  struct cf_capture_numbers *numbers, struct cf_error *error);
void cf_capture_flows_free(struct cf_capture_flows *flows); /* idempotent */

void cf_capture_flows_times(struct cf_capture_flows *flows, const struct cf_plan_flows *times);

/* Count a parsed packet; `key` is sorted here. The batch has CF_CAPTURE_PACKET_ROOM. */
void cf_capture_flows_packet(struct cf_capture_flows *flows, struct cf_flow_key *key, const struct cf_packet *packet,
			     const struct cf_load *load, const struct cf_capture_place *place);
/* A round of the sweep at flows->now_ns; flows that are over are told and gone afterwards. 1: done; 0: the batch is
 * full: empty it and call again. */
int cf_capture_flows_sweep(struct cf_capture_flows *flows);
/* The end: close all flows. As above. */
int cf_capture_flows_close(struct cf_capture_flows *flows);
#endif
