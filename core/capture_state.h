/* SPDX-License-Identifier: MIT
 *
 * A capture in hand, for the parts that it is made of: opening (capture_open.c), packets of several files in order of
 * time (capture_merge.c), frames (capture.c). Nobody else's business.
 */
#ifndef CF_CAPTURE_STATE_H
#define CF_CAPTURE_STATE_H
#include "capture.h"
#include "capture_file.h"
#include "capture_flows.h"

enum cf_capture_phase {
	CF_CAPTURE_META,
	CF_CAPTURE_CELLS,
	CF_CAPTURE_CLOCK,
	CF_CAPTURE_START,
	CF_CAPTURE_PACKETS,
	CF_CAPTURE_SWEEP,
	CF_CAPTURE_CLOSE,
	CF_CAPTURE_STOP,
	CF_CAPTURE_END,
	CF_CAPTURE_OVER,
};

struct cf_capture {
	struct cf_capture_options options;
	struct cf_capture_numbers numbers;
	struct cf_capture_flows flows;
	struct cf_capture_file files[CF_CAPTURE_FILES];
	uint32_t file_count;
	uint32_t heap[CF_CAPTURE_FILES]; /* files that have a packet, the earliest first */
	uint32_t heap_count;
	int use_way;
	enum cf_capture_phase phase;
	uint32_t next_cell;
	uint64_t next_sweep_ns;
	uint8_t *room; /* for the frame that was given out */
};

/* Read the first packet of each file, and set the clock to the earliest. */
void cf_capture_merge_begin(struct cf_capture *capture);
/* The file that has the next packet, or NULL: there are no more. */
const struct cf_capture_file *cf_capture_merge_first(const struct cf_capture *capture);
/* That packet is done with. */
void cf_capture_merge_next(struct cf_capture *capture);
#endif
