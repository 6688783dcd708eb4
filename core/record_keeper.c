/* SPDX-License-Identifier: MIT
 * Keeping a recorder: see record_keeper.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "log.h"
#include "record_keeper.h"
#include "recording_write.h"

enum {
	RESPAWN_MS = 1000, /* after a death; the ring holds what comes meanwhile, and more is counted */
	FINISH_GRACE_MS = 2000,
};

static void body(const void *config, int channel, pid_t parent)
{
	cf_recorder_main(config, channel, parent);
}

void cf_record_keeper_init(struct cf_record_keeper *keeper)
{
	memset(keeper, 0, sizeof(*keeper));
	cf_member_init(&keeper->member);
	keeper->ring.fd = keeper->ring.event_fd = -1;
	keeper->fds[0] = keeper->fds[1] = -1;
}

int cf_record_keeper_is_on(const struct cf_record_keeper *keeper)
{
	return keeper->config.recorded != NULL;
}

static void name_part(const struct cf_record_keeper *keeper, uint32_t part, char *path, size_t size)
{
	if (part == 0)
		snprintf(path, size, "%s", keeper->options->path);
	else
		snprintf(path, size, "%s.%u", keeper->options->path, part);
}

/* Before cells are attached; that it is made is for when there is something to record. */
static int look_at_file(const struct cf_record_options *options, struct cf_error *error)
{
	struct stat st;

	if (strlen(options->path) > CF_PATH_LEN - 16)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--record: longer than %d bytes", CF_PATH_LEN - 16);
	if (!options->replace && lstat(options->path, &st) == 0)
		return cf_fail(error, CF_FAIL_OUTPUT, EEXIST,
			       "%s: exists already, and a recording is not written over (give another name, or "
			       "--force)",
			       options->path);
	return 0;
}

int cf_record_keeper_open(struct cf_record_keeper *keeper, const struct cf_record_options *options, uid_t uid,
			  gid_t gid, struct cf_error *error)
{
	cf_record_keeper_init(keeper);
	keeper->options = options;
	if (!options->path)
		return 0;
	if (look_at_file(options, error) < 0)
		return -1;
	keeper->config = (struct cf_recorder_config){
		.recorded = cf_recorded_new(),
		.ring = &keeper->ring,
		.part_bytes = options->part_bytes,
		.part_ns = options->part_ns,
		.uid = uid,
		.gid = gid,
	};
	if (!keeper->config.recorded ||
	    getrandom(&keeper->config.id, sizeof(keeper->config.id), 0) != sizeof(keeper->config.id))
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "no memory to record with: %s", strerror(errno));
	if (cf_host_ring_new(&keeper->ring, CF_RECORD_RING_BYTES, error) < 0)
		return -1;
	return cf_record_stream_open(&keeper->stream, &keeper->ring, error);
}

static void send(struct cf_record_keeper *keeper, uint32_t type, uint64_t value, int fd)
{
	struct cf_message_number number = { .value = value };

	if (keeper->member.pid)
		cf_channel_send(keeper->member.channel, type, &number, sizeof(number), &fd, fd >= 0);
}

/* Make the next file and hand it over. Only the latest two stay open here: a write that a dead recorder did not finish
 * is in one of them. */
static int next_part(struct cf_record_keeper *keeper, struct cf_error *error)
{
	char path[CF_PATH_LEN];
	uint32_t part = keeper->parts;
	int fd;

	name_part(keeper, part, path, sizeof(path));
	if (cf_recording_create(path, keeper->options->replace, &fd, error) < 0)
		return -1;
	if (keeper->fds[part & 1] >= 0)
		close(keeper->fds[part & 1]);
	keeper->fds[part & 1] = fd;
	keeper->parts++;
	keeper->has_complained = false;
	send(keeper, CF_MSG_PART, part, fd);
	return 0;
}

static int latest_is_empty(const struct cf_record_keeper *keeper)
{
	struct stat st;

	return keeper->parts > 0 && fstat(keeper->fds[(keeper->parts - 1) & 1], &st) == 0 && st.st_size == 0;
}

/* One that its predecessor had not begun will do. */
static int give_part(struct cf_record_keeper *keeper, struct cf_error *error)
{
	uint32_t latest = keeper->parts - 1;

	if (!latest_is_empty(keeper))
		return next_part(keeper, error);
	send(keeper, CF_MSG_PART, latest, keeper->fds[latest & 1]);
	return 0;
}

static void complain(struct cf_record_keeper *keeper, const struct cf_error *error)
{
	if (!keeper->has_complained)
		cf_warn("%s", error->text);
	keeper->has_complained = true;
}

