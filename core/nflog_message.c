// SPDX-License-Identifier: MIT
/*
 * NFLOG's netlink messages to packets. Every length is checked against what is left: libmnl's own loops round it up to
 * 4 and so read past the end of a message that ends odd, and its calls cost more than the rest of the decoding. Reading
 * the socket is nflog.c's.
 */
#include <string.h>
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netfilter_arp.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include "nflog.h"

enum {
	MSG_PACKET = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET,
	HOOK_UNKNOWN = 0,
};

/* One message's attributes, as far as they are used. Numbers in host order. */
struct fields {
	const uint8_t *payload;
	const char *prefix;
	uint32_t payload_len;
	uint32_t prefix_len; /* at most */
	uint32_t indev;
	uint32_t outdev;
	uint32_t mark;
	uint32_t seq;
	uint16_t protocol; /* ethertype, as the kernel says */
	uint8_t hook; /* netfilter's number, of the family */
	uint8_t family; /* netfilter's */
	uint8_t has_seq;
	uint8_t has_header;
};

static uint32_t number(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return ntohl(value);
}

/* 0, or -1 when the attribute is not what its type says. */
static int attribute_take(struct fields *fields, uint16_t type, const uint8_t *at, uint32_t len)
{
	struct nfulnl_msg_packet_hdr header;

	switch (type) {
	case NFULA_PACKET_HDR:
		if (len < sizeof(header))
			return -1;
		memcpy(&header, at, sizeof(header));
		fields->protocol = ntohs(header.hw_protocol);
		fields->hook = header.hook;
		fields->has_header = 1;
		return 0;
	case NFULA_PAYLOAD:
		fields->payload = at;
		fields->payload_len = len;
		return 0;
	case NFULA_PREFIX:
		fields->prefix = (const char *)at;
		fields->prefix_len = len;
		return 0;
	case NFULA_IFINDEX_INDEV:
	case NFULA_IFINDEX_OUTDEV:
	case NFULA_MARK:
	case NFULA_SEQ:
		break;
	default:
		return 0;
	}
	if (len < sizeof(uint32_t))
		return -1;
	switch (type) {
	case NFULA_IFINDEX_INDEV:
		fields->indev = number(at);
		break;
	case NFULA_IFINDEX_OUTDEV:
		fields->outdev = number(at);
		break;
	case NFULA_MARK:
		fields->mark = number(at);
		break;
	default:
		fields->seq = number(at);
		fields->has_seq = 1;
	}
	return 0;
}

/* `at` and `len`: what follows the netlink header. 0, or -1 when something is not as it must be. */
static int message_read(struct fields *fields, const uint8_t *at, size_t len)
{
	struct nfgenmsg general;
	struct nlattr attribute;
	size_t step;

	memset(fields, 0, sizeof(*fields));
	if (len < sizeof(general))
		return -1;
	memcpy(&general, at, sizeof(general));
	fields->family = general.nfgen_family;
	at += sizeof(general);
	len -= sizeof(general);
	while (len) {
		if (len < sizeof(attribute))
			return -1;
		memcpy(&attribute, at, sizeof(attribute));
		if (attribute.nla_len < sizeof(attribute) || attribute.nla_len > len)
			return -1;
		if (attribute_take(fields, attribute.nla_type & NLA_TYPE_MASK, at + sizeof(attribute),
				   attribute.nla_len - sizeof(attribute)))
			return -1;
		step = NLA_ALIGN(attribute.nla_len);
		step = step < len ? step : len;
		at += step;
		len -= step;
	}
	return fields->has_header ? 0 : -1;
}

/* The bridge family numbers its hooks as the IP families do, but has no ingress of a device. */
static uint8_t hook_of(const struct fields *fields)
{
	static const uint8_t inet[] = {
		[NF_INET_PRE_ROUTING] = CF_HOOK_NF_PREROUTING,	 [NF_INET_LOCAL_IN] = CF_HOOK_NF_INPUT,
		[NF_INET_FORWARD] = CF_HOOK_NF_FORWARD,		 [NF_INET_LOCAL_OUT] = CF_HOOK_NF_OUTPUT,
		[NF_INET_POST_ROUTING] = CF_HOOK_NF_POSTROUTING, [NF_INET_INGRESS] = CF_HOOK_NF_INGRESS,
	};
	static const uint8_t netdev[] = {
		[NF_NETDEV_INGRESS] = CF_HOOK_NF_INGRESS,
		[NF_NETDEV_EGRESS] = CF_HOOK_NF_EGRESS,
	};
	static const uint8_t arp[] = {
		[NF_ARP_IN] = CF_HOOK_NF_INPUT,
		[NF_ARP_OUT] = CF_HOOK_NF_OUTPUT,
		[NF_ARP_FORWARD] = CF_HOOK_NF_FORWARD,
	};

	switch (fields->family) {
	case NFPROTO_NETDEV:
		return fields->hook < sizeof(netdev) ? netdev[fields->hook] : HOOK_UNKNOWN;
	case NFPROTO_ARP:
		return fields->hook < sizeof(arp) ? arp[fields->hook] : HOOK_UNKNOWN;
	case NFPROTO_INET:
	case NFPROTO_IPV4:
	case NFPROTO_IPV6:
	case NFPROTO_BRIDGE:
		return fields->hook < sizeof(inet) ? inet[fields->hook] : HOOK_UNKNOWN;
	}
	return HOOK_UNKNOWN;
}

