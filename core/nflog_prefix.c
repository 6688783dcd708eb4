// SPDX-License-Identifier: MIT
/*
 * What the prefix of a log rule says: the only word that a packet of NFLOG has about its verdict, since a log statement
 * decides nothing. Rule sets that follow the convention put the prefix into the rule that then drops or accepts.
 */
#include <string.h>
#include "api.h"
#include "nflog.h"

static const struct {
	const char *text;
	size_t len;
	uint8_t verdict;
} words[] = {
	{ "cellflow:deny:", sizeof("cellflow:deny:") - 1, CF_VERDICT_DROP },
	{ "cellflow:allow:", sizeof("cellflow:allow:") - 1, CF_VERDICT_ACCEPT },
};

int cf_prefix_parse(const char *prefix, uint8_t *verdict, const char **rule, size_t *rule_len)
{
	size_t len;

	*verdict = CF_VERDICT_UNKNOWN;
	*rule = NULL;
	*rule_len = 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strncmp(prefix, words[i].text, words[i].len) != 0)
			continue;
		*verdict = words[i].verdict;
		*rule = prefix + words[i].len;
		len = strnlen(*rule, CF_EVENT_PREFIX_LEN - words[i].len);
		while (len && ((*rule)[len - 1] == ' ' || (*rule)[len - 1] == ':'))
			len--;
		*rule_len = len;
		return 1;
	}
	return 0;
}

/* For records: where in the prefix the name begins, and how long it is. */
uint32_t cf_prefix_rule(const char *prefix)
{
	const char *rule;
	uint8_t verdict;
	size_t len;

	if (!cf_prefix_parse(prefix, &verdict, &rule, &len) || len == 0)
		return 0;
	return (uint32_t)(rule - prefix) << 8 | (uint32_t)len;
}
