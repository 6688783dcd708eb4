/* SPDX-License-Identifier: MIT
 * An allow-list in words: see allow_text.h. Names of cells are the recording's: they go out escaped, so that none ends
 * the comment that it stands in. */
#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>
#include "allow_text.h"
#include "clock.h"
#include "intern.h"
#include "recording_read.h"

static void put_time(FILE *to, int64_t ns)
{
	char text[CF_TIME_TEXT_LEN];

	/* Seconds are enough here. */
	if (cf_reader_time_text((uint64_t)ns, 0, text) >= strlen("2026-01-01T00:00:00"))
		text[strlen("2026-01-01T00:00:00")] = '\0';
	fprintf(to, "%sZ", text);
}

/* `lead` begins a comment. */
static void put_evidence(FILE *to, const char *lead, const struct cf_allow_entry *entry)
{
	fprintf(to, "%s%" PRIu64 " flow%s, ", lead, entry->flows, entry->flows == 1 ? "" : "s");
	if (entry->bytes)
		fprintf(to, "%" PRIu64 " bytes in those that ended, ", entry->bytes);
	put_time(to, entry->first_ns);
	fputs(" to ", to);
	put_time(to, entry->last_ns);
	fputs(", in", to);
	for (uint32_t i = 0; i < entry->cell_count; i++) {
		size_t len;
		const char *json = cf_intern_json(entry->cells[i], &len);

		if (json && len > 2 && len != SIZE_MAX)
			fprintf(to, "%s %.*s", i ? "," : "", (int)len - 2, json + 1);
	}
	fputs(entry->has_more_cells ? " and others\n" : "\n", to);
}

static void put_network(FILE *to, const struct cf_allow_list *list, const struct cf_allow_key *key)
{
	char text[CF_ADDRESS_TEXT_LEN];
	uint32_t is_ipv4 = key->family == CF_FAMILY_IPV4, bits = is_ipv4 ? 32 : 128;
	uint32_t prefix = is_ipv4 ? list->options.prefix4 : list->options.prefix6;

	text[cf_address_text(key->dst_addr, key->family, text)] = '\0';
	fputs(text, to);
	if (prefix < bits)
		fprintf(to, "/%u", prefix);
}

/* Says all that the key does, since no two rules may have one name, and in no more than the 63 bytes of a name. */
static void put_name(FILE *to, const struct cf_allow_list *list, const struct cf_allow_key *key)
{
	const char *protocol = cf_name_protocol(key->protocol);
	int is_bracketed = key->has_port && key->family == CF_FAMILY_IPV6;

	if (protocol)
		fputs(protocol, to);
	else
		fprintf(to, "proto %u", key->protocol);
	fputs(is_bracketed ? " [" : " ", to);
	put_network(to, list, key);
	fputs(is_bracketed ? "]" : "", to);
	if (key->has_port)
		fprintf(to, ":%u", key->dst_port);
	if (key->fragment)
		fputs(" fragments", to);
}

static void put_lua_rule(FILE *to, const struct cf_allow_list *list, const struct cf_allow_entry *entry)
{
	const struct cf_allow_key *key = &entry->key;
	const char *protocol = cf_name_protocol(key->protocol);

	put_evidence(to, "\n-- ", entry);
	fputs("allow \"", to);
	put_name(to, list, key);
	fputs("\" { direction = \"egress\", ", to);
	if (protocol)
		fprintf(to, "protocol = \"%s\", dst_addr = \"", protocol);
	else
		fprintf(to, "protocol_number = %u, dst_addr = \"", key->protocol);
	put_network(to, list, key);
	fputs("\"", to);
	if (key->has_port)
		fprintf(to, ", dst_port = %u", key->dst_port);
	if (key->fragment)
		fputs(", fragment = true", to);
	fputs(" }\n", to);
}

int cf_allow_text_lua(const struct cf_allow_list *list, FILE *to)
{
	fputs("-- What was seen, as an allow-list (cellflow suggest). Read each rule before you keep it: what was "
	      "seen\n"
	      "-- is not what is right.\n",
	      to);
	if (list->dropped)
		fprintf(to,
			"\n-- %" PRIu64 " events of packets that were dropped: they made no rule\n"
			"deny \"dropped\" { verdict = \"drop\" }\n",
			list->dropped);
	for (size_t i = 0; i < list->count; i++)
		put_lua_rule(to, list, &list->entries[i]);
	if (list->ingress)
		fprintf(to,
			"\n-- %" PRIu64 " events of flows that came in: this list says nothing of them\n"
			"allow \"ingress\" { direction = \"ingress\" }\n",
			list->ingress);
	fputs("\ndefault { decision = \"deny\", reason = \"not_declared\" }\n", to);
	return fflush(to) != 0 || ferror(to) ? -1 : 0;
}

static void put_nft_rule(FILE *to, const struct cf_allow_list *list, const struct cf_allow_entry *entry)
{
	const struct cf_allow_key *key = &entry->key;
	const char *protocol = cf_name_protocol(key->protocol);

	put_evidence(to, "\n\t\t# ", entry);
	if (key->fragment) {
		fputs("\t\t# later fragments: connection tracking has put them together before\n", to);
		return;
	}
	fprintf(to, "\t\t%s daddr ", key->family == CF_FAMILY_IPV4 ? "ip" : "ip6");
	put_network(to, list, key);
	if (key->has_port && (key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_UDP))
		fprintf(to, " %s dport %u accept\n", protocol, key->dst_port);
	else if (key->has_port)
		fprintf(to, " meta l4proto %u th dport %u accept\n", key->protocol, key->dst_port);
	else
		fprintf(to, " meta l4proto %u accept\n", key->protocol);
}

int cf_allow_text_nft(const struct cf_allow_list *list, FILE *to)
{
	fputs("# What was seen, as an allow-list (cellflow suggest), to be loaded in the cell's network namespace. "
	      "Read\n"
	      "# each rule before you keep it: what was seen is not what is right.\n"
	      "table inet cellflow_suggested {\n"
	      "\tchain output {\n"
	      "\t\ttype filter hook output priority filter; policy drop;\n"
	      "\t\toif \"lo\" accept\n"
	      "\t\tct state established,related accept\n"
	      "\t\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept\n",
	      to);
	for (size_t i = 0; i < list->count; i++)
		put_nft_rule(to, list, &list->entries[i]);
	fputs("\t}\n}\n", to);
	return fflush(to) != 0 || ferror(to) ? -1 : 0;
}
