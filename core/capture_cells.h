/* SPDX-License-Identifier: MIT
 *
 * Which cells a packet of a capture is of, and which way it goes as each of them sees it. Pure.
 */
#ifndef CF_CAPTURE_CELLS_H
#define CF_CAPTURE_CELLS_H
#include "capture.h"
#include "capture_link.h"

enum {
	CF_CAPTURE_BY_ORIGIN = 2, /* beside enum cf_flow_direction: whoever began the flow is the cell's side */
};

struct cf_capture_place {
	uint32_t count; /* 0: of no cell; 2: from one cell to another */
	struct {
		uint32_t cell;
		uint32_t way; /* enum cf_flow_direction, or CF_CAPTURE_BY_ORIGIN */
	} of[2];
};

/* `key` as the parser leaves it: end 0 is the source. use_way: without networks and MAC addresses, what the link header
 * says of the way decides, else who began. */
void cf_capture_locate(const struct cf_capture_options *options, const struct cf_flow_key *key,
		       const struct cf_link *link, int use_way, struct cf_capture_place *place);
#endif
