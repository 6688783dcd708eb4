// SPDX-License-Identifier: MIT
/*
 * Any bytes as a capture, pcap or pcapng, through libpcap; the first byte says which side is the cell's and what is
 * told. What comes out are frames that hold together, and every packet is accounted for.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	WITH_NET = 1,
	WITH_MAC = 2,
	WITH_UPDATES = 4,
};

struct seen {
	uint64_t events, opened, closed;
	uint64_t packets; /* of closed flows */
	uint64_t now_ns;
};

static void require(int holds)
{
	if (!holds)
		abort();
}

static void choose(struct cf_capture_options *options, uint8_t choice)
{
	options->flow_entries = 60;
	options->events = 1 << CF_KIND_OPENED | 1 << CF_KIND_CLOSED;
	if (choice & WITH_NET) {
		require(cf_capture_add_net(options, "a=10.0.0.0/9", NULL) == 0);
		require(cf_capture_add_net(options, "b=2001:db8::/33", NULL) == 0);
		require(cf_capture_add_net(options, "b=192.0.2.0/24", NULL) == 0);
	}
	if (choice & WITH_MAC)
		require(cf_capture_add_mac(options, "02:00:00:00:00:01", NULL) == 0);
	if (choice & WITH_UPDATES)
		options->events |= 1 << CF_KIND_UPDATED;
}

static void use_batch(const struct cf_frame *frame, struct seen *seen)
{
	static struct cf_batch batch;
	uint64_t now_ns;

	cf_frame_get_batch(frame, &now_ns, &batch);
	for (uint32_t i = 0; i < batch.count; i++) {
		const struct cf_event *event = &batch.events[i];

		require(event->first_seen_ns <= event->last_seen_ns && event->last_seen_ns <= now_ns);
		require(event->source == CF_SOURCE_REPLAY && event->packets > 0 && event->seq > 0);
		seen->events++;
		seen->opened += event->kind == CF_KIND_OPENED;
		if (event->kind != CF_KIND_CLOSED)
			continue;
		require(event->close_reason > CF_CLOSE_NONE && event->close_reason <= CF_CLOSE_SHUTDOWN);
		seen->closed++;
		seen->packets += event->packets + event->reply_packets;
	}
}

static void use_frame(const struct cf_frame *frame, struct seen *seen)
{
	uint64_t time = cf_frame_time(frame);

	require(!cf_frame_check(frame));
	require(!time || time >= seen->now_ns);
	if (time)
		seen->now_ns = time;
	if (frame->type == CF_FRAME_BATCH)
		use_batch(frame, seen);
}

static void check_sums(const struct cf_capture_numbers *numbers, const struct seen *seen)
{
	uint64_t unparsed = 0;

	for (int i = 0; i < CF_CAPTURE_UNPARSED; i++)
		unparsed += numbers->unparsed[i];
	require(numbers->packets == numbers->parsed + unparsed);
	require(numbers->parsed + numbers->between ==
		numbers->foreign + numbers->flow_hit + numbers->flow_new + numbers->flow_full);
	require(numbers->events == seen->events && numbers->flow_new == seen->opened && seen->opened == seen->closed);
	require(numbers->flow_hit + numbers->flow_new == seen->packets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cf_capture_options options = { 0 };
	struct cf_error error = { 0 };
	struct cf_capture *capture;
	struct cf_frame frame;
	struct seen seen = { 0 };
	FILE *stream;
	int rc;

	if (size < 2)
		return 0;
	choose(&options, data[0]);
	stream = fmemopen((void *)(uintptr_t)(data + 1), size - 1, "rb");
	require(stream != NULL);
	capture = cf_capture_take(stream, "fuzz", &options, &error);
	if (!capture) {
		require(error.text[0] && !strchr(error.text, '\n'));
		return 0;
	}
	while ((rc = cf_capture_next(capture, &frame, &error)) > 0)
		use_frame(&frame, &seen);
	require((rc < 0) == (error.text[0] != 0));
	check_sums(cf_capture_numbers(capture), &seen);
	cf_capture_close(capture);
	return 0;
}
