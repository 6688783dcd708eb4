/* SPDX-License-Identifier: MIT
 *
 * The network_flow_decision record: one event and what policy said of it, as one JSON object, cf_record_json of api.h.
 * Also owns cf_decision_id_text, which needs the same plan. Writing it anywhere is the sink's. One thread only.
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
#endif
