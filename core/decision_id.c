/* SPDX-License-Identifier: MIT
 * Decision ids: see decision_id.h. */
#include <endian.h>
#include <string.h>
#include "decision_id.h"
#include "plan.h"

void cf_id_scope_make(struct cf_id_scope *scope, const char *run_id, const char *cell_name)
{
	char text[CF_TEXT_LEN + CF_NAME_LEN];
	size_t run_len = strnlen(run_id, CF_TEXT_LEN - 1);
	size_t name_len = strnlen(cell_name, CF_NAME_LEN - 1);

	/* The NUL between the two keeps ("ab", "c") and ("a", "bc") apart. */
	memcpy(text, run_id, run_len);
	text[run_len] = '\0';
	memcpy(text + run_len + 1, cell_name, name_len);
	cf_hash128(text, run_len + 1 + name_len, scope->name);
}

/* Bytes of an absent field are not part of what the event is: they may hold anything. */
static size_t gather(const struct cf_id_scope *scope, const struct cf_event *event, uint64_t *words)
{
	unsigned int flags = event->flags;
	uint64_t ports = flags & CF_EVENT_PORTS ? event->src_port | (uint64_t)event->dst_port << 16 : 0;
	uint64_t icmp = flags & CF_EVENT_ICMP ? event->icmp_type << 8 | event->icmp_code : 0;
	uint64_t icmp_id = flags & CF_EVENT_ICMP_ID ? event->icmp_id : 0;

	memcpy(words, scope->name, sizeof(scope->name));
	words[2] = htole64(event->first_seen_ns);
	words[3] = htole64(event->last_seen_ns);
	words[4] = htole64(event->seq);
	words[5] = htole64((uint64_t)event->kind | (uint64_t)event->source << 8 | (uint64_t)event->cpu << 16 |
			   (uint64_t)event->family << 32 | (uint64_t)event->protocol << 40);
	words[6] = htole64(ports | icmp << 32 | icmp_id << 48);
	if (event->family == CF_FAMILY_IPV4) {
		memcpy(&words[7], event->src_addr, 4);
		memcpy((char *)&words[7] + 4, event->dst_addr, 4);
		return 8 * sizeof(*words);
	}
	memcpy(&words[7], event->src_addr, sizeof(event->src_addr));
	memcpy(&words[9], event->dst_addr, sizeof(event->dst_addr));
	return 11 * sizeof(*words);
}

/* Eight hex digits for four bytes, all at once: each nibble gets a byte of its own, and those past 9 are moved from
 * behind '9' to 'a'. Byte by byte it shows in the cost of a record. */
static void put_hex8(char *out, const uint8_t *bytes)
{
	uint32_t packed;
	uint64_t x, letters;

	memcpy(&packed, bytes, sizeof(packed));
	x = be32toh(packed);
	x = (x << 16 | x) & UINT64_C(0x0000ffff0000ffff);
	x = (x << 8 | x) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x << 4 | x) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	letters = (x + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
	x = htobe64(x + UINT64_C(0x3030303030303030) + letters * ('a' - '9' - 1));
	memcpy(out, &x, sizeof(x));
}

void cf_id_format(const struct cf_id_scope *scope, const struct cf_event *event, char *out)
{
	uint64_t words[11];
	uint8_t id[CF_HASH_128_LEN];
	char hex[16];

	cf_hash128(words, gather(scope, event, words), id);
	id[6] = 0x80 | (id[6] & 0x0f); /* version: 8, made in a way of our own */
	id[8] = 0x80 | (id[8] & 0x3f); /* variant: RFC 9562 */
	put_hex8(out, id);
	put_hex8(hex, id + 4);
	put_hex8(hex + 8, id + 8);
	put_hex8(out + 28, id + 12);
	for (int i = 0; i < 4; i++) {
		out[8 + 5 * i] = '-';
		memcpy(out + 9 + 5 * i, hex + 4 * i, 4);
	}
}
