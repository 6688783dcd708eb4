/* SPDX-License-Identifier: MIT
 * Connections by sketches: see connection_estimate.h. */
#include <math.h>
#include "connection_estimate.h"
#include "connection_key.h"
#include "sketch.h"

/* A key that had flagged events only counts once: the last two's difference. */
enum sketch {
	SKETCH_OPENED, /* key and time of events without a flag */
	SKETCH_KEYS, /* keys of all events */
	SKETCH_KEYS_OPENED, /* keys of events without a flag */
};

void cf_connection_estimate_add(uint8_t *sketches, int bits, const struct cf_hash_secret *secret, uint64_t key,
				const struct cf_event *event)
{
	uint64_t opened[] = { key, event->first_seen_ns };

	cf_sketch_add(sketches + (SKETCH_KEYS << bits), bits, key);
	if (event->flags & CF_CONNECTION_AGAIN)
		return;
	cf_sketch_add(sketches + (SKETCH_OPENED << bits), bits, cf_hash64(secret, opened, sizeof(opened)));
	cf_sketch_add(sketches + (SKETCH_KEYS_OPENED << bits), bits, key);
}

/* Of a difference, at most the greater is uncertain. */
void cf_connection_estimate(const uint8_t *sketches, int bits, struct cf_connection_count *out)
{
	double opened = cf_sketch_estimate(sketches + (SKETCH_OPENED << bits), bits);
	double keys = cf_sketch_estimate(sketches + (SKETCH_KEYS << bits), bits);
	double flagged = keys - cf_sketch_estimate(sketches + (SKETCH_KEYS_OPENED << bits), bits);
	double all;

	flagged = flagged > 0 ? flagged : 0;
	all = (double)out->count + opened + flagged;
	out->is_estimate = 1;
	out->count = all < 0x1p63 ? (uint64_t)(all + 0.5) : UINT64_MAX;
	out->error = cf_sketch_error(bits) * hypot(opened, flagged > 0 ? keys : 0) / (all > 0 ? all : 1);
}
