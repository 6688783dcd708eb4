/* SPDX-License-Identifier: MIT
 * Members out of a record's JSON: see record_member.h. It is our own JSON, so nothing of it is in doubt. */
#include <string.h>
#include "record_member.h"

const char *const cf_member_names[CF_MEMBER_COUNT] = {
	"schema_version",
	"type",
	"kind",
	"cell_id",
	"run_id",
	"decision_id",
	"direction",
	"decision",
	"reason_code",
	"rule",
	"nft_rule_ref",
	"decided_at",
	"error_at",
	"src_addr",
	"src_port",
	"dst_addr",
	"dst_port",
	"protocol",
	"protocol_number",
	"family",
	"icmp_type",
	"icmp_code",
	"icmp_id",
	"tcp_flags",
	"fragment",
	"vlan",
	"mark",
	"source",
	"witnesses",
	"hook",
	"verdict",
	"conflict",
	"reopened",
	"midstream",
	"packet_count",
	"byte_count",
	"reply_packet_count",
	"reply_byte_count",
	"duration_ms",
	"close_reason",
	"interface",
	"generation",
	"policy_digest",
	"keyset_id",
	"issuer_kid",
	"correlation_id",
	"first_seen",
	"observed_at",
	"prefix",
};

/* Pages that no record reaches are never touched. */
static char record[CF_LINE_MAX];

static const char *string_end(const char *at)
{
	for (at++; *(at += strcspn(at, "\"\\")) == '\\'; at += 2)
		;
	return at + 1;
}

/* `at` is a value of the record's: a string, a list of strings, or a word without quotes. */
static const char *value_end(const char *at)
{
	if (*at == '"')
		return string_end(at);
	if (*at != '[')
		return at + strcspn(at, ",}");
	for (at++; *at != ']'; at += *at == ',')
		at = string_end(at);
	return at + 1;
}

/* Its index, at `from` or behind it; CF_MEMBER_COUNT: none. */
static int find(int from, const char *name, size_t len)
{
	while (from < CF_MEMBER_COUNT && (*cf_member_names[from] != *name ||
					  strncmp(cf_member_names[from], name, len) != 0 || cf_member_names[from][len]))
		from++;
	return from;
}

int cf_record_members(const struct cf_event *event, const struct cf_decision *decision,
		      struct cf_member members[CF_MEMBER_COUNT])
{
	const char *at = record;
	int index = 0;

	if (cf_record_json(event, decision, record, sizeof(record)) == 0)
		return -1;
	memset(members, 0, CF_MEMBER_COUNT * sizeof(members[0]));
	while (*at != '}') {
		const char *name = at + 2; /* behind the brace or comma and the quote */
		const char *value = string_end(at + 1) + 1;
		int found = find(index, name, (size_t)(value - 2 - name));

		at = value_end(value);
		if (found == CF_MEMBER_COUNT)
			continue;
		members[found] = (struct cf_member){ value, (size_t)(at - value) };
		index = found + 1;
	}
	return 0;
}
