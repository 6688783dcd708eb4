/* SPDX-License-Identifier: MIT
 *
 * The entries of a verb's option table that fill a struct cf_select_options. What they mean is select.h's.
 */
#ifndef CF_SELECT_TABLE_H
#define CF_SELECT_TABLE_H
#include "select.h"

/* Entries of an option table; `given` is a struct cf_select_options. --since, --until and the name of the option for
 * cells are the verb's: those that read what has happened already have CF_SELECT_PAST_OPTIONS. */
#define CF_SELECT_FILTER(name, argument, help, given, which)                                                           \
	{                                                                                                              \
		name, 0, CF_OPTION_LIST, argument, help, &(given).filters[which], 0, 0                                 \
	}
/* clang-format off */
#define CF_SELECT_OPTIONS(given, cell_name)                                                                            \
	CF_SELECT_OUTPUT_OPTIONS(given), CF_SELECT_FILTER_OPTIONS(given, cell_name)
#define CF_SELECT_OUTPUT_OPTIONS(given)                                                                                \
	{ "output", 'o', CF_OPTION_TEXT, "FORMAT", "json, compact, table or csv, on stdout", &(given).output, 0, 0 },   \
	{ "color", 0, CF_OPTION_TEXT, "WHEN", "auto (default): on a terminal; never or always", &(given).color, 0, 0 }, \
	{ "limit", 0, CF_OPTION_NUMBER, "N", "end after so many records", &(given).limit, 1, 1LL << 53 }
#define CF_SELECT_FILTER_OPTIONS(given, cell_name)                                                                     \
	CF_SELECT_FILTER("where", "EXPR", "show records of which this is true, like\n"                                  \
			 "'dst_port == 443 and decision == \"deny\"'", given, CF_SELECT_WHERE),                         \
	CF_SELECT_FILTER("kind", "LIST", "show these only: opened, closed, updated, logged; this\n"                     \
			 "and what follows may be given often, and says \"or\"", given, CF_SELECT_KIND),                \
	CF_SELECT_FILTER("decision", "WHICH", "allow or deny", given, CF_SELECT_DECISION),                              \
	CF_SELECT_FILTER("protocol", "LIST", "tcp, udp, icmp, icmpv6 or numbers", given, CF_SELECT_PROTOCOL),           \
	CF_SELECT_FILTER("port", "LIST", "of either end: 443 or 8000-8100", given, CF_SELECT_PORT),                     \
	CF_SELECT_FILTER("from-port", "LIST", "source port", given, CF_SELECT_FROM_PORT),                               \
	CF_SELECT_FILTER("to-port", "LIST", "destination port", given, CF_SELECT_TO_PORT),                              \
	CF_SELECT_FILTER("ip", "LIST", "of either end: an address or network", given, CF_SELECT_IP),                    \
	CF_SELECT_FILTER("from-ip", "LIST", "source address or network", given, CF_SELECT_FROM_IP),                     \
	CF_SELECT_FILTER("to-ip", "LIST", "destination address or network", given, CF_SELECT_TO_IP),                    \
	CF_SELECT_FILTER(cell_name, "NAME", "records of this cell", given, CF_SELECT_CELL),                             \
	CF_SELECT_FILTER("reason", "CODE", "records with this reason code", given, CF_SELECT_REASON),                   \
	CF_SELECT_FILTER("rule", "NAME", "records that this rule decided", given, CF_SELECT_RULE)
#define CF_SELECT_PAST_OPTIONS(given)                                                                                  \
	CF_SELECT_FILTER("select-cell", "NAME", "the same, as run calls it", given, CF_SELECT_CELL),                    \
	CF_SELECT_FILTER("since", "TIME", "observed at or after a time, or 5m, 2h, 1d ago", given, CF_SELECT_SINCE),    \
	CF_SELECT_FILTER("until", "TIME", "observed before a time", given, CF_SELECT_UNTIL)
/* clang-format on */
#endif