/* As the cell sees it. A forwarded packet came from the cell or goes to it; only its devices say which. */
static uint8_t direction_of(const struct fields *fields, uint8_t hook, uint32_t cell_ifindex)
{
	switch (hook) {
	case CF_HOOK_NF_INPUT:
	case CF_HOOK_NF_PREROUTING:
	case CF_HOOK_NF_INGRESS:
		return CF_DIRECTION_INGRESS;
	case CF_HOOK_NF_FORWARD:
		if (cell_ifindex && fields->indev == cell_ifindex && fields->outdev != cell_ifindex)
			return CF_DIRECTION_INGRESS;
	}
	return CF_DIRECTION_EGRESS;
}

/* The family says what the packet is where it is one of IP's: hw_protocol is what the device or a socket said. */
static uint16_t ethertype_of(const struct fields *fields)
{
	if (fields->family == NFPROTO_IPV4)
		return ETH_P_IP;
	if (fields->family == NFPROTO_IPV6)
		return ETH_P_IPV6;
	return fields->protocol;
}

static void prefix_set(struct cf_nflog_packet *packet, const struct fields *fields)
{
	uint32_t room = CF_EVENT_PREFIX_LEN - 1;
	size_t len = 0, rule_len;
	const char *rule;

	if (fields->prefix)
		len = strnlen(fields->prefix, fields->prefix_len < room ? fields->prefix_len : room);
	/* Rules repeat: most packets have the prefix of the one before. */
	if (len && len == packet->prefix_len && !memcmp(packet->prefix, fields->prefix, len))
		return;
	memset(packet->prefix, 0, sizeof(packet->prefix));
	if (len)
		memcpy(packet->prefix, fields->prefix, len);
	packet->prefix_len = len;
	cf_prefix_parse(packet->prefix, &packet->verdict, &rule, &rule_len);
}

/* Signed distance: a number before the expected one is none that we missed, so it begins a new count. What the socket
 * held when it overran is read after the kernel said so, and settles nothing: the kernel puts nothing more into a full
 * socket before it was emptied, so an overrun is settled by the first gap, or by any packet that came into an empty
 * one. */
static void sequence_follow(struct cf_nflog *nflog, const struct fields *fields)
{
	int32_t missing = fields->seq - nflog->next_seq;

	if (!fields->has_seq)
		return;
	if (missing > 0) {
		nflog->numbers.lost += missing;
		nflog->numbers.unsettled -= nflog->numbers.unsettled > 0;
	}
	if (nflog->is_drained)
		nflog->numbers.unsettled = 0;
	nflog->next_seq = fields->seq + 1;
}

static void packet_make(struct cf_nflog *nflog, const struct fields *fields, uint64_t now_ns)
{
	struct cf_nflog_packet *packet = &nflog->packet;
	uint16_t link_len;
	int result;

	packet->key.cell = nflog->cell;
	packet->time_ns = now_ns;
	packet->hook = hook_of(fields);
	packet->direction = direction_of(fields, packet->hook, nflog->cell_ifindex);
	packet->ifindex = packet->direction == CF_DIRECTION_EGRESS && fields->outdev ? fields->outdev : fields->indev;
	packet->mark = fields->mark;
	prefix_set(packet, fields);
	link_len = packet->hook == CF_HOOK_NF_EGRESS ? nflog->egress_link_len : 0;
	result = cf_packet_parse(fields->payload, fields->payload_len, 0, link_len, ethertype_of(fields),
				 &packet->facts, &packet->key);
	packet->parse = result;
	nflog->numbers.packets++;
	if (result != CF_STAT_PARSED) {
		nflog->numbers.unparsed[result - CF_STAT_UNPARSED_NOT_IP]++;
		memset(&packet->load, 0, sizeof(packet->load));
		return;
	}
	nflog->numbers.parsed++;
	packet->source_end = cf_packet_sort(&packet->key);
	cf_packet_measure(&packet->facts, 0, &packet->load);
	packet->load.now = now_ns;
}

uint32_t cf_nflog_decode(struct cf_nflog *nflog, const uint8_t *data, size_t len, uint64_t now_ns, cf_nflog_fn *each,
			 void *context)
{
	struct nlmsghdr header;
	struct fields fields;
	uint32_t count = 0;
	size_t step;

	for (; len; data += step, len -= step) {
		if (len < sizeof(header))
			break;
		memcpy(&header, data, sizeof(header));
		if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > len)
			break;
		step = NLMSG_ALIGN(header.nlmsg_len);
		step = step < len ? step : len;
		if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_NOOP) /* ends a batch */
			continue;
		if (header.nlmsg_type != MSG_PACKET ||
		    message_read(&fields, data + sizeof(header), header.nlmsg_len - sizeof(header))) {
			nflog->numbers.refused++;
			continue;
		}
		sequence_follow(nflog, &fields);
		packet_make(nflog, &fields, now_ns);
		each(context, &nflog->packet);
		count++;
	}
	/* Where a message's length is not to be believed, nothing after it can be found. */
	nflog->numbers.refused += len != 0;
	return count;
}
