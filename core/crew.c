/* SPDX-License-Identifier: MIT
 * Workers, one at a time: see crew.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "api.h"
#include "channel.h"
#include "clock.h"
#include "crew.h"
#include "log.h"
#include "memory.h"
#include "plan_check.h"

enum {
	LOAD_MS = 10000, /* for a policy file to declare what it declares */
	TAKE_OVER_MS = 10000,
	LEAVE_GRACE_MS = 3000, /* to decide the batch in hand */
	LEAVE_MS = 200, /* from the last word to the exit */
	SEND_S = 10, /* for a message to find room in the worker's queue */
};

void cf_member_init(struct cf_member *member)
{
	*member = (struct cf_member){ .channel = -1, .pidfd = -1 };
}

static int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* fork without exec: what was loaded stays what runs, also when the file on disk is replaced by another version. */
int cf_member_fork(struct cf_member *member, cf_member_body *body, const void *arg, const char *what,
		   struct cf_error *error)
{
	pid_t parent = getpid();
	int pair[2];
	int rc = cf_channel_pair(pair);

	cf_member_init(member);
	if (rc < 0)
		return cf_fail(error, CF_FAIL_INTERNAL, -rc, "%s: socketpair: %s", what, strerror(-rc));
	member->pid = fork();
	if (member->pid == 0) {
		close(pair[0]);
		body(arg, pair[1], parent);
		_exit(1);
	}
	close(pair[1]);
	/* A process that does not read must not hold us up: the send fails, and it is killed. */
	setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){ .tv_sec = SEND_S }, sizeof(struct timeval));
	if (member->pid < 0) {
		close(pair[0]);
		member->pid = 0;
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "%s: fork: %s", what, strerror(errno));
	}
	member->channel = pair[0];
	member->pidfd = (int)syscall(SYS_pidfd_open, member->pid, 0);
	return 0;
}

static void work(const void *config, int channel, pid_t parent)
{
	cf_worker_main(config, channel, parent);
}

int cf_member_spawn(struct cf_member *member, const struct cf_worker_config *config, struct cf_error *error)
{
	cf_clock_refresh(); /* inherited, so that all workers of a run give a flow's first packet the same time */
	if (cf_member_fork(member, work, config, "worker", error) < 0)
		return -1;
	member->policy = config->policy.name;
	member->uid = config->uid;
	member->gid = config->gid;
	return 0;
}

void cf_member_death(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		snprintf(text, size, "killed: it made a system call that only an attack makes");
	else if (WIFSIGNALED(status))
		snprintf(text, size, "killed by signal %d", WTERMSIG(status));
	else
		snprintf(text, size, "exited with %d", WEXITSTATUS(status));
}

/* A worker that says it goes is believed for a moment only: it may be stopped, or not ours any more. */
static void hurry(const struct cf_member *member)
{
	struct pollfd gone = { .fd = member->pidfd, .events = POLLIN };

	if (poll(&gone, 1, member->pidfd < 0 ? 0 : LEAVE_MS) <= 0)
		kill(member->pid, SIGKILL);
}

void cf_member_reap(struct cf_member *member, int *status)
{
	*status = 0;
	if (member->pid > 0)
		hurry(member);
	if (member->pid > 0)
		while (waitpid(member->pid, status, 0) < 0 && errno == EINTR)
			;
	if (member->channel >= 0)
		close(member->channel);
	if (member->pidfd >= 0)
		close(member->pidfd);
	cf_member_init(member);
}

void cf_member_kill(struct cf_member *member)
{
	int status;

	if (member->pid > 0)
		kill(member->pid, SIGKILL);
	cf_member_reap(member, &status);
}

/* Wait for a message or the deadline or, when abort_fd >= 0, for that to become readable. As cf_channel_receive. */
static int receive(struct cf_member *member, struct cf_message *message, int64_t deadline, int abort_fd)
{
	struct pollfd fds[2] = { { .fd = member->channel, .events = POLLIN }, { .fd = abort_fd, .events = POLLIN } };
	int64_t left = deadline - monotonic_ms();
	int rc;

	if (left < 0)
		return -EAGAIN;
	do
		rc = poll(fds, 2, (int)left);
	while (rc < 0 && errno == EINTR);
	if (fds[1].revents)
		return -EINTR;
	return rc <= 0 ? -EAGAIN : cf_channel_receive(member->channel, message, 0);
}

/* The worker is of no use any more: end it and say what happened. */
static int gave_up(struct cf_member *member, int rc, const char *doing, struct cf_error *error)
{
	char death[64];
	int status;

	if (rc == -EINTR) {
		cf_member_kill(member);
		return cf_fail(error, CF_FAIL_INTERNAL, EINTR, "interrupted while %s", doing);
	}
	if (rc == -EAGAIN) {
		cf_member_kill(member);
		return cf_fail(error, CF_FAIL_POLICY, ETIMEDOUT,
			       "%s took longer than %d s (does it loop, or make very long texts?)", doing,
			       LOAD_MS / 1000);
	}
	if (rc < 0)
		kill(member->pid, SIGKILL);
	cf_member_reap(member, &status);
	cf_member_death(status, death, sizeof(death));
	return cf_fail(error, CF_FAIL_INTERNAL, 0, "worker %s while %s", death, doing);
}

