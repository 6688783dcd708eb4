/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Packet bytes to a flow key and the few facts that an event needs beside it. Pure reading: nothing is counted,
 * kept or written here. Every outcome is one of CF_STAT_PARSED and CF_STAT_UNPARSED_*, so that the caller's
 * counters add up whatever the bytes are. Tunnels are not opened: the outer tuple is the flow.
 */
#ifndef CF_BPF_PARSE_H
#define CF_BPF_PARSE_H
#include "packet.h"

enum {
	CF_VLAN_TAGS_MAX = 2, /* in the payload; one more may be in the skb's metadata */
	CF_EXTENSIONS_MAX = 8,
	CF_IPV4_OFFSET = 0x1fff,
	CF_IPV6_OFFSET = 0xfff8,
	CF_ICMP_ECHO_REPLY = 0,
	CF_ICMP_ECHO = 8,
	CF_ICMPV6_ECHO = 128,
	CF_ICMPV6_ECHO_REPLY = 129,
	CF_GSO_BY_FRAGS = 0xffff,
};

/* What all the transports with ports begin with; TCP's 20 bytes, and the first bytes of the others. */
struct cf_transport {
	__be16 src_port;
	__be16 dst_port;
	__u8 rest[8];
	__u8 tcp_offset; /* header length in 32-bit words, in the upper 4 bits */
	__u8 tcp_flags;
	__u8 tcp_rest[6];
};

/* Where the bytes are: the tc program's buffer, or what user space defines before it includes this (core/packet.c):
 * CF_PARSE_BUFFER, a type with the members len, protocol, vlan_present and vlan_tci of struct __sk_buff, and the
 * functions cf_bound, cf_read and cf_link_len on it. */
#ifdef __bpf__
#define CF_PARSE_BUFFER struct __sk_buff

/* The same bounds wherever an offset came from. Two bytes of stack are where the verifier forgets what it knew of
 * a number; with that knowledge it would walk everything below once for each length that the headers above can have.
 * Nothing is cut off: the longest chain of headers ends well below 32 KiB. */
static __always_inline __u32 cf_bound(__u32 offset)
{
	volatile __u16 unknown = offset;

	return unknown & 0x7fff;
}

/* data..data_end is only the linear head, and its length is the sender's choice (AF_PACKET, tun): where it ends
 * says nothing about the packet. Fails only if the packet itself ends before offset + len. */
static __always_inline int cf_read(struct __sk_buff *skb, struct cf_packet *packet, __u32 offset, void *to, __u32 len)
{
	void *at = (void *)(long)skb->data + offset;

	/* The verifier accepts only the register that was compared: keep the compiler from computing it anew. */
	asm volatile("" : "+r"(at));
	if (at + len <= (void *)(long)skb->data_end) {
		/* Headers are at multiples of 4 (2 when only 2 are read); unsaid, they would be loaded byte by byte. */
		__builtin_memcpy(to, __builtin_assume_aligned(at, 4), len);
		return 0;
	}
	if (bpf_skb_load_bytes(skb, offset, to, len))
		return -1;
	packet->copied = 1;
	return 0;
}

static __always_inline __u32 cf_link_len(const struct __sk_buff *skb)
{
	(void)skb;
	return cf_config.link_len;
}
#endif

static __always_inline void cf_parse_ports(const struct cf_transport *header, struct cf_packet *packet,
					   struct cf_flow_key *key)
{
	key->port[0] = bpf_ntohs(header->src_port);
	key->port[1] = bpf_ntohs(header->dst_port);
	packet->flags |= CF_EVENT_PORTS;
}

static __always_inline int cf_parse_tcp(CF_PARSE_BUFFER *skb, struct cf_packet *packet, struct cf_flow_key *key)
{
	struct cf_transport header;
	__u32 len;

	if (cf_read(skb, packet, packet->transport, &header, sizeof(header)))
		return CF_STAT_UNPARSED_TRUNCATED;
	cf_parse_ports(&header, packet, key);
	packet->flags |= CF_EVENT_TCP;
	packet->tcp_flags = header.tcp_flags;
	len = (header.tcp_offset >> 4) * 4;
	packet->payload = packet->transport + (len < sizeof(header) ? sizeof(header) : len);
	return CF_STAT_PARSED;
}

/* UDP, UDP-Lite, SCTP and DCCP: ports in the first 4 bytes, but a packet that ends inside the fixed header
 * has no such flow, whatever its first bytes look like. */
