/* SPDX-License-Identifier: MIT
 *
 * The recording in a run's summary. What was not recorded is no loss of records: it is told apart from those.
 */
#ifndef CF_SUMMARY_RECORDING_H
#define CF_SUMMARY_RECORDING_H
#include <string.h>
#include "json.h"
#include "record_keeper.h"

struct cf_recording_summary {
	const char *path; /* NULL: nothing is recorded */
	uint64_t parts, batches, events, bytes; /* in the files */
	uint64_t unrecorded; /* events that found no room in the record ring */
	uint64_t unwritten; /* events that did, and are in no file (yet) */
	uint64_t errors; /* failed writes, each tried again */
	uint64_t restarts; /* of the recorder */
	int adds_up;
};

void cf_recording_summary(const struct cf_record_keeper *keeper, const struct cf_outcome *outcome,
			  struct cf_recording_summary *out);
void cf_recording_summary_log(const struct cf_recording_summary *numbers);
/* A member, with its comma before it; nothing when nothing is recorded. */
void cf_recording_summary_json(struct cf_json *json, const struct cf_recording_summary *numbers);
#endif
