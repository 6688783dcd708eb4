/* SPDX-License-Identifier: MIT
 *
 * Packets that netfilter rules log to an NFLOG group (nft: `log group 100`, iptables: `-j NFLOG --nflog-group 100`),
 * from a netlink socket in the cell's namespace: opening (privileged), reading and decoding (not privileged). Counts
 * what the kernel could not deliver. What becomes of a packet (a flow, an event) is the caller's business.
 */
#ifndef CF_NFLOG_H
#define CF_NFLOG_H
#include <stddef.h>
#include <stdint.h>
#include "event.h"
#include "flow.h"
#include "packet.h"
struct cf_error;

/* Open a socket in the namespace `nsfd` and bind it to `group` (1..65535). 0 and *fd (O_CLOEXEC, non-blocking; the
 * caller closes it), or -1 with CF_FAIL_USAGE (group 0 or too large), CF_FAIL_SETNS, CF_FAIL_UNSUPPORTED_HOST (no
 * nfnetlink_log, or privileges missing), CF_FAIL_ATTACH (the group is bound by somebody else, who is named by its
 * netlink port; or the kernel refused). The caller keeps nsfd. After that no privilege is needed: the descriptor can be
 * handed to any process. It pins the namespace, which then outlives its last process and its name without a word (no
 * RTM_DELNSID comes), so whoever holds it must learn of the cell's end elsewhere and close it. Closing unbinds the
 * group.
 *
 * What a rule's log says is as true as who may write rules: root of a cell that owns its namespace can log anything. */
int cf_nflog_open(int nsfd, uint32_t group, int *fd, struct cf_error *error);

/* Unbind: no more packets come, and what the kernel still kept back to fill a batch can be read at once. Needs the
 * privileges of opening; whoever reads the socket goes on until it is empty. */
void cf_nflog_end(int fd, uint32_t group);

enum { CF_NFLOG_UNPARSED = CF_STAT_FLOW_HIT - CF_STAT_UNPARSED_NOT_IP };

/* packets = parsed + all of unparsed. What the group's rules logged = packets + lost, exactly, while nothing is
 * unsettled: it is the number of a later packet that shows what is missing before it. (Unnumbered, so lost unseen, are
 * only packets for which the kernel had no memory to say anything.) */
struct cf_nflog_numbers {
	uint64_t packets;
	uint64_t parsed;
	uint64_t unparsed[CF_NFLOG_UNPARSED]; /* by CF_STAT_UNPARSED_* - CF_STAT_UNPARSED_NOT_IP */
	uint64_t lost; /* gaps in the kernel's numbers: packets that it logged and could not deliver */
	uint64_t overruns; /* times that the kernel said so (ENOBUFS); one may stand for thousands of lost packets */
	uint64_t unsettled; /* of these, those after which no packet came yet: in each, one or more that `lost` lacks */
	uint64_t refused; /* netlink messages that are malformed, no NFLOG packet, or not from the kernel */
};

struct cf_nflog_packet {
	struct cf_flow_key key; /* sorted; complete only when parse is CF_STAT_PARSED, and so are facts and load */
	struct cf_packet facts;
	struct cf_load load; /* one packet: NFLOG sees a GSO buffer as one, and does not say how many it becomes */
	/* CLOCK_BOOTTIME at the read, one for all packets of a read: later than the packet by up to the kernel's flush
	 * interval (10 ms). NFULA_TIMESTAMP is the time of day, and only packets that were received have it. */
	uint64_t time_ns;
	uint32_t ifindex; /* in the cell's namespace; egress: of the device it goes to, else it came from; 0: none */
	uint32_t mark; /* 0: none */
	uint8_t parse; /* CF_STAT_PARSED or CF_STAT_UNPARSED_* */
	uint8_t verdict; /* enum cf_verdict, by the rule's prefix */
	uint8_t hook; /* enum cf_hook; 0: one that we do not know */
	uint8_t direction; /* enum cf_direction */
	uint8_t source_end; /* end of the key that is the packet's source */
	uint8_t prefix_len; /* without the NUL */
	uint8_t pad0[2]; /* zero */
	char prefix[CF_EVENT_PREFIX_LEN]; /* the rest is zero */
};

/* One socket's reader. Zeroed by cf_nflog_init; fields that the caller may set are said. */
struct cf_nflog {
	int fd; /* the caller's, and it closes it */
	uint32_t cell; /* stamped on every key */
	uint32_t cell_ifindex; /* of the cell's interface: tells a forwarded packet's direction; 0: not known */
	uint16_t egress_link_len; /* 14; set to 0 for tun: of all hooks only nf_egress logs the link header, too */
	uint16_t is_drained; /* 1: was found empty since the last overrun, so what comes next is later than its loss */
	uint32_t next_seq; /* number that the next packet has if nothing is lost */
	struct cf_nflog_numbers numbers;
	struct cf_nflog_packet packet; /* the one in hand */
};

/* `packet` is valid during the call only. Called for every packet, parsed or not. */
typedef void cf_nflog_fn(void *context, const struct cf_nflog_packet *packet);

/* A reader of a socket whose group was bound just now, and that nobody has read: the first number is 0, so that what is
 * lost before the first read is counted, too. */
void cf_nflog_init(struct cf_nflog *nflog, int fd, uint32_t cell, uint32_t cell_ifindex);

/* Read what is there, never waiting, until `max_messages` packets were handed to `each` (and not much further: what one
 * read brought is finished, about 1,000 packets at most). Returns the number of packets, 0 when there are none, or
 * -errno when the socket is unusable; an overrun (ENOBUFS) is counted and read on. Call again while the answer is
 * >= max_messages. All readers of a process share one buffer: one thread. */
int cf_nflog_read(struct cf_nflog *nflog, uint32_t max_messages, cf_nflog_fn *each, void *context);

/* What cf_nflog_read does with one datagram of the kernel's: any number of netlink messages, whatever they hold.
 * Returns the number of packets. */
uint32_t cf_nflog_decode(struct cf_nflog *nflog, const uint8_t *data, size_t len, uint64_t now_ns, cf_nflog_fn *each,
			 void *context);

/* What a rule's log prefix says: `cellflow:deny:NAME` and `cellflow:allow:NAME` are verdicts of the rule NAME (drop and
 * accept); of any other text the verdict is unknown and there is no rule. Returns 1 and sets all three (`rule` points
 * into `prefix`, rule_len may be 0: NAME is empty), or 0 with CF_VERDICT_UNKNOWN, NULL and 0. Spaces and colons at
 * the end, which rule sets often add, belong to no name. */
int cf_prefix_parse(const char *prefix, uint8_t *verdict, const char **rule, size_t *rule_len);
#endif
