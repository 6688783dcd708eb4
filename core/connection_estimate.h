/* SPDX-License-Identifier: MIT
 *
 * How many connections there were among events of which no single one is remembered: HyperLogLog sketches (sketch.h) in
 * the caller's memory. Adding the same event again changes nothing, so an addition that was cut off is simply made
 * again, and none need be undone. What was counted besides is the caller's.
 */
#ifndef CF_CONNECTION_ESTIMATE_H
#define CF_CONNECTION_ESTIMATE_H
#include <stdint.h>
#include "connections.h"
#include "event.h"
#include "hash.h"

enum { CF_CONNECTION_SKETCHES = 3 };

/* `sketches`: CF_CONNECTION_SKETCHES times 2^bits bytes, all zero at first. `key`: of the event (connection_key.h). */
void cf_connection_estimate_add(uint8_t *sketches, int bits, const struct cf_hash_secret *secret, uint64_t key,
				const struct cf_event *event);

/* Add what the sketches say to out->count, which was counted; only what they say is uncertain, as out->error tells. */
void cf_connection_estimate(const uint8_t *sketches, int bits, struct cf_connection_count *out);
#endif
