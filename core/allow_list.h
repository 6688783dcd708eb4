/* SPDX-License-Identifier: MIT
 *
 * Where the flows of recordings went: one entry for each destination, with its evidence, as an allow-list is made of.
 * Reads events, runs no policy. Memory is bounded by CF_ALLOW_MAX. How it is written down is allow_text.h's.
 */
#ifndef CF_ALLOW_LIST_H
#define CF_ALLOW_LIST_H
#include <stddef.h>
#include "error.h"
#include "frame.h"
#include "intern.h"
#include "replay_recorded.h"

enum {
	CF_ALLOW_MAX = 32700, /* entries: with what goes around them, a policy can hold as many rules */
	CF_ALLOW_CELLS = 8, /* cells of an entry that are named */
};

struct cf_allow_options {
	uint32_t prefix4, prefix6; /* bits of an address that count: 32 and 128 for all */
	int any_port;
};

/* Compared as bytes: zeroed before it is filled. */
struct cf_allow_key {
	uint8_t dst_addr[16]; /* the bits that count, the others 0 */
	uint16_t dst_port;
	uint8_t has_port;
	uint8_t family;
	uint8_t protocol;
	uint8_t fragment; /* 1: later fragments, which have no ports */
	uint8_t pad0[2];
};

struct cf_allow_entry {
	struct cf_allow_key key;
	uint64_t flows; /* opened, or logged packets */
	uint64_t bytes; /* of both directions, of flows that ended */
	int64_t first_ns, last_ns; /* time of day */
	uint32_t cells[CF_ALLOW_CELLS]; /* texts (intern.h) in the order seen */
	uint32_t cell_count;
	uint32_t has_more_cells; /* 1: than are named */
};

struct cf_allow_list {
	struct cf_allow_options options;
	struct cf_allow_entry *entries;
	size_t count, room;
	uint64_t dropped; /* events that netfilter or an object dropped: no entry */
	uint64_t ingress; /* events that came in: no entry */
	int64_t offset_ns;
	uint32_t slots[1 << 16]; /* entry + 1, or 0 */
	struct cf_replay_recorded recorded;
};

struct cf_allow_list *cf_allow_list_new(const struct cf_allow_options *options); /* NULL: no memory */
void cf_allow_list_free(struct cf_allow_list *list);
/* A frame that passed cf_frame_check. -1: CF_FAIL_RECORDING (parts in a wrong order), CF_FAIL_USAGE (more destinations
 * than a policy holds rules), CF_FAIL_INTERNAL. */
int cf_allow_list_frame(struct cf_allow_list *list, const struct cf_frame *frame, struct cf_error *error);
/* Most flows first; among equals by destination. Nothing can be added afterwards. */
void cf_allow_list_sort(struct cf_allow_list *list);
#endif
