/* SPDX-License-Identifier: MIT
 *
 * The network_flow_decision record: one event and what policy said of it, as one JSON object. Also owns
 * cf_decision_id_text (api.h), which needs the same plan. Writing it anywhere is the sink's. One thread only.
 */
#ifndef CF_RECORD_H
#define CF_RECORD_H
#include "api.h"
#include "error.h"
struct cf_plan;

/* Escape once what the plan stamps on every record (cell, run, interface, metadata). Copies what it needs. May be
 * called again for another plan; on failure (-1, no memory) the earlier plan stays bound. */
int cf_record_bind(const struct cf_plan *plan, struct cf_error *err);
void cf_record_unbind(void);

/* One JSON object without a newline into `out`; returns its length, or 0 when it does not fit in `size` bytes or no
 * plan is bound. Members in this order, and only those that are known: schema_version, type, kind, cell_id, run_id,
 * decision_id, direction, decision, reason_code, rule, decided_at, error_at, src_addr, src_port, dst_addr, dst_port,
 * protocol (four have a label), protocol_number, family, icmp_type, icmp_code, icmp_id, tcp_flags, fragment (only when
 * true), vlan, mark (not 0), source, verdict, packet_count, byte_count (not 0), close_reason (of closed), interface,
 * generation, policy_digest, keyset_id, issuer_kid, correlation_id, first_seen, observed_at, prefix. An event of a cell
 * that the plan does not have has no cell_id. */
size_t cf_record_json(const struct cf_event *event, const struct cf_decision *decision, char *out, size_t size);
#endif
