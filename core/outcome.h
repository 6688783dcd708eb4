/* SPDX-License-Identifier: MIT
 *
 * What became of the events: counters, in memory that the supervisor shares with its workers, changed one whole
 * batch at a time. There are two copies; the worker changes the one that is not current and flips, so that a
 * worker killed at any instant leaves the last committed batch, complete, and nothing of the next. The ring
 * position is part of it: a successor goes on exactly there, and no event is lost or decided twice.
 *
 *   consumed = records + deduplicated + suppressed + filtered + failed + refused + skipped
 *   when recording: consumed = recorded + unrecorded + refused + skipped
 *   for each output, since it was opened: records + extra = written + dropped + uncertain + still buffered
 */
#ifndef CF_OUTCOME_H
#define CF_OUTCOME_H
#include <stdatomic.h>
#include <stdint.h>
#include "api.h"
#include "confine.h"
#include "feed.h"
#include "plan.h"

enum {
	CF_REASONS_MAX = 256, /* reason codes counted by name; the last one counts all further ones */
	CF_REASON_LEN = 64, /* longer codes are counted under their first 63 bytes */
};

struct cf_output_outcome {
	uint64_t head; /* bytes of complete lines put into the output's buffer, ever */
	uint64_t dropped; /* records and extra lines that found no room, or were too long */
};

struct cf_outcome {
	uint32_t attempt; /* number of the batch attempt that these numbers include */
	uint32_t pad0;
	uint64_t batches;
	uint64_t position[CF_FEED_RINGS]; /* how far each ring was read */
	uint64_t consumed;
	uint64_t records; /* events that became a record, whatever its outputs did with it */
	uint64_t deduplicated;
	uint64_t dedup_forgotten; /* keys that made room before their window was over; no event's ending */
	uint64_t suppressed;
	uint64_t filtered; /* left out by the command line's filters, or behind its limit */
	uint64_t filtered_deny; /* those of them that were denied */
	uint64_t failed; /* could not be recorded at all */
	uint64_t refused; /* ring record of the wrong length or of an unknown cell */
	uint64_t skipped; /* taken twice, and the worker died over it both times */
	uint64_t script_errors;
	uint64_t extra; /* lines that the policy emitted besides the records */
	uint64_t lost_told; /* events lost in the kernel of which handlers were told */
	uint64_t record_head; /* bytes of frames put into the record ring, ever */
	uint64_t recorded; /* events in them */
	uint64_t unrecorded; /* events decided that found no room there */
	uint64_t unrecorded_told; /* of them: told in the recording */
	uint64_t decisions[3]; /* by enum cf_decision_code */
	uint64_t reasons[CF_REASONS_MAX];
	uint64_t counters[CF_COUNTERS_MAX];
	struct cf_output_outcome outputs[CF_OUTPUTS_MAX];
};

/* Lines among the output's first `to` bytes that were written out. Two copies: the one that reaches further is valid,
 * the other is the next to be changed, so that a worker killed in between leaves a whole one. */
struct cf_output_written {
	uint64_t lines;
	_Atomic uint64_t to;
};

/* An output's progress, outside the transaction: bytes leave one by one, and none can be called back. */
struct cf_output_progress {
	_Atomic uint64_t tail; /* bytes of the buffer written out, ever */
	_Atomic uint64_t flying; /* length of the write(2) in progress, 0: none */
	uint64_t flying_tail; /* tail when it began: equal to tail means that its end was never noted */
	uint64_t flying_base; /* where in the file it began; regular files only */
	uint64_t origin; /* which byte is, or was, at the buffer's beginning */
	uint64_t records_before; /* outcome.records when this output was opened: those were not for it */
	uint64_t extra_before; /* the same of outcome.extra */
	struct cf_output_written written[2];
	uint64_t uncertain; /* lines in a write that was cut off and cannot be looked at again */
	uint64_t errors; /* failed writes */
	_Atomic uint32_t broken; /* 1: the reader has gone; records are dropped until it is opened again */
	_Atomic uint32_t guard; /* 1: a newline is due before anything else, half a line may stand out there */
	uint32_t last_errno;
	uint32_t pad0;
};

struct cf_counter_name {
	char name[CF_COUNTER_LEN];
	char label[CF_COUNTER_LEN]; /* empty: none */
};

struct cf_shared {
	struct cf_outcome outcomes[2];
	_Atomic uint32_t current; /* which of them is valid */
	_Atomic uint32_t attempt; /* number of the latest batch attempt begun; != outcome.attempt: it is unfinished */
	uint32_t attempt_count; /* events of that attempt; 0: a timer or the like, without events */
	uint32_t attempt_from; /* enum cf_feed_ring: where they came from */
	uint32_t pad0;
	uint32_t careful; /* events still to be taken one by one after a worker died over a batch */
	_Atomic uint32_t reason_count;
	_Atomic uint32_t counter_count;
	_Atomic uint64_t clock_steps;
	_Atomic uint64_t traces[CF_TRACE_EVENTS]; /* by enum cf_trace_event, over all workers */
	_Atomic uint64_t log_lost; /* log lines */
	struct cf_full_told {
		int64_t at_ms; /* when it was last said that a worker went for its memory (monotonic); 0: never */
		uint64_t untold; /* how many went since */
	} full_told[2]; /* by enum cf_script_full */
	uint32_t full_is_told; /* of the latest worker that went: it was said */
	uint32_t pad1;
	struct cf_progress progress[2]; /* by the parity of the generation: at a reload two policies are loaded */
	char confinement[CF_CONFINEMENT_LEN]; /* of the latest worker, in words */
	char reason_names[CF_REASONS_MAX][CF_REASON_LEN];
	struct cf_counter_name counter_names[CF_COUNTERS_MAX];
	struct cf_output_progress outputs[CF_OUTPUTS_MAX];
};

struct cf_shared *cf_shared_new(void); /* NULL: no memory */
void cf_shared_free(struct cf_shared *shared);

/* The committed numbers. Stable only while no worker runs or within the worker itself. */
const struct cf_outcome *cf_outcome_current(const struct cf_shared *shared);
/* A private copy of the committed numbers that no commit tore, for readers in another process. */
void cf_outcome_snapshot(const struct cf_shared *shared, struct cf_outcome *out);

/* Start a batch: the copy to change. Commit makes it current. Beginning again without a commit starts anew. */
struct cf_outcome *cf_outcome_begin(struct cf_shared *shared);
void cf_outcome_commit(struct cf_shared *shared, struct cf_outcome *next);

/* Slot in reasons[] for a code, made on first use. */
uint32_t cf_reason_slot(struct cf_shared *shared, const char *reason, size_t len);
/* Slot in counters[] for a name and label. A slot that only an attempt without commit had used counts from 0. */
uint32_t cf_counter_name_slot(struct cf_shared *shared, const struct cf_counter_name *name);
/* 1: slot `i` counts something. The last one, for what found no slot of its own, only when it has counted. */
int cf_counter_is_used(const struct cf_shared *shared, const struct cf_outcome *outcome, uint32_t i);
#endif