static __always_inline int cf_parse_datagram(CF_PARSE_BUFFER *skb, struct cf_packet *packet, struct cf_flow_key *key,
					     __u32 len)
{
	struct cf_transport header;

	if (cf_read(skb, packet, packet->transport, &header, len))
		return CF_STAT_UNPARSED_TRUNCATED;
	cf_parse_ports(&header, packet, key);
	packet->payload = packet->transport + len;
	return CF_STAT_PARSED;
}

/* All that the messages of ICMP have in common is 4 bytes, and ICMPv6 has messages of 6 (RPL's solicitation). Asking
 * for 8 of them would let a cell send ICMP that no policy is asked about. Only echo has its identifier after that. */
static __always_inline int cf_parse_icmp(CF_PARSE_BUFFER *skb, struct cf_packet *packet, struct cf_flow_key *key)
{
	struct {
		__u8 type;
		__u8 code;
		__be16 checksum;
	} header;
	struct {
		__be16 id;
		__be16 sequence;
	} echo;
	__u8 request = key->family == CF_FAMILY_IPV4 ? CF_ICMP_ECHO : CF_ICMPV6_ECHO;
	__u8 reply = key->family == CF_FAMILY_IPV4 ? CF_ICMP_ECHO_REPLY : CF_ICMPV6_ECHO_REPLY;
	__u16 port;

	if (cf_read(skb, packet, packet->transport, &header, sizeof(header)))
		return CF_STAT_UNPARSED_TRUNCATED;
	packet->flags |= CF_EVENT_ICMP;
	packet->icmp_type = header.type;
	packet->icmp_code = header.code;
	packet->payload = packet->transport + sizeof(header);
	port = header.type << 8 | header.code;
	if (header.type == request || header.type == reply) {
		if (cf_read(skb, packet, packet->transport + sizeof(header), &echo, sizeof(echo)))
			return CF_STAT_UNPARSED_TRUNCATED;
		packet->flags |= CF_EVENT_ICMP_ID;
		packet->payload += sizeof(echo);
		port = bpf_ntohs(echo.id);
		key->icmp_echo = 1;
	}
	key->port[0] = port;
	key->port[1] = port;
	return CF_STAT_PARSED;
}

static __always_inline int cf_parse_transport(CF_PARSE_BUFFER *skb, struct cf_packet *packet, struct cf_flow_key *key)
{
	/* Nothing below reads a header of an unknown protocol or of a later fragment, so this is the one place that
	 * sees a packet end inside IPv4 options or an IPv6 extension header. */
	if (packet->transport > skb->len)
		return CF_STAT_UNPARSED_TRUNCATED;
	packet->payload = packet->transport;
	if (key->fragment) {
		packet->flags |= CF_EVENT_FRAGMENT;
		return CF_STAT_PARSED;
	}
	switch (key->protocol) {
	case IPPROTO_TCP:
		return cf_parse_tcp(skb, packet, key);
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return cf_parse_datagram(skb, packet, key, 8);
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		return cf_parse_datagram(skb, packet, key, 12);
	case IPPROTO_ICMP:
		return key->family == CF_FAMILY_IPV4 ? cf_parse_icmp(skb, packet, key) : CF_STAT_PARSED;
	case IPPROTO_ICMPV6:
		return key->family == CF_FAMILY_IPV6 ? cf_parse_icmp(skb, packet, key) : CF_STAT_PARSED;
	}
	return CF_STAT_PARSED;
}

static __always_inline int cf_parse_ipv4(CF_PARSE_BUFFER *skb, struct cf_packet *packet, struct cf_flow_key *key)
{
	struct iphdr header;

	if (cf_read(skb, packet, packet->network, &header, sizeof(header)))
		return CF_STAT_UNPARSED_TRUNCATED;
	if (header.version != 4 || header.ihl < 5)
		return CF_STAT_UNPARSED_BAD_HEADER;
	key->family = CF_FAMILY_IPV4;
	key->protocol = header.protocol;
	key->fragment = (header.frag_off & bpf_htons(CF_IPV4_OFFSET)) != 0;
	__builtin_memcpy(key->addr[0], &header.saddr, sizeof(header.saddr));
	__builtin_memcpy(key->addr[1], &header.daddr, sizeof(header.daddr));
	packet->network_len = bpf_ntohs(header.tot_len);
	packet->transport = cf_bound(packet->network + header.ihl * 4);
	return CF_STAT_PARSED;
}

/* An allow-list: what is not known to be laid out as an extension header is a payload (ESP, no-next-header, a
 * number of tomorrow), and walking on through it would let its sender forge ports. */
static __always_inline int cf_is_extension(__u8 header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_FRAGMENT ||
	       header == IPPROTO_AH || header == IPPROTO_DSTOPTS;
}

