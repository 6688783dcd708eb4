/* SPDX-License-Identifier: MIT
 *
 * One worker as its supervisor sees it: spawn, take its plan, hand descriptors over, end it. Each step has a
 * deadline; a worker that misses one is killed. Which worker runs when is the supervisor's.
 */
#ifndef CF_CREW_H
#define CF_CREW_H
#include <sys/types.h>
#include "channel.h"
#include "error.h"
#include "host_ring.h"
#include "include.h"
#include "plan.h"
#include "sink.h"
#include "worker.h"

struct cf_member {
	pid_t pid; /* 0: none */
	int channel;
	int pidfd;
	const char *policy; /* name of its file, not owned; NULL: none */
	uid_t uid; /* its user */
	gid_t gid; /* and group */
};

void cf_member_init(struct cf_member *member);

/* Fork a process that runs `body`, which never returns, at the other end of a channel. `what` is it in messages. */
typedef void cf_member_body(const void *arg, int channel, pid_t parent);
int cf_member_fork(struct cf_member *member, cf_member_body *body, const void *arg, const char *what,
		   struct cf_error *error);

/* Fork a worker, which begins to load its policy. */
int cf_member_spawn(struct cf_member *member, const struct cf_worker_config *config, struct cf_error *error);

/* Wait for its plan, checked, and hand over what it asks of `includes` meanwhile. CF_FAIL_POLICY with the policy's own
 * words when it does not load. Gives up when `abort_fd` (a signalfd) becomes readable, without reading it. */
int cf_member_take_plan(struct cf_member *member, struct cf_plan *plan, struct cf_includes *includes, int abort_fd,
			struct cf_error *error);

/* Give it the outputs, the slots of cells and the ring, and wait until it has taken over. */
struct cf_handover {
	struct cf_sink *sinks;
	uint32_t sink_count;
	const struct cf_message_slot *slots;
	uint32_t slot_count;
	uint32_t generation;
	int ring_fd; /* -1: no cell has a program */
	int bell_fd; /* of that ring */
	size_t ring_size;
	const struct cf_host_ring *host_ring;
	const struct cf_host_ring *record_ring; /* NULL: nothing is recorded */
};
int cf_member_hand_over(struct cf_member *member, const struct cf_handover *handover, struct cf_error *error);

/* Tell it to decide what is in the ring, flush for at most `flush_ms`, say CF_MSG_DONE, and go. Does not wait. */
void cf_member_order_finish(const struct cf_member *member, uint64_t flush_ms);

/* Let it end with the batch in hand, flush for at most `flush_ms`, and go: what is left in the ring is the next one's.
 * Killed when it takes longer than that by more than a grace of its own, or when `abort_fd` becomes readable. Returns 0
 * when it went in order, or there was none; -1 when it died or had to be killed. */
int cf_member_leave(struct cf_member *member, uint64_t flush_ms, int abort_fd);

/* SIGKILL and reap. Idempotent. */
void cf_member_kill(struct cf_member *member);
/* Reap a worker that has died or is about to; one that then stays is killed. *status as of waitpid(2). */
void cf_member_reap(struct cf_member *member, int *status);
/* "killed by signal 9" or "exited with 1", into a buffer of at least 64 bytes. */
void cf_member_death(int status, char *text, size_t size);
#endif
