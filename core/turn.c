/* SPDX-License-Identifier: MIT
 * One turn of the worker, and recovery: see turn.h. The waiting is loop.c's. */
#include <stdlib.h>
#include "clock.h"
#include "dedup.h"
#include "emit.h"
#include "event.h"
#include "log.h"
#include "turn.h"

struct cf_turn *cf_turn_new(struct cf_shared *shared, uint64_t linger_ns)
{
	struct cf_turn *turn = calloc(1, sizeof(*turn));

	if (!turn)
		return NULL;
	turn->shared = shared;
	turn->linger_ns = linger_ns;
	cf_feed_init(&turn->feed);
	turn->clock_fd = cf_clock_step_fd();
	return turn;
}

int cf_turn_set_slot(struct cf_turn *turn, uint32_t slot, uint32_t cell)
{
	if (cell >= CF_CELLS_MAX)
		return -1;
	turn->cells[slot % CF_CELLS_MAX] = (uint16_t)(cell + 1);
	turn->slots[slot % CF_CELLS_MAX] = slot;
	return 0;
}

uint64_t cf_boot_ns(void)
{
	return cf_clock_boot_now();
}

/* From slots to plan indices; events of slots we were not told of, or of an earlier cell in that slot, are refused. Of
 * the others connections are counted, as part of the transaction. */
static uint32_t map_cells(struct cf_turn *turn, const struct cf_outcome *next, struct cf_batch *batch)
{
	uint32_t kept = 0;
	uint32_t refused;

	if (turn->connections)
		cf_connections_begin(turn->connections, next->attempt);
	for (uint32_t i = 0; i < batch->count; i++) {
		struct cf_event *event = &batch->events[i];
		uint32_t slot = event->cell % CF_CELLS_MAX;
		uint32_t cell = turn->cells[slot];

		if (turn->connections && i % CF_CONNECTIONS_AHEAD == 0)
			cf_connections_expect(turn->connections, event, batch->count - i);
		if (cell == 0 || turn->slots[slot] != event->cell)
			continue;
		if (turn->connections)
			cf_connections_add(turn->connections, event);
		event->cell = cell - 1;
		if (kept != i)
			batch->events[kept] = *event;
		kept++;
	}
	refused = batch->count - kept;
	batch->count = kept;
	return refused;
}

/* Skip the one event that a worker has died over for the second time. Its connection is one all the same. */
static void skip_one(struct cf_turn *turn, enum cf_feed_ring from, uint64_t position)
{
	struct cf_outcome *next;
	struct cf_batch *batch = cf_batch_get();
	uint32_t refused = 0;
	uint32_t refused_len = 0;

	if (cf_ring_take(&turn->feed.rings[from], &position, batch, 1, &refused, &refused_len) == 0)
		return;
	next = cf_outcome_begin(turn->shared);
	map_cells(turn, next, batch);
	next->position[from] = position;
	next->consumed++;
	next->skipped++;
	cf_outcome_commit(turn->shared, next);
}

void cf_turn_recover(struct cf_turn *turn)
{
	struct cf_shared *shared = turn->shared;
	const struct cf_outcome *done = cf_outcome_current(shared);
	enum cf_feed_ring from = shared->attempt_from % CF_FEED_RINGS;
	uint32_t attempt = atomic_load(&shared->attempt);

	if (attempt != done->attempt && shared->attempt_count > 0) {
		cf_dedup_forget(attempt);
		if (turn->connections)
			cf_connections_undo(turn->connections, attempt);
		if (shared->careful > 0 && shared->attempt_count == 1) {
			shared->careful--;
			skip_one(turn, from, done->position[from]);
		} else {
			shared->careful = shared->attempt_count;
		}
	}
	/* What ends a worker is most likely compiled code; the interpreter may well give an error where that died. */
	cf_script_interpret(shared->careful > 0 || turn->interpreted);
	done = cf_outcome_current(shared);
	for (int i = 0; i < CF_FEED_RINGS; i++) {
		struct cf_ring *ring = &turn->feed.rings[i];

		if (ring->consumer_page && cf_ring_position(ring) != done->position[i])
			cf_ring_release(ring, done->position[i]);
	}
	cf_record_stream_publish(&turn->stream, done);
	for (uint32_t i = 0; i < turn->sink_count; i++)
		cf_sink_recover(&turn->sinks[i], done->outputs[i].head);
	turn->pending = (1U << turn->sink_count) - 1;
}

static void decide(struct cf_turn *turn, struct cf_batch *batch)
{
	struct cf_error error = { 0 };

	if (batch->count == 0)
		return;
	if (cf_script_batch(&error) < 0)
		cf_error_log("%s", error.text);
	while (cf_emit_ended() < batch->count)
		cf_event_end(CF_ENDING_FAILED);
	turn->is_full = cf_script_is_full();
}

