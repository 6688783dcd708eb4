/* SPDX-License-Identifier: MIT
 *
 * The collector process: everything that makes events in user space. It sweeps the flow table for flows that ended,
 * reads the NFLOG sockets and the rings that a cell has for itself, joins what two sources say of one flow, and puts
 * the events into the host ring, from which the worker takes them. No Lua, no privileges, no files: descriptors come
 * over its channel. When the host ring is full it stops reading, so that what overflows is a kernel buffer that counts.
 * It may die at any time: what matters lies in shared memory, and a successor is told the cells again.
 */
#ifndef CF_COLLECTOR_H
#define CF_COLLECTOR_H
#include <sys/types.h>
#include "collected.h"
#include "flow_table.h"
#include "host_ring.h"

struct cf_collector_config {
	struct cf_collected *numbers;
	const struct cf_host_ring *ring;
	struct cf_flow_table logged; /* NFLOG's own flow table, in shared memory; touched only where NFLOG is used */
	uint64_t wake_interval_ns; /* of the rings' producers */
	uid_t uid;
	gid_t gid;
};

/* Life of a collector process: never returns. `channel` is its end of the pair, `parent` the supervisor's pid. */
__attribute__((noreturn)) void cf_collector_main(const struct cf_collector_config *config, int channel, pid_t parent);
#endif
