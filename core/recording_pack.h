/* SPDX-License-Identifier: MIT
 *
 * The frames of a block in an order that compresses well: what events have in common lies together, byte by byte, and
 * of times and numbers only the differences. Pure functions on memory; which frames there are is frame.h's.
 */
#ifndef CF_RECORDING_PACK_H
#define CF_RECORDING_PACK_H
#include <stddef.h>
#include <stdint.h>

enum { CF_PACK_HEAD = 16 }; /* by so much packed is longer than raw */

/* Pack `len` bytes of whole frames that passed cf_frame_check, 8-aligned, into `out` (len + CF_PACK_HEAD bytes). */
void cf_pack(const uint8_t *raw, size_t len, uint8_t *out);
/* And back. `packed` (len bytes) may hold anything. 0 when it gave raw_len bytes of frames, whose contents are still to
 * be checked; else -1, and what is in `raw` (raw_len bytes, 8-aligned) means nothing. */
int cf_unpack(const uint8_t *packed, size_t len, uint8_t *raw, size_t raw_len);
#endif
