/* SPDX-License-Identifier: MIT
 * The rule that a log prefix names: see cf_prefix_rule in api.h. What the word before it says of the packet's fate is
 * the NFLOG source's affair. */
#include <string.h>
#include "api.h"

static const char *const tags[] = { "cellflow:deny:", "cellflow:allow:" };

static size_t tag_len(const char *prefix)
{
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (strncmp(prefix, tags[i], strlen(tags[i])) == 0)
			return strlen(tags[i]);
	return 0;
}

uint32_t cf_prefix_rule(const char *prefix)
{
	size_t at = tag_len(prefix);
	size_t len = at ? strnlen(prefix, CF_EVENT_PREFIX_LEN) : 0;

	while (len > at && (prefix[len - 1] == ' ' || prefix[len - 1] == ':'))
		len--;
	return len > at ? (uint32_t)(at << 8 | (len - at)) : 0;
}
