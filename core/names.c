/* SPDX-License-Identifier: MIT
 * Numbers to words: see names.h. */
#include <netinet/in.h>
#include "event.h"
#include "names.h"

static const char *const kinds[] = {
	[CF_KIND_OPENED] = "opened",
	[CF_KIND_UPDATED] = "updated",
	[CF_KIND_CLOSED] = "closed",
	[CF_KIND_LOGGED] = "logged",
};
static const char *const sources[] = {
	[CF_SOURCE_EBPF] = "ebpf",
	[CF_SOURCE_NFLOG] = "nflog",
	[CF_SOURCE_REPLAY] = "replay",
};
static const char *const hooks[] = {
	[CF_HOOK_TC_EGRESS] = "tc_egress",	     [CF_HOOK_TC_INGRESS] = "tc_ingress",
	[CF_HOOK_NF_PREROUTING] = "nf_prerouting",   [CF_HOOK_NF_INPUT] = "nf_input",
	[CF_HOOK_NF_FORWARD] = "nf_forward",	     [CF_HOOK_NF_OUTPUT] = "nf_output",
	[CF_HOOK_NF_POSTROUTING] = "nf_postrouting", [CF_HOOK_NF_INGRESS] = "nf_ingress",
	[CF_HOOK_NF_EGRESS] = "nf_egress",
};
/* By struct cf_event's witnesses: every set of sources as one text, so that asking for it makes none. */
static const char *const witnesses[] = {
	[1 << CF_SOURCE_EBPF] = "ebpf",
	[1 << CF_SOURCE_NFLOG] = "nflog",
	[1 << CF_SOURCE_EBPF | 1 << CF_SOURCE_NFLOG] = "ebpf,nflog",
	[1 << CF_SOURCE_REPLAY] = "replay",
	[1 << CF_SOURCE_EBPF | 1 << CF_SOURCE_REPLAY] = "ebpf,replay",
	[1 << CF_SOURCE_NFLOG | 1 << CF_SOURCE_REPLAY] = "nflog,replay",
	[1 << CF_SOURCE_EBPF | 1 << CF_SOURCE_NFLOG | 1 << CF_SOURCE_REPLAY] = "ebpf,nflog,replay",
};
static const char *const directions[] = {
	[CF_DIRECTION_EGRESS] = "egress",
	[CF_DIRECTION_INGRESS] = "ingress",
};
static const char *const families[] = {
	[CF_FAMILY_IPV4] = "ipv4",
	[CF_FAMILY_IPV6] = "ipv6",
};
static const char *const verdicts[] = {
	[CF_VERDICT_ACCEPT] = "accept",
	[CF_VERDICT_DROP] = "drop",
};
static const char *const close_reasons[] = {
	[CF_CLOSE_FIN] = "fin",
	[CF_CLOSE_RST] = "rst",
	[CF_CLOSE_IDLE] = "idle",
	[CF_CLOSE_EVICTED] = "evicted",
	[CF_CLOSE_CELL_GONE] = "cell_gone",
	[CF_CLOSE_SHUTDOWN] = "shutdown",
};
static const char *const decisions[] = {
	[CF_ALLOW] = "allow",
	[CF_DENY] = "deny",
};
/* Four and no more: a label for a number that the sources do not parse would promise what we do not know. */
static const char *const protocols[] = {
	[IPPROTO_ICMP] = "icmp",
	[IPPROTO_TCP] = "tcp",
	[IPPROTO_UDP] = "udp",
	[IPPROTO_ICMPV6] = "icmpv6",
};

#define LOOKUP(function, table)                                                                                        \
	const char *function(uint32_t number)                                                                          \
	{                                                                                                              \
		return number < sizeof(table) / sizeof(table[0]) ? table[number] : NULL;                               \
	}

LOOKUP(cf_name_kind, kinds)
LOOKUP(cf_name_source, sources)
LOOKUP(cf_name_hook, hooks)
LOOKUP(cf_name_witnesses, witnesses)
LOOKUP(cf_name_direction, directions)
LOOKUP(cf_name_family, families)
LOOKUP(cf_name_verdict, verdicts)
LOOKUP(cf_name_close_reason, close_reasons)
LOOKUP(cf_name_decision, decisions)
LOOKUP(cf_name_protocol, protocols)

size_t cf_tcp_flags_text(uint32_t flags, char *out)
{
	static const char letters[] = "FSRPAUEC"; /* by bit, from the lowest */
	size_t len = 0;

	for (unsigned int bit = 0; bit < 8; bit++)
		if (flags & 1u << bit)
			out[len++] = letters[bit];
	out[len] = '\0';
	return len;
}
