/* SPDX-License-Identifier: MIT
 * Addresses as text: see address.h. */
#include <arpa/inet.h>
#include <string.h>
#include "address.h"
#include "json.h"

enum {
	GROUPS = 8,
};

static char *put_octet(char *at, unsigned int value)
{
	if (value < 10) {
		*at = '0' + value;
		return at + 1;
	}
	if (value >= 100) {
		*at++ = '0' + value / 100;
		value %= 100;
	}
	memcpy(at, cf_digit_pairs + 2 * value, 2);
	return at + 2;
}

static char *put_ipv4(char *at, const uint8_t *address)
{
	for (int i = 0; i < 4; i++) {
		if (i)
			*at++ = '.';
		at = put_octet(at, address[i]);
	}
	return at;
}

static char *put_group(char *at, unsigned int value)
{
	static const char digits[] = "0123456789abcdef";

	if (value >= 0x1000)
		*at++ = digits[value >> 12];
	if (value >= 0x100)
		*at++ = digits[value >> 8 & 15];
	if (value >= 0x10)
		*at++ = digits[value >> 4 & 15];
	*at++ = digits[value & 15];
	return at;
}

/* The longest run of two or more zero groups, the first of equals; *begin is GROUPS when there is none. */
static int find_zeros(const uint16_t *groups, int *begin)
{
	int best = 1;

	*begin = GROUPS;
	for (int i = 0; i < GROUPS; i++) {
		int len = 0;

		while (i + len < GROUPS && !groups[i + len])
			len++;
		if (len > best) {
			best = len;
			*begin = i;
		}
		i += len;
	}
	return best;
}

static char *put_ipv6(char *at, const uint8_t *address)
{
	uint16_t groups[GROUPS];
	int begin, len, end;

	for (int i = 0; i < GROUPS; i++)
		groups[i] = address[2 * i] << 8 | address[2 * i + 1];
	len = find_zeros(groups, &begin);
	end = begin == GROUPS ? GROUPS : begin + len;
	if (begin == 0 && (len == 6 || (len == 5 && groups[5] == 0xffff))) {
		memcpy(at, "::ffff:", 7);
		return put_ipv4(at + (len == 6 ? 2 : 7), address + 12);
	}
	for (int i = 0; i < GROUPS; i++) {
		if (i == begin) {
			*at++ = ':';
			*at++ = ':';
			i = end - 1;
			continue;
		}
		if (i && i != end)
			*at++ = ':';
		at = put_group(at, groups[i]);
	}
	return at;
}

size_t cf_address_text(const uint8_t *address, uint32_t family, char *out)
{
	char *end = out;

	if (family == CF_FAMILY_IPV4)
		end = put_ipv4(out, address);
	else if (family == CF_FAMILY_IPV6)
		end = put_ipv6(out, address);
	*end = '\0';
	return end - out;
}

uint32_t cf_address_parse(const char *text, size_t len, uint8_t *out)
{
	char copy[CF_ADDRESS_TEXT_LEN];
	uint8_t address[16] = { 0 };
	int family = AF_INET;

	/* inet_pton stops at a NUL: what follows it would be accepted unseen. */
	if (len >= sizeof(copy) || memchr(text, '\0', len))
		return 0;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (memchr(copy, ':', len))
		family = AF_INET6;
	if (inet_pton(family, copy, address) != 1)
		return 0;
	memcpy(out, address, sizeof(address));
	return family == AF_INET6 ? CF_FAMILY_IPV6 : CF_FAMILY_IPV4;
}
