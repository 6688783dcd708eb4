/* SPDX-License-Identifier: MIT
 * SipHash-2-4: see siphash.h. Words are little-endian on every host, so results can be compared between hosts. */
#include <endian.h>
#include <string.h>
#include "siphash.h"

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline uint64_t load(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return le64toh(word);
}

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

static inline uint64_t sip_end(struct sip *s)
{
	for (int i = 0; i < 4; i++)
		sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static inline struct sip sip_begin(const uint8_t *key)
{
	uint64_t k0 = load(key), k1 = load(key + 8);

	return (struct sip){
		.v0 = k0 ^ UINT64_C(0x736f6d6570736575),
		.v1 = k1 ^ UINT64_C(0x646f72616e646f6d),
		.v2 = k0 ^ UINT64_C(0x6c7967656e657261),
		.v3 = k1 ^ UINT64_C(0x7465646279746573),
	};
}

static inline void sip_message(struct sip *s, const uint8_t *bytes, size_t len)
{
	uint64_t last = (uint64_t)len << 56;
	size_t rest = len & 7;
	const uint8_t *tail = bytes + (len - rest);

	for (; bytes != tail; bytes += 8)
		sip_word(s, load(bytes));
	for (size_t i = 0; i < rest; i++)
		last |= (uint64_t)tail[i] << (8 * i);
	sip_word(s, last);
}

uint64_t cf_siphash64(const uint8_t key[CF_SIPHASH_KEY_LEN], const void *data, size_t len)
{
	struct sip s = sip_begin(key);

	sip_message(&s, data, len);
	s.v2 ^= 0xff;
	return sip_end(&s);
}

void cf_siphash128(const uint8_t key[CF_SIPHASH_KEY_LEN], const void *data, size_t len, uint8_t out[CF_SIPHASH_128_LEN])
{
	struct sip s = sip_begin(key);
	uint64_t half;

	s.v1 ^= 0xee;
	sip_message(&s, data, len);
	s.v2 ^= 0xee;
	half = htole64(sip_end(&s));
	memcpy(out, &half, sizeof(half));
	s.v1 ^= 0xdd;
	half = htole64(sip_end(&s));
	memcpy(out + 8, &half, sizeof(half));
}
