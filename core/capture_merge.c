/* SPDX-License-Identifier: MIT
 * Packets of several files in order of time: a heap of the files, by the next packet of each. See capture_state.h. */
#include "capture_state.h"

/* Files with packets of the same time in the order in which they were named. */
static int is_before(const struct cf_capture *capture, uint32_t a, uint32_t b)
{
	uint64_t time_a = capture->files[a].packet.time_ns, time_b = capture->files[b].packet.time_ns;

	return time_a != time_b ? time_a < time_b : a < b;
}

static void sift_down(struct cf_capture *capture, uint32_t at)
{
	uint32_t *heap = capture->heap, least = at;

	for (;; at = least) {
		for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < capture->heap_count; child++)
			if (is_before(capture, heap[child], heap[least]))
				least = child;
		if (least == at)
			return;
		uint32_t file = heap[at];

		heap[at] = heap[least];
		heap[least] = file;
	}
}

/* The first packet of each file. What all files say of time decides when it began. */
void cf_capture_merge_begin(struct cf_capture *capture)
{
	uint64_t first = UINT64_MAX;

	for (uint32_t i = 0; i < capture->file_count; i++)
		if (cf_capture_file_next(&capture->files[i]))
			capture->heap[capture->heap_count++] = i;
	for (uint32_t i = capture->heap_count; i-- > 0;)
		sift_down(capture, i);
	for (uint32_t i = 0; i < capture->heap_count; i++) {
		uint64_t time = capture->files[capture->heap[i]].packet.time_ns;

		if (time && time < first)
			first = time;
	}
	capture->flows.now_ns = first == UINT64_MAX ? 1 : first; /* 0 is no time */
}

const struct cf_capture_file *cf_capture_merge_first(const struct cf_capture *capture)
{
	return capture->heap_count ? &capture->files[capture->heap[0]] : NULL;
}

void cf_capture_merge_next(struct cf_capture *capture)
{
	if (!cf_capture_file_next(&capture->files[capture->heap[0]]))
		capture->heap[0] = capture->heap[--capture->heap_count];
	sift_down(capture, 0);
}
