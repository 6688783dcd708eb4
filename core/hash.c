/* SPDX-License-Identifier: MIT
 * XXH3: see hash.h. */
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "hash.h"

_Static_assert((int)CF_HASH_SECRET_LEN >= (int)XXH3_SECRET_SIZE_MIN, "XXH3 refuses a shorter one");
_Static_assert(sizeof(XXH128_canonical_t) == CF_HASH_128_LEN, "128 bits");

void cf_hash_secret_make(struct cf_hash_secret *secret, const void *seed, size_t len)
{
	XXH3_generateSecret(secret->bytes, sizeof(secret->bytes), seed, len);
}

uint64_t cf_hash64(const struct cf_hash_secret *secret, const void *data, size_t len)
{
	return XXH3_64bits_withSecret(data, len, secret->bytes, sizeof(secret->bytes));
}

void cf_hash128(const void *data, size_t len, uint8_t out[CF_HASH_128_LEN])
{
	XXH128_canonical_t bytes;

	XXH128_canonicalFromHash(&bytes, XXH3_128bits(data, len));
	memcpy(out, bytes.digest, CF_HASH_128_LEN);
}
