/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * A packet's bytes to the facts that an event needs: what bpf/parse.h finds (the tc program includes it, core/packet.c
 * compiles it for user space, so that both follow one set of rules), and what the packet weighs. Pure: reads the bytes
 * it is given, keeps and counts nothing.
 */
#ifndef CF_PACKET_H
#define CF_PACKET_H
#include <stdint.h>
#include "flow.h"

/* What beside the flow key was found. */
struct cf_packet {
	uint32_t network; /* offsets from the start of the buffer */
	uint32_t transport;
	uint32_t payload;
	uint32_t network_len; /* as the network header states it; 0: it does not (jumbo and GSO buffers) */
	uint16_t flags; /* enum cf_event_flag */
	uint16_t vlan;
	uint8_t tcp_flags;
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint8_t copied; /* 1: some header was outside the linear part (tc program only) */
};

/* What one buffer is on the wire. */
struct cf_load {
	uint64_t packets;
	uint64_t bytes; /* network-layer bytes; 0: not known */
	uint64_t now; /* CLOCK_BOOTTIME, ns */
};

/* Parse `len` captured bytes of a packet that had `wire_len` (>= len; 0: not known, then what the network header
 * states is believed where it is more than `len`). link_len: 14, an Ethernet header whose ethertype (and VLAN tags)
 * decide; or another, so many bytes are before what `ethertype` (host order) says. A packet is truncated only when a
 * header byte that must be read is missing, so a capture that cuts payload off changes nothing.
 * Fills `packet` and `key` anew, except that key->cell is kept; returns CF_STAT_PARSED or CF_STAT_UNPARSED_*, and key
 * is complete only with the former. Its ends are in the packet's order: 0 is the source (cf_packet_sort).
 * `bytes` needs no alignment and may be NULL when len is 0. */
int cf_packet_parse(const uint8_t *bytes, uint32_t len, uint32_t wire_len, uint16_t link_len, uint16_t ethertype,
		    struct cf_packet *packet, struct cf_flow_key *key);

/* Bring the key's ends into the flow table's order; returns the end at which the packet's source is now. */
uint8_t cf_packet_sort(struct cf_flow_key *key);

/* What a parsed packet weighs: one packet (nobody says how many segments a GSO buffer becomes), and the network-layer
 * bytes that its header states where that can be, else those on the wire; 0 where neither is known. Leaves `now`. */
void cf_packet_measure(const struct cf_packet *packet, uint32_t wire_len, struct cf_load *load);
#endif
