/* SPDX-License-Identifier: MIT
 *
 * SipHash-2-4 (Aumasson, Bernstein), with 64 and 128 bits of output. Keyed with a secret it resists keys made to
 * collide; with a public key it only names its input. Pure; where the key comes from is the caller's.
 */
#ifndef CF_SIPHASH_H
#define CF_SIPHASH_H
#include <stddef.h>
#include <stdint.h>

enum {
	CF_SIPHASH_KEY_LEN = 16,
	CF_SIPHASH_128_LEN = 16,
};

uint64_t cf_siphash64(const uint8_t key[CF_SIPHASH_KEY_LEN], const void *data, size_t len);
/* `out` gets the bytes in the order of the published vectors. */
void cf_siphash128(const uint8_t key[CF_SIPHASH_KEY_LEN], const void *data, size_t len,
		   uint8_t out[CF_SIPHASH_128_LEN]);
#endif
