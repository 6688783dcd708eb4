/* SPDX-License-Identifier: MIT
 *
 * One output: a bounded buffer of complete lines and the descriptor they leave by. The buffer (a memfd, mapped
 * twice in a row so that a line never wraps) and its progress are shared with the supervisor and outlive a worker;
 * where the lines begin and end is decided by the outcome's commit, not here. Never blocks, never drops what it
 * has accepted while the reader may still come back; what does not fit is the caller's to count.
 */
#ifndef CF_SINK_H
#define CF_SINK_H
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "outcome.h"

enum {
	CF_SINK_BUFFER_LEN = 4 * 1024 * 1024, /* a power of two, at least 2 * CF_LINE_MAX */
};

struct cf_sink {
	int fd; /* owned */
	int buffer_fd; /* owned; the memfd behind `buffer` */
	uint8_t *buffer; /* 2 * CF_SINK_BUFFER_LEN bytes of address space */
	struct cf_output_progress *progress;
	size_t write_max; /* bytes to a write */
	int may_block; /* a write of more than PIPE_BUF could, and one that poll(2) did not announce */
	int is_regular;
	int is_socket;
	int is_appending; /* O_APPEND: writes land at the file's end, not at the descriptor's offset */
};

/* Open what the plan says (privileged half). stdout is opened anew where that gives a non-blocking description
 * of our own. */
int cf_sink_open_target(const struct cf_plan_output *output, int *fd, struct cf_error *error);

/* Take over `fd` and `buffer_fd` (-1: make the buffer). Closes both on failure. */
int cf_sink_open(struct cf_sink *sink, int fd, int buffer_fd, struct cf_output_progress *progress,
		 struct cf_error *error);
void cf_sink_close(struct cf_sink *sink);

/* Privileged half, once the last writer has stopped and before the next one starts: what comes next begins on a line
 * of its own. `before` is the descriptor that this buffer was written to until now, -1: none. Where that was another
 * file or reader, the rest of a line that it holds the beginning of is counted as uncertain and passed over. */
void cf_sink_begin(struct cf_sink *sink, int before, uint64_t head);

/* Where the next line goes, and how much room there is; `head` is the end of what was accepted so far. */
uint8_t *cf_sink_space(const struct cf_sink *sink, uint64_t head, size_t *room);

/* Write out everything before `head`. 0: done; 1: the reader is slow or the disk is full, call again when poll(2)
 * says writable, or later; -1: the reader has gone for good (progress->broken is set). */
int cf_sink_flush(struct cf_sink *sink, uint64_t head);

/* After a worker died: find out what its unfinished write did. For a regular file exactly; for anything else the
 * lines of that write are counted as uncertain, never written twice, and a newline keeps the next one apart. That
 * is also done for a regular file when others wrote into it or cut it at the same time, and for stderr's: log lines may
 * be in between. */
void cf_sink_recover(struct cf_sink *sink, uint64_t head);

/* Complete lines written out, ever; without those that were given up as uncertain. */
uint64_t cf_sink_written(const struct cf_sink *sink);
/* Complete lines accepted and not yet written. */
uint64_t cf_sink_buffered(const struct cf_sink *sink, uint64_t head);
#endif
