/* SPDX-License-Identifier: MIT
 * The recorder process: orders, the ring, and when what is written. See recorder.h. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "confine.h"
#include "descriptors.h"
#include "log.h"
#include "privilege.h"
#include "recorder.h"
#include "recorder_file.h"
#include "ring.h"

enum {
	LOOK_MS = 100, /* between two looks at the ring; it wakes us when much came in between */
	FLUSH_MS = 1000,
	SYNC_MS = 5000,
	AGAIN_MS = 250, /* after a write that failed */
	ASK_AGAIN_MS = 10000, /* for a part that did not come */
	MEMORY_MB = 64,
	DESCRIPTORS = 32,
};

struct recorder {
	const struct cf_recorder_config *config;
	struct cf_recorder_file file;
	struct cf_ring ring;
	int channel;
	uint64_t now_ns;
	uint64_t flushed_ns, synced_ns, part_began_ns, asked_ns;
	uint64_t synced_bytes; /* of the file */
	int next_fd; /* of the part that came; -1: none */
	uint32_t next_part;
	struct cf_message_losses losses; /* now_ns 0: none came since */
	int has_complained;
	int ending;
	uint64_t end_ns;
};

static uint64_t after_ms(uint64_t ns, uint64_t ms)
{
	return ns + ms * 1000000ULL;
}

/* 1: there was one. Only taken down here, as it may come in the middle of a write. */
static int order(struct recorder *recorder)
{
	struct cf_message message;
	int rc = cf_channel_receive(recorder->channel, &message, 0);

	if (rc == -EAGAIN)
		return 0;
	if (rc <= 0)
		_exit(0); /* the supervisor has gone: what is in the file is whole */
	switch (message.type) {
	case CF_MSG_PART:
		if (recorder->next_fd >= 0)
			close(recorder->next_fd);
		recorder->next_fd = message.fds[0];
		recorder->next_part = (uint32_t)message.body.number.value;
		message.fds[0] = -1;
		break;
	case CF_MSG_LOSSES:
		recorder->losses = message.body.losses;
		break;
	case CF_MSG_FINISH:
		recorder->ending = 1;
		recorder->end_ns = after_ms(cf_clock_boot_now(), message.body.number.value);
		break;
	default:
		_exit(1);
	}
	cf_message_close_fds(&message);
	return 1;
}

static int be_patient(void *context, int err)
{
	struct recorder *recorder = context;

	if (!recorder->has_complained)
		cf_warn("the recording cannot be written to: %s; it is tried again, and what finds no room is counted",
			strerror(err));
	recorder->has_complained = 1;
	while (order(recorder))
		;
	if (recorder->ending && cf_clock_boot_now() >= recorder->end_ns)
		return 0;
	nanosleep(&(struct timespec){ .tv_nsec = AGAIN_MS * 1000000L }, NULL);
	return 1;
}

/* Copied before it is looked at: who writes the ring may be nobody's worker any more. Until the next one is taken. 0,
 * or -1: the ring makes no sense. */
static int take_frame(const struct recorder *recorder, uint64_t at, uint64_t until, struct cf_frame *frame)
{
	static uint64_t copy[CF_FRAME_MAX / 8];
	const uint8_t *from = recorder->ring.producer_page + recorder->ring.page + (at & (recorder->ring.size - 1));
	struct cf_frame_head head;

	if (until - at < sizeof(head) || until - at > recorder->ring.size)
		return -1;
	memcpy(&head, from, sizeof(head));
	if (head.len < sizeof(head) || head.len % 8 || head.len > sizeof(copy) || head.len > until - at ||
	    head.type == 0)
		return -1;
	memcpy(copy, from, head.len);
	memcpy(copy, &head, sizeof(head));
	*frame = (struct cf_frame){ .bytes = (const uint8_t *)copy, .len = head.len, .type = head.type };
	return 0;
}

/* Only what is in a file makes room. */
static void release(struct recorder *recorder)
{
	uint64_t position = cf_recorded_current(recorder->config->recorded)->position;

	if (position != cf_ring_position(&recorder->ring))
		cf_ring_release(&recorder->ring, position);
}

/* Everything that is in the ring now. 0, or -1: given up. */
static int drain(struct recorder *recorder, struct cf_error *error)
{
	struct cf_recorder_file *file = &recorder->file;
	uint64_t until = cf_ring_producer(&recorder->ring);

	while (file->fd >= 0 && file->state.position != until) {
		struct cf_frame frame;

		if (take_frame(recorder, file->state.position, until, &frame) < 0) {
			cf_warn("the record ring holds nonsense, which is passed over");
			file->state.position = until;
			return 0;
		}
		if (cf_recorder_file_add(file, &frame, file->state.position + frame.len, error) < 0)
			return -1;
		release(recorder);
	}
	return 0;
}

static int tell_losses(struct recorder *recorder, int is_last, struct cf_error *error)
{
	struct cf_message_losses *losses = &recorder->losses;
	uint64_t now_ns = is_last ? recorder->now_ns : losses->now_ns;

	if (now_ns == 0)
		return 0;
	losses->now_ns = 0;
	return cf_recorder_file_losses(&recorder->file, now_ns, losses->totals, is_last, error);
}