static int add_to_plan(struct cf_plan *plan, const struct cf_message *message)
{
	struct cf_plan_output *output;
	struct cf_plan_cell *cell;

	switch (message->type) {
	case CF_MSG_PLAN_LIMITS:
		plan->limits = message->body.limits;
		return 0;
	case CF_MSG_PLAN_FLOWS:
		plan->flows = message->body.flows;
		return 0;
	case CF_MSG_PLAN_METADATA:
		plan->metadata = message->body.metadata;
		return 0;
	case CF_MSG_PLAN_OUTPUT:
		output = cf_plan_add_output(plan);
		if (output)
			*output = message->body.output;
		return output ? 0 : -1;
	case CF_MSG_PLAN_CELL:
		cell = cf_plan_add_cell(plan);
		if (cell)
			*cell = message->body.cell;
		return cell ? 0 : -1;
	default:
		return -1;
	}
}

int cf_member_take_plan(struct cf_member *member, struct cf_plan *plan, struct cf_includes *includes, int abort_fd,
			struct cf_error *error)
{
	int64_t deadline = monotonic_ms() + LOAD_MS;
	struct cf_message message;
	char doing[CF_PATH_LEN + 16];
	int rc;

	snprintf(doing, sizeof(doing), "loading %s", member->policy ? member->policy : "the default mapping");
	while ((rc = receive(member, &message, deadline, abort_fd)) > 0) {
		cf_message_close_fds(&message);
		if (message.type == CF_MSG_PLAN_END)
			return cf_plan_check(plan, error);
		if (message.type == CF_MSG_FAILED || message.type == CF_MSG_MISUSED) {
			message.body.text.text[sizeof(message.body.text.text) - 1] = '\0';
			cf_fail(error, message.type == CF_MSG_MISUSED ? CF_FAIL_USAGE : CF_FAIL_POLICY, 0, "%s",
				message.body.text.text);
			cf_member_kill(member);
			return -1;
		}
		if (message.type == CF_MSG_INCLUDE)
			rc = cf_includes_answer(includes, member->channel, message.body.path.path, &member->uid,
						member->gid);
		else
			rc = add_to_plan(plan, &message) < 0 ? -EBADMSG : 0;
		if (rc < 0)
			break;
	}
	return gave_up(member, rc, doing, error);
}

static int send_number(const struct cf_member *member, uint32_t type, uint64_t value, const int *fds, int fd_count)
{
	struct cf_message_number number = { .value = value };

	return cf_channel_send(member->channel, type, &number, sizeof(number), fds, fd_count);
}

static int send_ring(const struct cf_member *member, uint32_t type, const struct cf_host_ring *ring)
{
	int fds[2] = { ring->fd, ring->event_fd };

	return send_number(member, type, ring->size, fds, 2);
}

static int send_handover(const struct cf_member *member, const struct cf_handover *handover)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < handover->sink_count; i++) {
		int fds[2] = { handover->sinks[i].fd, handover->sinks[i].buffer_fd };

		rc = send_number(member, CF_MSG_OUTPUT, i, fds, 2);
	}
	for (uint32_t i = 0; rc == 0 && i < handover->slot_count; i++)
		rc = cf_channel_send(member->channel, CF_MSG_SLOT, &handover->slots[i], sizeof(handover->slots[i]),
				     NULL, 0);
	if (rc == 0 && handover->ring_fd >= 0)
		rc = send_number(member, CF_MSG_RING, handover->ring_size,
				 (int[]){ handover->ring_fd, handover->bell_fd }, 2);
	if (rc == 0)
		rc = send_ring(member, CF_MSG_HOST_RING, handover->host_ring);
	if (rc == 0 && handover->record_ring)
		rc = send_ring(member, CF_MSG_RECORD_RING, handover->record_ring);
	return rc ? rc : send_number(member, CF_MSG_START, handover->generation, NULL, 0);
}

int cf_member_hand_over(struct cf_member *member, const struct cf_handover *handover, struct cf_error *error)
{
	int64_t deadline = monotonic_ms() + TAKE_OVER_MS;
	struct cf_message message;
	int rc = send_handover(member, handover);

	if (rc == 0)
		rc = receive(member, &message, deadline, -1);
	if (rc > 0) {
		cf_message_close_fds(&message);
		if (message.type == CF_MSG_READY)
			return 0;
		if (message.type == CF_MSG_FAILED) {
			message.body.text.text[sizeof(message.body.text.text) - 1] = '\0';
			cf_fail(error, CF_FAIL_INTERNAL, 0, "%s", message.body.text.text);
			cf_member_kill(member);
			return -1;
		}
		rc = -EBADMSG;
	}
	return gave_up(member, rc, "taking over", error);
}

void cf_member_order_finish(const struct cf_member *member, uint64_t flush_ms)
{
	/* When it has died, whoever reads the channel sees it. */
	send_number(member, CF_MSG_FINISH, flush_ms, NULL, 0);
}

int cf_member_leave(struct cf_member *member, uint64_t flush_ms, int abort_fd)
{
	int64_t deadline = monotonic_ms() + (int64_t)flush_ms + LEAVE_GRACE_MS;
	struct cf_message message;
	int done = 0;
	int status;

	if (member->pid == 0)
		return 0;
	send_number(member, CF_MSG_LEAVE, flush_ms, NULL, 0);
	while (!done && receive(member, &message, deadline, abort_fd) > 0) {
		cf_message_close_fds(&message);
		done = message.type == CF_MSG_DONE;
	}
	if (!done)
		kill(member->pid, SIGKILL);
	cf_member_reap(member, &status);
	return done ? 0 : -1;
}
