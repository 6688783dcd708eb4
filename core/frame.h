/* SPDX-License-Identifier: MIT
 *
 * Frames of a recording (recording.h) in memory: one written at a time into bounded space, and read again from bytes
 * that anybody may have written. Plain copies: this is what the live path pays. Blocks and files are not known here.
 */
#ifndef CF_FRAME_H
#define CF_FRAME_H
#include <stddef.h>
#include "api.h"
#include "recording.h"

enum {
	CF_META_ARGS_MAX = 64, /* as many as a command line may give */
	CF_FRAME_BATCH_MAX = 24 + 32 + 256 * 256, /* the longest BATCH frame */
};

/* What META and GENERATION say. */
struct cf_meta {
	uint64_t now_ns;
	uint64_t recording;
	uint32_t generation;
	uint32_t part;
	const char *texts[10]; /* by enum cf_meta_text_name, below CF_META_TEXTS; NULL or "": not given */
	const char *args[129]; /* name, value, name, value, ..., NULL */
};

/* Write one frame at `out`, 8-aligned. They return its length, a multiple of 8, or 0: it does not fit into `size`, or
 * nobody could read it. `type`: CF_FRAME_META or CF_FRAME_GENERATION. Texts of a cell's frame that are too long are
 * the caller's mistake and give 0 as well. An event's bytes are not looked at, but for whether its prefix is empty. */
size_t cf_frame_put_meta(void *out, size_t size, uint32_t type, const struct cf_meta *meta);
size_t cf_frame_put_cell(void *out, size_t size, uint32_t index, const struct cf_plan_cell *cell);
size_t cf_frame_put_clock(void *out, size_t size, uint64_t now_ns, int64_t offset_ns);
size_t cf_frame_put_batch(void *out, size_t size, uint64_t now_ns, const struct cf_batch *batch);
size_t cf_frame_put_moment(void *out, size_t size, uint64_t now_ns, uint32_t moment, uint64_t lost,
			   uint64_t lost_total);
size_t cf_frame_put_loss(void *out, size_t size, uint64_t now_ns, const struct cf_loss *losses, uint32_t count);
size_t cf_frame_put_end(void *out, size_t size, uint64_t now_ns, uint64_t batches, uint64_t events, uint32_t continues);

/* One frame in memory of somebody else's. */
struct cf_frame {
	const uint8_t *bytes; /* with its head; 8-aligned when the memory was */
	uint32_t len;
	uint32_t type; /* any number but 0: what is beyond enum cf_frame_type comes from a later version */
};

/* The frame at *at (a multiple of 8) of `len` bytes, and *at moved behind it. 1; 0: there are no more; -1: no frame
 * begins there, or it does not end within. Its contents are not looked at. */
int cf_frame_next(const void *memory, size_t len, size_t *at, struct cf_frame *frame);

/* NULL, or what is wrong with the frame, in words; static text. What passes can be read by the functions below. A frame
 * of a type that is not known passes. */
const char *cf_frame_check(const struct cf_frame *frame);

/* The time of a frame that passed; 0: it has none. */
uint64_t cf_frame_time(const struct cf_frame *frame);
/* How many events a frame that passed has: 0 for all but BATCH. */
uint32_t cf_frame_events(const struct cf_frame *frame);
/* What a frame that passed says. Texts point into the frame. */
void cf_frame_get_meta(const struct cf_frame *frame, struct cf_meta *meta);
/* *now_ns and the events, each complete: zeros where there is no prefix. */
void cf_frame_get_batch(const struct cf_frame *frame, uint64_t *now_ns, struct cf_batch *batch);
/* The other frames that passed are read as the structs of recording.h, when they are 8-aligned. */

/* Bytes from a BATCH frame's begin to its first event. */
size_t cf_frame_batch_lead(uint32_t count);
/* 1: event `i` of a BATCH frame that passed has a prefix. */
int cf_frame_has_prefix(const uint8_t *batch, uint32_t i);

/* The word for a number of enum cf_recorded_loss; NULL when there is none. */
const char *cf_name_loss(uint32_t number);
#endif