static __always_inline int cf_parse_extensions(CF_PARSE_BUFFER *skb, struct cf_packet *packet, struct cf_flow_key *key)
{
	struct {
		__u8 next;
		__u8 len;
		__be16 offset; /* in a fragment header */
	} header;

#ifdef __clang__
#pragma clang loop unroll(disable)
#endif
	for (int i = 0; cf_is_extension(key->protocol); i++) {
		if (i == CF_EXTENSIONS_MAX)
			return CF_STAT_UNPARSED_EXT_TOO_DEEP;
		if (cf_read(skb, packet, packet->transport, &header, sizeof(header)))
			return CF_STAT_UNPARSED_TRUNCATED;
		if (key->protocol == IPPROTO_FRAGMENT) {
			packet->transport += 8;
			key->fragment = (header.offset & bpf_htons(CF_IPV6_OFFSET)) != 0;
		} else if (key->protocol == IPPROTO_AH) {
			packet->transport += (header.len + 2) * 4;
		} else {
			packet->transport += (header.len + 1) * 8;
		}
		packet->transport = cf_bound(packet->transport);
		key->protocol = header.next;
		if (key->fragment) /* the next header's bytes are in the first fragment; here is payload */
			break;
	}
	return CF_STAT_PARSED;
}

static __always_inline int cf_parse_ipv6(CF_PARSE_BUFFER *skb, struct cf_packet *packet, struct cf_flow_key *key)
{
	struct ipv6hdr header;

	if (cf_read(skb, packet, packet->network, &header, sizeof(header)))
		return CF_STAT_UNPARSED_TRUNCATED;
	if (header.version != 6)
		return CF_STAT_UNPARSED_BAD_HEADER;
	key->family = CF_FAMILY_IPV6;
	key->protocol = header.nexthdr;
	__builtin_memcpy(key->addr[0], &header.saddr, sizeof(header.saddr));
	__builtin_memcpy(key->addr[1], &header.daddr, sizeof(header.daddr));
	if (header.payload_len)
		packet->network_len = bpf_ntohs(header.payload_len) + sizeof(header);
	packet->transport = cf_bound(packet->network + sizeof(header));
	return cf_parse_extensions(skb, packet, key);
}

/* Walks the tags. A tag can be in the metadata, in the bytes, or in both; the one in the metadata is outermost. */
static __always_inline int cf_parse_vlan(CF_PARSE_BUFFER *skb, struct cf_packet *packet, __be16 *protocol)
{
	struct {
		__be16 tci;
		__be16 protocol;
	} tag;

	if (skb->vlan_present) {
		packet->vlan = skb->vlan_tci & 0xfff;
		packet->flags |= CF_EVENT_VLAN;
	}
	for (int i = 0; *protocol == bpf_htons(ETH_P_8021Q) || *protocol == bpf_htons(ETH_P_8021AD); i++) {
		if (i == CF_VLAN_TAGS_MAX)
			return CF_STAT_UNPARSED_VLAN_TOO_DEEP;
		if (cf_read(skb, packet, packet->network, &tag, sizeof(tag)))
			return CF_STAT_UNPARSED_TRUNCATED;
		if (!(packet->flags & CF_EVENT_VLAN)) {
			packet->vlan = bpf_ntohs(tag.tci) & 0xfff;
			packet->flags |= CF_EVENT_VLAN;
		}
		packet->network += sizeof(tag);
		*protocol = tag.protocol;
	}
	return CF_STAT_PARSED;
}

/* The ends of key are left in the packet's order: 0 is the source. key is complete only if CF_STAT_PARSED. */
static __always_inline int cf_parse(CF_PARSE_BUFFER *skb, struct cf_packet *packet, struct cf_flow_key *key)
{
	__be16 protocol = skb->protocol;
	int result;

	packet->network = cf_link_len(skb);
	/* The bytes decide, not skb->protocol: that one is whatever a packet socket's owner said. */
	if (cf_link_len(skb) == ETH_HLEN &&
	    cf_read(skb, packet, offsetof(struct ethhdr, h_proto), &protocol, sizeof(protocol)))
		return CF_STAT_UNPARSED_TRUNCATED;
	result = cf_parse_vlan(skb, packet, &protocol);
	if (result != CF_STAT_PARSED)
		return result;
	if (protocol == bpf_htons(ETH_P_IP))
		result = cf_parse_ipv4(skb, packet, key);
	else if (protocol == bpf_htons(ETH_P_IPV6))
		result = cf_parse_ipv6(skb, packet, key);
	else
		result = CF_STAT_UNPARSED_NOT_IP;
	return result == CF_STAT_PARSED ? cf_parse_transport(skb, packet, key) : result;
}
#endif
