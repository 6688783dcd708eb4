/* SPDX-License-Identifier: MIT
 *
 * HyperLogLog (Flajolet and others), read by Ertl's estimator, which needs no table against bias at any size: how many
 * different hashes were added, from 2^bits bytes that only ever grow. Adding the same again changes nothing, so an
 * addition that was cut off is simply made again. What is hashed, and how, is the caller's.
 */
#ifndef CF_SKETCH_H
#define CF_SKETCH_H
#include <stdint.h>

/* `registers`: 2^bits bytes, all zero at first; bits 4..16. `hash`: uniform in all its bits. */
void cf_sketch_add(uint8_t *registers, int bits, uint64_t hash);
/* 0 for an empty one, at most 2^64. Whatever the bytes are, the result is finite. */
double cf_sketch_estimate(const uint8_t *registers, int bits);
/* Standard error of an estimate, as a fraction of it. */
double cf_sketch_error(int bits);
#endif
