/* SPDX-License-Identifier: MIT
 *
 * What is in front of the network header, for each link type that a capture may have: how long it is, what follows,
 * and what it says of who sent the packet. Pure.
 */
#ifndef CF_CAPTURE_LINK_H
#define CF_CAPTURE_LINK_H
#include <stdint.h>

struct cf_link {
	const uint8_t *from_mac; /* NULL: not known */
	const uint8_t *to_mac;
	uint32_t is_cut; /* 1: ends within the link header */
	uint16_t len; /* bytes before the network header; 14: Ethernet, which says itself what follows */
	uint16_t ethertype; /* host order; 0: nothing known */
	uint8_t way; /* enum cf_link_way */
};

enum cf_link_way { /* as the host saw it that captured: cooked captures say so */
		   CF_LINK_UNSAID = 0,
		   CF_LINK_CAME = 1,
		   CF_LINK_LEFT = 2,
		   CF_LINK_OTHERS = 3, /* seen, but not for this host */
};

/* 1: packets of this DLT_* can be read. */
int cf_link_is_known(int link_type);
/* 1: packets say which MAC address they came from. */
int cf_link_has_mac(int link_type);
/* The names of all that are known, for errors. */
const char *cf_link_known(void);

void cf_link_read(int link_type, const uint8_t *bytes, uint32_t len, struct cf_link *link);
#endif
