/* SPDX-License-Identifier: MIT
 *
 * What a side of a comparison tells of each event, as a stream of messages in a pipe: written by the process that
 * replays one policy, read by the one that joins both. Texts go once; memory is bounded at both ends whatever a policy
 * makes up. Both processes are one executable, so the layout is nobody else's business.
 */
#ifndef CF_DIFF_STREAM_H
#define CF_DIFF_STREAM_H
#include <stddef.h>
#include "api.h"
#include "error.h"
#include "siphash.h"

enum cf_diff_type {
	CF_DIFF_TEXT = 1,
	CF_DIFF_EVENT = 2,
	CF_DIFF_END = 3, /* the last one; without it the process died */
};

struct cf_diff_head {
	uint32_t len; /* of the message with its head, a multiple of 8 */
	uint32_t type;
};

/* Texts are compared by length and hash; what is shown is cut. */
struct cf_diff_text {
	struct cf_diff_head head;
	uint32_t id; /* as of cf_intern, in the writer; an id that is shared is told anew before each use */
	uint32_t shown; /* bytes that follow */
	uint64_t len;
	uint8_t hash[CF_SIPHASH_128_LEN];
};

struct cf_diff_flow {
	_Alignas(8) uint8_t event[CF_EVENT_RING_LEN]; /* struct cf_event without its prefix */
	uint32_t cell; /* text; 0: none */
	char id[CF_ID_TEXT_LEN];
	char time[CF_TIME_TEXT_LEN]; /* last_seen */
	char pad0[7];
};

struct cf_diff_event {
	struct cf_diff_head head;
	uint32_t ending; /* enum cf_ending; 0: a record */
	uint32_t decision; /* enum cf_decision_code; the rest are texts, 0: absent */
	uint32_t reason;
	uint32_t rule;
	uint32_t place;
	uint32_t has_flow; /* 1: struct cf_diff_flow follows */
};

struct cf_diff_end {
	struct cf_diff_head head;
	uint64_t events; /* that the policy was asked for */
	uint64_t refused; /* of cells that the recording does not name */
	uint64_t records;
	uint64_t deduplicated;
	uint64_t suppressed;
	uint64_t failed;
	uint64_t script_errors;
	uint64_t has_no_end; /* 1: the last file has none */
	struct cf_error error; /* kind CF_OK: none */
};

enum {
	CF_DIFF_SHOWN_MAX = 512,
	CF_DIFF_BUFFER = 256 * 1024,
};

struct cf_diff_writer {
	int fd; /* not owned */
	size_t used;
	uint8_t told[CF_INTERN_NAME_MAX + 1]; /* by text id */
	_Alignas(8) uint8_t buffer[CF_DIFF_BUFFER]; /* so are messages in it */
};

/* The id, after the reader was told the text. */
uint32_t cf_diff_tell(struct cf_diff_writer *writer, uint32_t text);
/* Room for a message, zeroed, with its head. Written out when the next does not fit, or by cf_diff_flush. When nobody
 * reads any more, the process ends. */
void *cf_diff_put(struct cf_diff_writer *writer, uint32_t type, size_t len);
void cf_diff_flush(struct cf_diff_writer *writer);

struct cf_diff_reader {
	int fd; /* not owned */
	size_t at, used;
	_Alignas(8) uint8_t buffer[CF_DIFF_BUFFER]; /* so are messages in it */
};

/* The next message, valid until the next call; NULL: the stream ended. */
const struct cf_diff_head *cf_diff_get(struct cf_diff_reader *reader);
#endif
