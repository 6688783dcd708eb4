/* SPDX-License-Identifier: MIT
 * Notes of a collector for its successor: see collect_note.h. */
#include "collect_note.h"

/* A kill lands between two stores, so their order is the protocol: the compiler must not change it. */
#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELEASE)
#define FENCE() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#define NOT_TOLD UINT64_MAX /* no position: positions are multiples of 8 */

void cf_note_put(struct cf_collected *numbers, uint64_t produced, uint32_t kind)
{
	struct cf_collected_put *put = &numbers->put;

	put->produced = produced;
	put->kind = kind % CF_TOLD_KINDS;
	put->submitted = numbers->submitted + 1;
	put->told = numbers->told[put->kind] + 1;
	STORE(put->is_due, 1);
	FENCE();
}

void cf_note_end(struct cf_collected *numbers, int was_put)
{
	struct cf_collected_put *put = &numbers->put;

	if (was_put) {
		STORE(numbers->submitted, put->submitted);
		STORE(numbers->told[put->kind % CF_TOLD_KINDS], put->told);
	}
	STORE(put->is_due, 0);
	FENCE();
}

void cf_note_closed(struct cf_collected *numbers, uint64_t produced, const struct cf_flow *flow)
{
	struct cf_collected_closed *closed = &numbers->closed;

	STORE(closed->produced, NOT_TOLD);
	FENCE();
	closed->key = flow->key;
	closed->first_seen_ns = flow->first_seen_ns;
	STORE(closed->produced, produced);
	FENCE();
}

int cf_note_was_closed(const struct cf_collected *numbers, uint64_t produced)
{
	const struct cf_collected_closed *closed = &numbers->closed;

	return closed->first_seen_ns && closed->produced != NOT_TOLD && closed->produced != produced;
}

static void finish_nflog(struct cf_collected *numbers)
{
	numbers->nflog = numbers->next.nflog;
	numbers->sockets[numbers->next.slot % CF_COLLECTED_SLOTS] = numbers->next.socket;
	STORE(numbers->next.is_due, 0);
	FENCE();
}

void cf_note_socket(struct cf_collected_socket *place, uint64_t cookie)
{
	place->next_seq = 0;
	place->unsettled = 0;
	STORE(place->cookie, cookie);
	FENCE();
}

void cf_note_nflog(struct cf_collected *numbers, const struct cf_collected_nflog *next, uint32_t slot,
		   struct cf_collected_socket socket)
{
	numbers->next.nflog = *next;
	numbers->next.slot = slot;
	numbers->next.socket = socket;
	STORE(numbers->next.is_due, 1);
	FENCE();
	finish_nflog(numbers);
}

void cf_note_recover(struct cf_collected *numbers, uint64_t produced)
{
	if (numbers->put.is_due)
		cf_note_end(numbers, numbers->put.produced != produced);
	if (numbers->next.is_due)
		finish_nflog(numbers);
	/* What waited for its other witness went with the process. */
	numbers->untold += numbers->joining;
	STORE(numbers->joining, 0);
}
