/* SPDX-License-Identifier: MIT
 * Captures as frames: see capture.h. A machine that gives one frame a call; where the packets come from is
 * capture_merge.c's. */
#include <string.h>
#include "capture.h"
#include "capture_cells.h"
#include "capture_link.h"
#include "capture_state.h"
#include "script.h"

#define NS_PER_SECOND UINT64_C(1000000000)
#define BATCH_SPAN_NS UINT64_C(5000000) /* what a live batch may span, about */

/* Time only ever goes on. */
static uint64_t time_of(const struct cf_capture *capture, const struct cf_capture_packet *packet)
{
	return packet->time_ns > capture->flows.now_ns ? packet->time_ns : capture->flows.now_ns;
}

static void count_packet(struct cf_capture *capture, const struct cf_capture_packet *packet)
{
	struct cf_capture_numbers *numbers = &capture->numbers;

	numbers->packets++;
	numbers->wire_bytes += packet->len;
	numbers->cut += packet->captured < packet->len;
	numbers->misdated += !packet->time_ns;
	numbers->backwards += packet->time_ns && packet->time_ns < capture->flows.now_ns;
	capture->flows.now_ns = time_of(capture, packet);
	if (!numbers->first_ns)
		numbers->first_ns = capture->flows.now_ns;
	numbers->last_ns = capture->flows.now_ns;
}

static int parse(const struct cf_capture_file *file, struct cf_link *link, struct cf_packet *facts,
		 struct cf_flow_key *key)
{
	const struct cf_capture_packet *packet = &file->packet;

	cf_link_read(file->link_type, packet->bytes, packet->captured, link);
	if (link->is_cut)
		return CF_STAT_UNPARSED_TRUNCATED;
	return cf_packet_parse(packet->bytes, packet->captured, packet->len, link->len, link->ethertype, facts, key);
}

static void take_packet(struct cf_capture *capture, const struct cf_capture_file *file)
{
	struct cf_capture_numbers *numbers = &capture->numbers;
	struct cf_load load = { .now = 0 };
	struct cf_flow_key key = { .cell = 0 };
	struct cf_capture_place place;
	struct cf_packet facts;
	struct cf_link link;
	int result;

	count_packet(capture, &file->packet);
	result = parse(file, &link, &facts, &key);
	if (result != CF_STAT_PARSED) {
		numbers->unparsed[result - CF_STAT_UNPARSED_NOT_IP]++;
		return;
	}
	numbers->parsed++;
	cf_capture_locate(&capture->options, &key, &link, capture->use_way, &place);
	numbers->foreign += place.count == 0;
	numbers->between += place.count == 2;
	cf_packet_measure(&facts, file->packet.len, &load);
	load.now = capture->flows.now_ns;
	cf_capture_flows_packet(&capture->flows, &key, &facts, &load, &place);
}

static uint64_t next_second(uint64_t ns)
{
	return (ns / NS_PER_SECOND + 1) * NS_PER_SECOND;
}

/* One packet, or 0: a batch has to go first, or what comes next is something else. */
static int step(struct cf_capture *capture)
{
	const struct cf_capture_file *file = cf_capture_merge_first(capture);
	struct cf_capture_flows *flows = &capture->flows;
	uint64_t time;

	if (!file) {
		capture->phase = CF_CAPTURE_CLOSE;
		return 0;
	}
	time = time_of(capture, &file->packet);
	if (!flows->active_count)
		capture->next_sweep_ns = next_second(time); /* a gap of years is one step */
	if (flows->batch.count && (time - flows->batch_since_ns > BATCH_SPAN_NS ||
				   flows->batch.count > CF_BATCH_MAX - CF_CAPTURE_PACKET_ROOM))
		return 0;
	if (time >= capture->next_sweep_ns) {
		if (flows->batch.count)
			return 0;
		flows->now_ns = capture->next_sweep_ns;
		capture->phase = CF_CAPTURE_SWEEP;
		return 0;
	}
	take_packet(capture, file);
	cf_capture_merge_next(capture);
	return 1;
}

