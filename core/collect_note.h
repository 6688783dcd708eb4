/* SPDX-License-Identifier: MIT
 *
 * What a collector was about to do, noted in memory that outlives it: whoever takes over after a kill finds out how far
 * it came, so that no event is told twice and every number is right. The moment that counts is the one in which the
 * host ring's producer position moves. Values are noted as they are to be, so that doing it again does no harm.
 */
#ifndef CF_COLLECT_NOTE_H
#define CF_COLLECT_NOTE_H
#include "collected.h"

/* Before an event of `kind` is put into the host ring, whose producer is at `produced`; then whether it was put. */
void cf_note_put(struct cf_collected *numbers, uint64_t produced, uint32_t kind);
void cf_note_end(struct cf_collected *numbers, int was_put);

/* Before the end of this flow is told, which the sweep then takes out of its table. */
void cf_note_closed(struct cf_collected *numbers, uint64_t produced, const struct cf_flow *flow);
/* Whether the flow of `numbers->closed` was told. */
int cf_note_was_closed(const struct cf_collected *numbers, uint64_t produced);

/* Another socket in a slot: nothing of it was read yet. */
void cf_note_socket(struct cf_collected_socket *place, uint64_t cookie);
/* A read of NFLOG, at once: all of its numbers as they are to be, and how the slot's socket was left. */
void cf_note_nflog(struct cf_collected *numbers, const struct cf_collected_nflog *next, uint32_t slot,
		   struct cf_collected_socket socket);

/* In a successor, before anything else: finish what a predecessor had begun. */
void cf_note_recover(struct cf_collected *numbers, uint64_t produced);
#endif
