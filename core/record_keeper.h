/* SPDX-License-Identifier: MIT
 *
 * The recorder as its supervisor sees it: the memory that it works on, its files, its process, and another one when it
 * dies. What it does is recorder.h's. All of it does nothing when nothing is to be recorded.
 */
#ifndef CF_RECORD_KEEPER_H
#define CF_RECORD_KEEPER_H
#include <stdbool.h>
#include "channel.h"
#include "crew.h"
#include "record_stream.h"
#include "recorder.h"

struct cf_record_options {
	const char *path; /* of the first part, the others get .1, .2, ...; NULL: nothing is recorded */
	int replace; /* 1: files that exist are emptied */
	uint64_t part_bytes; /* another part after so much; 0: never */
	uint64_t part_ns; /* the same by time */
};

struct cf_record_keeper {
	const struct cf_record_options *options;
	struct cf_recorder_config config;
	struct cf_host_ring ring;
	struct cf_record_stream stream; /* our own mapping, for when there is no worker any more */
	struct cf_member member; /* pid 0: none runs */
	int fds[2]; /* of the latest two parts, by the lowest bit of their numbers */
	uint32_t parts; /* files that were made */
	uint32_t restarts;
	int64_t respawn_at_ms; /* while none runs */
	bool has_complained; /* of a part that could not be made */
	bool finishing;
	bool finished;
	int64_t finish_by_ms;
};

void cf_record_keeper_init(struct cf_record_keeper *keeper);
/* The memory; nothing runs yet. A file that exists is refused here already. `options` must outlive it. */
int cf_record_keeper_open(struct cf_record_keeper *keeper, const struct cf_record_options *options, uid_t uid,
			  gid_t gid, struct cf_error *error);
/* Idempotent; kills the process. A file that nothing was written to is removed. */
void cf_record_keeper_close(struct cf_record_keeper *keeper);
/* 1: this run is recorded. */
int cf_record_keeper_is_on(const struct cf_record_keeper *keeper);

/* Make the first file, and start the process. */
int cf_record_keeper_start(struct cf_record_keeper *keeper, struct cf_error *error);
/* Some times a second. */
void cf_record_keeper_tick(struct cf_record_keeper *keeper, int64_t now_ms);
/* What its channel has to say. */
void cf_record_keeper_hear(struct cf_record_keeper *keeper, int64_t now_ms);
/* What was lost in all: about once a second, and before it is to finish. Never waits. */
void cf_record_keeper_losses(struct cf_record_keeper *keeper, const struct cf_message_losses *losses);
/* There is no worker any more: write what is there, up to what is committed in `done`, within `ms`, and end.
 * `finished` says when. */
void cf_record_keeper_finish(struct cf_record_keeper *keeper, const struct cf_outcome *done, uint64_t ms,
			     int64_t now_ms);
#endif