/* Until there is something to give out, or the phase is another one. */
static void gather(struct cf_capture *capture)
{
	switch (capture->phase) {
	case CF_CAPTURE_PACKETS:
		while (step(capture))
			;
		break;
	case CF_CAPTURE_SWEEP:
		if (!cf_capture_flows_sweep(&capture->flows))
			break;
		capture->next_sweep_ns += NS_PER_SECOND;
		capture->phase = CF_CAPTURE_PACKETS;
		break;
	case CF_CAPTURE_CLOSE:
		if (cf_capture_flows_close(&capture->flows))
			capture->phase = CF_CAPTURE_STOP;
		break;
	default:
		break;
	}
}

static size_t put_meta(struct cf_capture *capture)
{
	struct cf_meta meta = { .now_ns = capture->flows.now_ns, .generation = 1 };

	meta.texts[CF_META_VERSION] = CF_VERSION;
	return cf_frame_put_meta(capture->room, CF_FRAME_BATCH_MAX, CF_FRAME_META, &meta);
}

static size_t put_cell(struct cf_capture *capture)
{
	struct cf_plan_cell cell = { .hooks = CF_PLAN_EGRESS | CF_PLAN_INGRESS, .events = capture->flows.events };

	strcpy(cell.name, capture->options.cells[capture->next_cell]);
	return cf_frame_put_cell(capture->room, CF_FRAME_BATCH_MAX, capture->next_cell++, &cell);
}

static size_t put_batch(struct cf_capture *capture)
{
	struct cf_capture_flows *flows = &capture->flows;
	size_t len = cf_frame_put_batch(capture->room, CF_FRAME_BATCH_MAX, flows->now_ns, &flows->batch);

	flows->batch.count = 0;
	capture->numbers.batches++;
	return len;
}

/* 0: damaged files have no end. */
static size_t put_end(struct cf_capture *capture, struct cf_error *error)
{
	for (uint32_t i = 0; i < capture->file_count; i++) {
		const struct cf_capture_file *file = &capture->files[i];

		if (!file->damage[0])
			continue;
		cf_fail(error, CF_FAIL_RECORDING, 0,
			"%s: cannot be read to its end: %s; readable before it: %llu packet%s", file->path,
			file->damage, (unsigned long long)file->packets, file->packets == 1 ? "" : "s");
		return 0;
	}
	return cf_frame_put_end(capture->room, CF_FRAME_BATCH_MAX, capture->flows.now_ns, capture->numbers.batches,
				capture->numbers.events, 0);
}

/* What is before the packets and behind them, one frame a call. */
static size_t put_edge(struct cf_capture *capture, struct cf_error *error)
{
	uint64_t now_ns = capture->flows.now_ns;
	enum cf_capture_phase phase = capture->phase;

	if (phase == CF_CAPTURE_CELLS && capture->next_cell + 1 < capture->options.cell_count)
		return put_cell(capture);
	capture->phase++;
	switch (phase) {
	case CF_CAPTURE_META:
		return put_meta(capture);
	case CF_CAPTURE_CELLS:
		return put_cell(capture);
	case CF_CAPTURE_CLOCK:
		return cf_frame_put_clock(capture->room, CF_FRAME_BATCH_MAX, now_ns, 0);
	case CF_CAPTURE_START:
		return cf_frame_put_moment(capture->room, CF_FRAME_BATCH_MAX, now_ns, CF_MOMENT_START, 0, 0);
	case CF_CAPTURE_STOP:
		return cf_frame_put_moment(capture->room, CF_FRAME_BATCH_MAX, now_ns, CF_MOMENT_STOP, 0, 0);
	default:
		return put_end(capture, error);
	}
}

int cf_capture_next(void *context, struct cf_frame *frame, struct cf_error *error)
{
	struct cf_capture *capture = context;
	size_t len, at = 0;

	if (capture->phase == CF_CAPTURE_OVER)
		return 0;
	while (capture->phase >= CF_CAPTURE_PACKETS && capture->phase <= CF_CAPTURE_CLOSE) {
		enum cf_capture_phase phase = capture->phase;

		gather(capture);
		/* A batch goes when it is full or its time is over, or before another thing begins. */
		if (capture->flows.batch.count && (capture->phase == phase || capture->phase != CF_CAPTURE_SWEEP))
			break;
	}
	len = capture->flows.batch.count ? put_batch(capture) : put_edge(capture, error);
	return len && cf_frame_next(capture->room, len, &at, frame) == 1 ? 1 : -1;
}