int cf_record_keeper_start(struct cf_record_keeper *keeper, struct cf_error *error)
{
	if (!cf_record_keeper_is_on(keeper))
		return 0;
	if (cf_member_fork(&keeper->member, body, &keeper->config, "recorder", error) < 0)
		return -1;
	return give_part(keeper, error);
}

static void respawn(struct cf_record_keeper *keeper)
{
	struct cf_error error = { 0 };

	keeper->restarts++;
	if (cf_record_keeper_start(keeper, &error) < 0)
		complain(keeper, &error);
}

/* Also of one that went in order: it may have given a write up. */
static void reap(struct cf_record_keeper *keeper, int *status)
{
	cf_member_reap(&keeper->member, status);
	cf_recorded_recover(keeper->config.recorded, keeper->fds);
}

static void lost(struct cf_record_keeper *keeper, int64_t now_ms)
{
	char death[64];
	int status;

	kill(keeper->member.pid, SIGKILL);
	reap(keeper, &status);
	cf_member_death(status, death, sizeof(death));
	cf_warn("recorder %s, another one goes on in another part", death);
	keeper->respawn_at_ms = now_ms + (keeper->finishing ? 0 : RESPAWN_MS);
}

void cf_record_keeper_hear(struct cf_record_keeper *keeper, int64_t now_ms)
{
	struct cf_error error = { 0 };
	struct cf_message message;
	int rc, status;

	if (keeper->member.pid == 0)
		return;
	rc = cf_channel_receive(keeper->member.channel, &message, 0);
	if (rc == -EAGAIN)
		return;
	if (rc > 0)
		cf_message_close_fds(&message);
	if (rc > 0 && message.type == CF_MSG_DONE && keeper->finishing) {
		reap(keeper, &status);
		keeper->finished = true;
	} else if (rc > 0 && message.type == CF_MSG_PART_WANTED) {
		/* Not yet used: it asks again because it was not served in time. */
		if (!latest_is_empty(keeper) && next_part(keeper, &error) < 0)
			complain(keeper, &error);
	} else {
		lost(keeper, now_ms);
	}
}

static void order_finish(struct cf_record_keeper *keeper, int64_t now_ms)
{
	int64_t left = keeper->finish_by_ms - FINISH_GRACE_MS - now_ms;

	send(keeper, CF_MSG_FINISH, left > 0 ? (uint64_t)left : 0, -1);
}

void cf_record_keeper_tick(struct cf_record_keeper *keeper, int64_t now_ms)
{
	int status;

	if (!cf_record_keeper_is_on(keeper) || keeper->finished)
		return;
	if (keeper->finishing && now_ms >= keeper->finish_by_ms) {
		cf_warn("the recorder was ended before it had written everything");
		if (keeper->member.pid) {
			kill(keeper->member.pid, SIGKILL);
			reap(keeper, &status);
		}
		keeper->finished = true;
	} else if (keeper->member.pid == 0 && now_ms >= keeper->respawn_at_ms) {
		keeper->respawn_at_ms = now_ms + RESPAWN_MS;
		respawn(keeper);
		if (keeper->finishing)
			order_finish(keeper, now_ms);
	}
}

void cf_record_keeper_losses(struct cf_record_keeper *keeper, const struct cf_message_losses *losses)
{
	if (keeper->member.pid)
		cf_channel_try_send(keeper->member.channel, CF_MSG_LOSSES, losses, sizeof(*losses));
}

void cf_record_keeper_finish(struct cf_record_keeper *keeper, const struct cf_outcome *done, uint64_t ms,
			     int64_t now_ms)
{
	if (!cf_record_keeper_is_on(keeper)) {
		keeper->finished = true;
		return;
	}
	cf_record_stream_publish(&keeper->stream, done);
	keeper->finishing = true;
	keeper->finish_by_ms = now_ms + (int64_t)ms + FINISH_GRACE_MS;
	order_finish(keeper, now_ms);
}

void cf_record_keeper_close(struct cf_record_keeper *keeper)
{
	char path[CF_PATH_LEN];

	if (!cf_record_keeper_is_on(keeper))
		return;
	if (keeper->member.pid) {
		cf_member_kill(&keeper->member);
		cf_recorded_recover(keeper->config.recorded, keeper->fds);
	}
	if (latest_is_empty(keeper)) {
		name_part(keeper, keeper->parts - 1, path, sizeof(path));
		unlink(path);
	}
	for (int i = 0; i < 2; i++)
		if (keeper->fds[i] >= 0)
			close(keeper->fds[i]);
	cf_record_stream_close(&keeper->stream);
	cf_host_ring_close(&keeper->ring);
	cf_recorded_free(keeper->config.recorded);
	cf_record_keeper_init(keeper);
}
