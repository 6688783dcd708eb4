/* SPDX-License-Identifier: MIT
 *
 * What is hashed once or more for each event: XXH3 of libxxhash, compiled in, several times as fast as SipHash
 * (siphash.h), which has the texts. With a secret it takes knowing that to make keys that collide; without one it only
 * names its input, the same on every host.
 */
#ifndef CF_HASH_H
#define CF_HASH_H
#include <stddef.h>
#include <stdint.h>

enum {
	CF_HASH_SECRET_LEN = 192,
	CF_HASH_128_LEN = 16,
};

struct cf_hash_secret {
	uint8_t bytes[192];
};

/* From any seed, which should have as much chance in it as the secret is to have. */
void cf_hash_secret_make(struct cf_hash_secret *secret, const void *seed, size_t len);
uint64_t cf_hash64(const struct cf_hash_secret *secret, const void *data, size_t len);
/* Without a secret; `out` gets the canonical bytes. */
void cf_hash128(const void *data, size_t len, uint8_t out[CF_HASH_128_LEN]);
#endif