double cf_turn_decide(struct cf_turn *turn, struct cf_outcome *next, struct cf_batch *batch)
{
	double took;

	cf_dedup_begin(next->attempt);
	cf_emit_begin(next);
	took = cf_monotonic_seconds();
	decide(turn, batch);
	took = cf_monotonic_seconds() - took;
	cf_emit_begin(NULL);
	/* Absolute: what an attempt without commit pushed out is gone as well. */
	next->dedup_forgotten = cf_dedup_evictions();
	return took;
}

static void log_refused(struct cf_turn *turn, uint32_t refused_len)
{
	if (refused_len != 0 && refused_len != turn->refused_len)
		cf_warn("ring record of %u bytes refused, expected %d", refused_len, CF_EVENT_RING_LEN);
	turn->refused_len = refused_len;
}

/* The boot clock now, and what records need to tell the time of day by it. Only here: what is in force when a
 * transaction begins is what the recording says of it. */
static uint64_t look_at_clock(struct cf_turn *turn)
{
	uint64_t now = cf_boot_ns();

	if (now - turn->clock_refreshed_ns >= 1000000000ULL) {
		turn->clock_refreshed_ns = now;
		cf_clock_refresh();
	}
	return now;
}

/* Records that their producer took back: nothing to decide, but their space has to be given back as well. */
static void pass_discarded(struct cf_turn *turn, enum cf_feed_ring from, uint64_t position)
{
	struct cf_outcome *next;

	turn->shared->attempt_count = 0; /* whoever finds this attempt unfinished has no event to be careful with */
	next = cf_outcome_begin(turn->shared);
	next->position[from] = position;
	cf_outcome_commit(turn->shared, next);
	cf_ring_release(&turn->feed.rings[from], position);
}

/* The events over which a worker died are taken up where they lie; else it is the feed's to say. */
static enum cf_feed_ring choose(struct cf_turn *turn)
{
	const struct cf_shared *shared = turn->shared;

	if (shared->careful)
		return shared->attempt_from % CF_FEED_RINGS;
	return cf_feed_next(&turn->feed, cf_outcome_current(shared)->position);
}

uint32_t cf_turn_once(struct cf_turn *turn)
{
	struct cf_shared *shared = turn->shared;
	struct cf_batch *batch = cf_batch_get();
	enum cf_feed_ring from = choose(turn);
	struct cf_ring *ring = &turn->feed.rings[from];
	uint64_t start = cf_outcome_current(shared)->position[from], position = start;
	uint32_t refused = 0, refused_len = 0;
	struct cf_outcome *next;
	uint32_t taken;
	double took;

	taken = cf_ring_take(ring, &position, batch, shared->careful ? 1 : CF_BATCH_MAX, &refused, &refused_len);
	if (taken == 0) {
		if (position != start)
			pass_discarded(turn, from, position);
		return 0;
	}
	shared->attempt_from = from;
	shared->attempt_count = taken; /* before begin: who finds an unfinished attempt reads this */
	next = cf_outcome_begin(shared);
	refused += map_cells(turn, next, batch);
	next->position[from] = position;
	next->consumed += taken;
	next->refused += refused;
	cf_record_stream_batch(&turn->stream, next, look_at_clock(turn), batch);
	took = cf_turn_decide(turn, next, batch);
	cf_outcome_commit(shared, next);
	cf_record_stream_publish(&turn->stream, next);
	cf_ring_release(ring, position);
	if (shared->careful && --shared->careful == 0)
		cf_script_interpret((int)turn->interpreted);
	if (refused_len)
		log_refused(turn, refused_len);
	if (turn->times_slow || took * 1e3 > turn->slow_ms)
		turn->times_slow = cf_script_slow(took, turn->slow_ms / 1e3);
	return taken;
}

void cf_turn_moment(struct cf_turn *turn, enum cf_moment moment, uint64_t lost)
{
	struct cf_script_moment now = { .moment = moment, .now_ns = look_at_clock(turn) };
	uint64_t told = cf_outcome_current(turn->shared)->lost_told;

	if (moment == CF_MOMENT_LOST) {
		now.lost = lost > told ? lost - told : 0;
		now.lost_total = lost;
	}
	cf_turn_tell(turn, &now);
}

void cf_turn_tell(struct cf_turn *turn, const struct cf_script_moment *now)
{
	struct cf_error error = { 0 };
	struct cf_outcome *next;

	turn->shared->attempt_count = 0; /* no event is to blame when the worker dies over it */
	next = cf_outcome_begin(turn->shared);
	if (now->moment == CF_MOMENT_LOST)
		next->lost_told = now->lost_total;
	cf_record_stream_moment(&turn->stream, next, now);
	cf_emit_begin(next);
	if (cf_script_moment(now, &turn->timer_ns, &error) < 0)
		cf_error_log("%s", error.text);
	cf_emit_begin(NULL);
	/* Not after `start`: each worker is to decide a batch before it goes. */
	if (now->moment == CF_MOMENT_TIMER || now->moment == CF_MOMENT_LOST)
		turn->is_full = cf_script_is_full();
	next->batches--; /* the commit counts one, and this was none */
	cf_outcome_commit(turn->shared, next);
	cf_record_stream_publish(&turn->stream, next);
}
