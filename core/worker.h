/* SPDX-License-Identifier: MIT
 *
 * The unprivileged half: loads the policy, tells its plan, takes descriptors, and then drains, decides and writes.
 * It opens nothing itself. Everything that must outlive it lies in struct cf_shared.
 */
#ifndef CF_WORKER_H
#define CF_WORKER_H
#include <sys/types.h>
#include "connections.h"
#include "outcome.h"
#include "plan.h"
#include "script.h"
#include "select.h"

struct cf_worker_config {
	struct cf_policy policy;
	const struct cf_plan_cell *cell; /* from the command line, see cf_plan_merge_cell; NULL: none */
	const struct cf_selection *selection; /* from the command line; NULL: everything is shown as the policy says */
	const struct cf_plan_metadata *metadata; /* from the command line: fields that are given win */
	struct cf_shared *shared;
	struct cf_progress *progress; /* where it notes what it is doing */
	void *dedup; /* memory of cf_dedup_size(CF_DEDUP_CAPACITY) bytes shared with later workers */
	size_t dedup_len;
	struct cf_connections *connections; /* shared with later workers */
	uid_t uid;
	gid_t gid;
	uint64_t linger_ns; /* pause between drains while events come; the ring wakes at most this often */
};

/* Load the policy, with what it includes read by `opener`, into `plan` (with the command line's cell and metadata
 * merged in, and the digest of what was read where no other is given). Used by `check` as well. */
int cf_worker_load(const struct cf_worker_config *config, const struct cf_opener *opener, struct cf_plan *plan,
		   struct cf_error *error);

/* Life of a worker process: never returns. `channel` is its end of the pair, `parent` the supervisor's pid. */
__attribute__((noreturn)) void cf_worker_main(const struct cf_worker_config *config, int channel, pid_t parent);
#endif
