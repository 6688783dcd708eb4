/* SPDX-License-Identifier: MIT
 *
 * The two rings that a worker reads, as one stream: the kernel's, with what the tc programs saw, and the host's, with
 * what the collector made of it later. Keeps them in an order that makes sense: an event of the host ring comes after
 * everything that was in the kernel's ring when it was put there, so that no flow is closed before it was opened.
 */
#ifndef CF_FEED_H
#define CF_FEED_H
#include "ring.h"

enum cf_feed_ring {
	CF_FEED_KERNEL = 0,
	CF_FEED_HOST = 1,
	CF_FEED_RINGS = 2,
};

struct cf_feed {
	struct cf_ring rings[CF_FEED_RINGS]; /* one without pages is not there */
	uint64_t until[CF_FEED_RINGS]; /* up to where each is to be read before the other has its turn again */
};

void cf_feed_init(struct cf_feed *feed);
/* Whose turn it is, given how far each was read. The other one only if this one has nothing. */
enum cf_feed_ring cf_feed_next(struct cf_feed *feed, const uint64_t position[CF_FEED_RINGS]);
/* Bytes that wait in the fuller one, and in thousandths of its size. */
uint64_t cf_feed_used(const struct cf_feed *feed, uint32_t *permille);
/* Complete records that wait in both (see cf_ring_count). */
uint64_t cf_feed_count(const struct cf_feed *feed, const uint64_t position[CF_FEED_RINGS]);
void cf_feed_close(struct cf_feed *feed);
#endif
