/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * One flow's entry in a table: whether it is over, and a packet counted into it; and the words that the files of the
 * table's algorithm share. Compiled twice, as flow_table.h is; knows no sets. The includer has __always_inline.
 */
#ifndef CF_BPF_FLOW_ENTRY_H
#define CF_BPF_FLOW_ENTRY_H
#include "event.h"
#include "flow.h"
#include "packet.h"

#ifdef __clang__
#define CF_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CF_UNROLL
#endif

/* A set, and a flow of it: who includes this may have said what else they are (core/flow_table.c). */
#ifndef CF_FLOW_SET
#define CF_FLOW_SET struct cf_flow_set
#define CF_FLOW_OF(set, way) (&(set)->flow[way])
#endif

enum {
	CF_TCP_FIN = 1,
	CF_TCP_SYN = 2,
	CF_TCP_RST = 4,
	CF_TCP_ACK = 16,
	CF_TCP_NUMBER = 6, /* IPPROTO_TCP */
};

/* The same number, of which the verifier has forgotten what it knew: it would walk all that follows once for each value
 * that it can have. `other` is a number that it knows nothing of. */
static __always_inline uint64_t cf_forget(uint64_t number, uint64_t other)
{
#ifdef __bpf__
	asm volatile("%0 ^= %1; %0 ^= %1" : "+r"(number) : "r"(other));
#else
	(void)other;
#endif
	return number;
}

static __always_inline int cf_flow_key_equal(const struct cf_flow_key *a, const struct cf_flow_key *b)
{
	uint64_t x[sizeof(*a) / 8], y[sizeof(*a) / 8], differ = 0;

	__builtin_memcpy(x, __builtin_assume_aligned(a, 8), sizeof(x));
	__builtin_memcpy(y, __builtin_assume_aligned(b, 8), sizeof(y));
	CF_UNROLL
	for (int i = 0; i < (int)sizeof(*a) / 8; i++)
		differ |= x[i] ^ y[i];
	return !differ;
}

/* Without the other direction ever seen, one FIN must do. */
static __always_inline uint32_t cf_flow_finish(const struct cf_flow *flow)
{
	uint32_t egress = flow->tcp_flags[CF_FLOW_EGRESS], ingress = flow->tcp_flags[CF_FLOW_INGRESS];

	if ((egress | ingress) & CF_TCP_RST)
		return CF_CLOSE_RST;
	if (!((egress | ingress) & CF_TCP_FIN))
		return CF_CLOSE_NONE;
	if ((egress & ingress & CF_TCP_FIN) || !flow->packets[CF_FLOW_EGRESS] || !flow->packets[CF_FLOW_INGRESS])
		return CF_CLOSE_FIN;
	return CF_CLOSE_NONE;
}

/* The first packet of another connection between the same ports: nobody opens one on top of one that goes on. */
static __always_inline int cf_flow_is_reuse(const struct cf_flow *flow, uint8_t tcp_flags)
{
	return (tcp_flags & (CF_TCP_SYN | CF_TCP_ACK)) == CF_TCP_SYN &&
	       ((flow->tcp_flags[0] | flow->tcp_flags[1]) & (CF_TCP_FIN | CF_TCP_RST));
}

/* cf_flow_finish(), whether it says anything, without a branch: 0 or 1. */
static __always_inline uint64_t cf_flow_is_finished(const struct cf_flow *flow)
{
	uint64_t egress = flow->tcp_flags[CF_FLOW_EGRESS], ingress = flow->tcp_flags[CF_FLOW_INGRESS];
	uint64_t sent = flow->packets[CF_FLOW_EGRESS], received = flow->packets[CF_FLOW_INGRESS];
	uint64_t both_seen = (sent | -sent) & (received | -received);

	return ((egress | ingress) / CF_TCP_RST & 1) |
	       ((egress | ingress) & ((egress & ingress) | ~both_seen >> 63) & 1);
}

/* The time only ever goes on: other CPUs may be up to a tick ahead. Returns whether the flow can have ended by it. */
static __always_inline int cf_flow_add(struct cf_flow *flow, const struct cf_load *load, uint8_t tcp_flags,
				       int direction)
{
	__sync_fetch_and_add(&flow->packets[direction], load->packets);
	__sync_fetch_and_add(&flow->bytes[direction], load->bytes);
	if ((int64_t)(load->now - flow->last_seen_ns) > 0)
		flow->last_seen_ns = load->now;
	if ((flow->tcp_flags[direction] & tcp_flags) == tcp_flags)
		return 0;
	__sync_fetch_and_or(&flow->tcp_flags[direction], tcp_flags);
	return tcp_flags & (CF_TCP_FIN | CF_TCP_RST);
}
#endif