static int take_part(struct recorder *recorder, struct cf_error *error)
{
	int fd = recorder->next_fd;

	if (fd < 0)
		return 0;
	recorder->next_fd = -1;
	recorder->part_began_ns = recorder->now_ns;
	recorder->synced_bytes = 0;
	recorder->asked_ns = 0;
	return cf_recorder_file_part(&recorder->file, fd, recorder->next_part, error);
}

static int flush(struct recorder *recorder, struct cf_error *error)
{
	if (!recorder->file.is_due && recorder->now_ns < after_ms(recorder->flushed_ns, FLUSH_MS))
		return 0;
	recorder->flushed_ns = recorder->now_ns;
	if (cf_recorder_file_flush(&recorder->file, error) < 0)
		return -1;
	release(recorder);
	return 0;
}

/* Rationed: a disk that is waited for cannot be written to, and the ring holds a second or two. */
static void sync_file(struct recorder *recorder)
{
	uint64_t bytes = recorder->file.state.part_bytes;

	if (bytes == recorder->synced_bytes || recorder->now_ns < after_ms(recorder->synced_ns, SYNC_MS))
		return;
	recorder->synced_ns = recorder->now_ns;
	recorder->synced_bytes = bytes;
	fdatasync(recorder->file.fd);
}

static void ask_for_part(struct recorder *recorder)
{
	const struct cf_recorder_config *config = recorder->config;
	const struct cf_recorder_file *file = &recorder->file;
	struct cf_message_number part = { .value = file->state.part + 1 };
	int is_full = config->part_bytes && file->state.part_bytes >= config->part_bytes;
	int is_old = config->part_ns && recorder->now_ns - recorder->part_began_ns >= config->part_ns;

	if (file->recording.numbers.batches == 0 || (!is_full && !is_old) ||
	    (recorder->asked_ns && recorder->now_ns < after_ms(recorder->asked_ns, ASK_AGAIN_MS)))
		return;
	recorder->asked_ns = recorder->now_ns;
	cf_channel_try_send(recorder->channel, CF_MSG_PART_WANTED, &part, sizeof(part));
}

/* Events that are in no file, and never will be. */
static void give_up_rest(struct recorder *recorder)
{
	struct cf_recorded *recorded = recorder->config->recorded;
	struct cf_recorder_state *state = &recorded->states[atomic_load(&recorded->current) & 1];
	uint64_t until = cf_ring_producer(&recorder->ring);
	struct cf_frame frame;

	while (state->position != until && take_frame(recorder, state->position, until, &frame) == 0) {
		state->given_up += cf_frame_check(&frame) ? 0 : cf_frame_events(&frame);
		state->position += frame.len;
	}
}

static void say_last_words(struct recorder *recorder)
{
	struct cf_recorder_file *file = &recorder->file;
	struct cf_error error = { 0 };

	if (drain(recorder, &error) < 0 || tell_losses(recorder, 1, &error) < 0 ||
	    (file->recording.has_begun && cf_recorder_file_end(file, recorder->now_ns, 0, &error) < 0))
		cf_error_log("%s", error.text);
	if (file->fd >= 0)
		fdatasync(file->fd);
}

static void end(struct recorder *recorder)
{
	release(recorder);
	give_up_rest(recorder);
	cf_channel_send(recorder->channel, CF_MSG_DONE, NULL, 0, NULL, 0);
	_exit(0);
}

static void turn(struct recorder *recorder)
{
	struct pollfd fds[2] = { { .fd = recorder->channel, .events = POLLIN },
				 { .fd = recorder->ring.fd, .events = POLLIN } };
	struct cf_error error = { 0 };
	uint64_t times;

	poll(fds, 2, LOOK_MS);
	if (fds[1].revents && read(recorder->ring.fd, &times, sizeof(times)) < 0)
		return;
	while (order(recorder))
		;
	recorder->now_ns = cf_clock_boot_now();
	if (take_part(recorder, &error) == 0 && !recorder->ending && drain(recorder, &error) == 0 &&
	    tell_losses(recorder, 0, &error) == 0 && flush(recorder, &error) == 0) {
		sync_file(recorder);
		ask_for_part(recorder);
	}
	if (recorder->ending && error.text[0] == '\0')
		say_last_words(recorder);
	else if (error.text[0])
		cf_error_log("%s", error.text);
	if (recorder->ending)
		end(recorder);
	if (error.text[0])
		_exit(1); /* not for a write, which is tried again for as long as the run goes on */
}

void cf_recorder_main(const struct cf_recorder_config *config, int channel, pid_t parent)
{
	static struct recorder recorder;
	struct cf_error error = { 0 };
	struct cf_confinement confinement;

	prctl(PR_SET_NAME, "cf-recorder");
	recorder = (struct recorder){ .config = config, .channel = channel, .next_fd = -1 };
	if (cf_recorder_file_open(&recorder.file, config->recorded, config->id, &error) < 0 ||
	    cf_ring_open_host(&recorder.ring, config->ring, &error) < 0)
		goto failed;
	recorder.file.patience = be_patient;
	recorder.file.context = &recorder;
	release(&recorder);
	cf_descriptors_detach((int[]){ channel, config->ring->event_fd }, 2);
	if (cf_privilege_drop(config->uid, config->gid, parent, &error) < 0)
		goto failed;
	cf_confine((uint64_t)MEMORY_MB << 20, DESCRIPTORS, &confinement);
	for (;;)
		turn(&recorder);
failed:
	cf_warn("%s", error.text);
	_exit(1);
}
