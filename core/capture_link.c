/* SPDX-License-Identifier: MIT
 * Link headers of captures: see capture_link.h. */
#include <string.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <pcap/pcap.h>
#include "capture_link.h"

enum {
	COOKED_LEN = 16,
	COOKED2_LEN = 20,
	LOOPBACK_LEN = 4,
	COOKED_MAC_LEN = 6,
};

int cf_link_is_known(int link_type)
{
	switch (link_type) {
	case DLT_EN10MB:
	case DLT_LINUX_SLL:
	case DLT_LINUX_SLL2:
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
	case DLT_NULL:
	case DLT_LOOP:
		return 1;
	}
	return 0;
}

int cf_link_has_mac(int link_type)
{
	return link_type == DLT_EN10MB || link_type == DLT_LINUX_SLL || link_type == DLT_LINUX_SLL2;
}

const char *cf_link_known(void)
{
	return "EN10MB (Ethernet), LINUX_SLL and LINUX_SLL2 (cooked), RAW, IPV4, IPV6, NULL and LOOP (BSD loopback)";
}

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint8_t way(uint32_t packet_type)
{
	switch (packet_type) {
	case PACKET_HOST:
	case PACKET_BROADCAST:
	case PACKET_MULTICAST:
		return CF_LINK_CAME;
	case PACKET_OUTGOING:
		return CF_LINK_LEFT;
	}
	return CF_LINK_OTHERS;
}

/* By the version in the first byte: there is nothing else. What is neither is left to the parser to refuse. */
static uint16_t raw_type(const uint8_t *bytes, uint32_t len)
{
	return len && bytes[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
}

/* A number of the host's that captured, in its byte order, and for IPv6 each system has its own. */
static uint16_t family_type(const uint8_t *at)
{
	uint32_t family = at[0] || at[1] ? (uint32_t)at[0] | (uint32_t)at[1] << 8 : be16(at + 2);

	switch (family) {
	case 2:
		return ETH_P_IP;
	case 10:
	case 24:
	case 28:
	case 30:
		return ETH_P_IPV6;
	}
	return 0;
}

static void read_cooked(const uint8_t *bytes, struct cf_link *link)
{
	link->len = COOKED_LEN;
	link->way = way(be16(bytes));
	link->from_mac = be16(bytes + 4) == COOKED_MAC_LEN ? bytes + 6 : NULL;
	link->ethertype = be16(bytes + 14);
}

static void read_cooked2(const uint8_t *bytes, struct cf_link *link)
{
	link->len = COOKED2_LEN;
	link->way = way(bytes[10]);
	link->from_mac = bytes[11] == COOKED_MAC_LEN ? bytes + 12 : NULL;
	link->ethertype = be16(bytes);
}

static uint32_t header_len(int link_type)
{
	switch (link_type) {
	case DLT_EN10MB:
		return ETH_HLEN;
	case DLT_LINUX_SLL:
		return COOKED_LEN;
	case DLT_LINUX_SLL2:
		return COOKED2_LEN;
	case DLT_NULL:
	case DLT_LOOP:
		return LOOPBACK_LEN;
	}
	return 0;
}

void cf_link_read(int link_type, const uint8_t *bytes, uint32_t len, struct cf_link *link)
{
	memset(link, 0, sizeof(*link));
	link->len = (uint16_t)header_len(link_type);
	if (len < link->len) {
		link->is_cut = 1;
		return;
	}
	switch (link_type) {
	case DLT_EN10MB:
		link->to_mac = bytes;
		link->from_mac = bytes + ETH_ALEN;
		break;
	case DLT_LINUX_SLL:
		read_cooked(bytes, link);
		break;
	case DLT_LINUX_SLL2:
		read_cooked2(bytes, link);
		break;
	case DLT_NULL:
	case DLT_LOOP:
		link->ethertype = family_type(bytes);
		break;
	case DLT_IPV4:
		link->ethertype = ETH_P_IP;
		break;
	case DLT_IPV6:
		link->ethertype = ETH_P_IPV6;
		break;
	default:
		link->ethertype = raw_type(bytes, len);
	}
}
