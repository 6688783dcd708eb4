/* SPDX-License-Identifier: MIT
 * The rule that a log prefix names: see cf_prefix_rule in api.h. What the word before it says of the packet's fate is
 * the NFLOG source's affair. */
#include <string.h>
#include "api.h"

static const char tag[] = "cellflow:";

uint32_t cf_prefix_rule(const char *prefix)
{
	size_t len = strnlen(prefix, CF_EVENT_PREFIX_LEN);
	size_t at = sizeof(tag) - 1;

	if (len <= at || memcmp(prefix, tag, at) != 0)
		return 0;
	while (at < len && prefix[at] >= 'a' && prefix[at] <= 'z')
		at++;
	/* A name needs a word before it: "cellflow::x" is nobody's. */
	if (at == sizeof(tag) - 1 || at == len || prefix[at] != ':')
		return 0;
	at++;
	while (len > at && (prefix[len - 1] == ' ' || prefix[len - 1] == ':'))
		len--;
	return len > at ? (uint32_t)(at << 8 | (len - at)) : 0;
}
