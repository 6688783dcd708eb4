/* SPDX-License-Identifier: MIT
 * Two rings as one stream: see feed.h. */
#include <string.h>
#include "feed.h"

static int is_there(const struct cf_ring *ring)
{
	return ring->producer_page != NULL;
}

void cf_feed_init(struct cf_feed *feed)
{
	memset(feed, 0, sizeof(*feed));
	for (int i = 0; i < CF_FEED_RINGS; i++)
		feed->rings[i].fd = -1;
}

/* The host's snapshot first: what the kernel's ring holds a moment later includes everything that the collector can
 * have known of when it wrote the last of those. */
static void look(struct cf_feed *feed, const uint64_t position[CF_FEED_RINGS])
{
	for (int i = CF_FEED_RINGS - 1; i >= 0; i--)
		feed->until[i] = is_there(&feed->rings[i]) ? cf_ring_producer(&feed->rings[i]) : position[i];
}

/* Not "<": positions come from shared memory, and only their distance means something. */
static int is_before(uint64_t position, uint64_t until)
{
	return (int64_t)(position - until) < 0;
}

enum cf_feed_ring cf_feed_next(struct cf_feed *feed, const uint64_t position[CF_FEED_RINGS])
{
	if (!is_there(&feed->rings[CF_FEED_HOST]))
		return CF_FEED_KERNEL;
	for (int tries = 0; tries < 2; tries++) {
		for (int i = 0; i < CF_FEED_RINGS; i++)
			if (is_before(position[i], feed->until[i]))
				return (enum cf_feed_ring)i;
		look(feed, position);
	}
	return is_there(&feed->rings[CF_FEED_KERNEL]) ? CF_FEED_KERNEL : CF_FEED_HOST;
}

uint64_t cf_feed_used(const struct cf_feed *feed, uint32_t *permille)
{
	uint64_t most = 0;

	*permille = 0;
	for (int i = 0; i < CF_FEED_RINGS; i++) {
		uint64_t used = is_there(&feed->rings[i]) ? cf_ring_used(&feed->rings[i]) : 0;
		uint32_t part = used ? (uint32_t)(used * 1000 / feed->rings[i].size) : 0;

		if (used && part >= *permille) {
			*permille = part;
			most = used;
		}
	}
	return most;
}

uint64_t cf_feed_count(const struct cf_feed *feed, const uint64_t position[CF_FEED_RINGS])
{
	uint64_t count = 0;

	for (int i = 0; i < CF_FEED_RINGS; i++)
		if (is_there(&feed->rings[i]))
			count += cf_ring_count(&feed->rings[i], position[i]);
	return count;
}

void cf_feed_close(struct cf_feed *feed)
{
	for (int i = 0; i < CF_FEED_RINGS; i++)
		cf_ring_close(&feed->rings[i]);
}
