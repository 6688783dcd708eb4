/* SPDX-License-Identifier: MIT
 *
 * Messages between supervisor and worker over a SOCK_SEQPACKET pair: a type, a body of fixed layout, at most one or
 * two descriptors. Both ends are the same build, so bodies are plain structs; the supervisor still treats every body
 * that comes from a worker as hostile.
 */
#ifndef CF_CHANNEL_H
#define CF_CHANNEL_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "plan.h"
#include "recording.h"

enum cf_message_type {
	/* worker to supervisor */
	CF_MSG_FAILED = 1, /* struct cf_message_text: policy did not load; worker exits */
	CF_MSG_INCLUDE, /* struct cf_message_path: while loading, a file that the policy includes; one answer */
	CF_MSG_PLAN_LIMITS, /* struct cf_plan_limits */
	CF_MSG_PLAN_FLOWS, /* struct cf_plan_flows */
	CF_MSG_PLAN_METADATA, /* struct cf_plan_metadata */
	CF_MSG_PLAN_OUTPUT, /* struct cf_plan_output */
	CF_MSG_PLAN_CELL, /* struct cf_plan_cell */
	CF_MSG_PLAN_END,
	CF_MSG_READY, /* took over and runs */
	CF_MSG_DONE, /* finished: ring drained or hand-over point reached, nothing left in hand */
	CF_MSG_MISUSED, /* struct cf_message_text: the command line asks for what cannot be; worker exits */
	CF_MSG_LIMIT, /* the limit is reached: look at the outcome */
	CF_MSG_OUTPUT_GONE, /* struct cf_message_number: index of an output whose reader has gone */
	/* recorder to supervisor */
	CF_MSG_PART_WANTED, /* struct cf_message_number: which; an answer is CF_MSG_PART, or none */
	/* supervisor to worker */
	CF_MSG_OUTPUT, /* struct cf_message_number: index; descriptors: target, buffer */
	CF_MSG_SLOT, /* struct cf_message_slot: events of `slot` belong to that cell */
	CF_MSG_RING, /* struct cf_message_number: size in bytes; descriptors: ring map, bell */
	CF_MSG_HOST_RING, /* struct cf_message_number: size in bytes; descriptors: memory, eventfd */
	CF_MSG_RECORD_RING, /* as CF_MSG_HOST_RING: what is taken is to be recorded there */
	CF_MSG_INCLUDED, /* struct cf_message_number: size in bytes; descriptor: the file's text */
	CF_MSG_INCLUDE_FAILED, /* struct cf_message_text: why not */
	CF_MSG_LOST, /* struct cf_message_number: events that the kernel could not hand over, in all */
	CF_MSG_DRAINING, /* struct cf_message_number: milliseconds that a CF_MSG_FINISH to come will have. Nothing new
			    comes from now on, and what is there is to get into the recording as well */
	/* supervisor to collector */
	CF_MSG_FLOWS, /* struct cf_message_number: how many sets; descriptor: the flow table's map */
	CF_MSG_TIMES, /* struct cf_plan_flows */
	CF_MSG_SOURCE, /* struct cf_message_source: a cell, or something new about it; its descriptors, in that order */
	CF_MSG_SOURCE_GONE, /* struct cf_message_gone: take what is left of it, and close its flows */
	/* supervisor to recorder */
	CF_MSG_PART, /* struct cf_message_number: which of the recording; descriptor: its file, empty */
	CF_MSG_LOSSES, /* struct cf_message_losses */
	/* to all */
	CF_MSG_START, /* struct cf_message_number: generation */
	/* struct cf_message_number: milliseconds. Decide what is in the ring now and flush the outputs, then DONE. Slow
	 * outputs get that long, all in all. */
	CF_MSG_FINISH,
	/* The same without deciding anything more: what is left in the ring is the next worker's. */
	CF_MSG_LEAVE,
};

enum { CF_CHANNEL_FDS_MAX = 3 };

struct cf_message_text {
	char text[1024];
};

struct cf_message_number {
	uint64_t value;
};

struct cf_message_path {
	char path[CF_PATH_LEN];
};

struct cf_message_slot {
	uint32_t slot;
	char name[CF_NAME_LEN]; /* of a cell of the plan, or of one that an earlier plan had and whose last events come
				 */
	char interface[CF_IFNAME_LEN]; /* as resolved */
};

struct cf_message_source {
	uint32_t slot; /* what its events carry */
	uint32_t ifindex; /* of its interface; 0: none */
	uint32_t events; /* 1 << enum cf_kind, or-ed */
	uint32_t direction; /* enum cf_direction of what its own ring's records are about */
	uint32_t has_nflog; /* 1: first descriptor is its NFLOG socket */
	uint32_t has_ring; /* 1: the next one is its own ring */
	uint32_t has_bell; /* 1: the last one is that ring's bell */
	uint32_t is_joined; /* 1: both sources, told as one */
	uint64_t nflog_cookie; /* that no other socket has: who read it before left a note of how far (collected.h) */
	uint64_t ring_size; /* bytes */
	char name[CF_NAME_LEN];
};

struct cf_message_gone {
	uint32_t slot;
	uint32_t reason; /* enum cf_close_reason */
};

struct cf_message_losses {
	uint64_t now_ns; /* CLOCK_BOOTTIME */
	uint64_t totals[CF_LOSSES]; /* by enum cf_recorded_loss, since the run began */
};

union cf_message_body {
	struct cf_message_text text;
	struct cf_message_number number;
	struct cf_message_slot slot;
	struct cf_message_path path;
	struct cf_plan_limits limits;
	struct cf_plan_flows flows;
	struct cf_plan_metadata metadata;
	struct cf_plan_output output;
	struct cf_plan_cell cell;
	struct cf_plan_flows times;
	struct cf_message_source source;
	struct cf_message_gone gone;
	struct cf_message_losses losses;
};

struct cf_message {
	uint32_t type;
	uint32_t len; /* of the body, in bytes */
	union cf_message_body body;
	int fds[CF_CHANNEL_FDS_MAX]; /* received descriptors, the receiver's; -1 where none */
};

/* A connected pair of descriptors, close-on-exec. 0 or -errno. */
int cf_channel_pair(int pair[2]);
/* Blocks while the other end's queue is full. 0, or -errno (-EPIPE: the other end has gone). */
int cf_channel_send(int fd, uint32_t type, const void *body, size_t len, const int *fds, int fd_count);
/* The same without descriptors, and without waiting: -EAGAIN while the queue is full. */
int cf_channel_try_send(int fd, uint32_t type, const void *body, size_t len);
/* 1: a message; 0: the other end has gone; -EAGAIN: none within timeout_ms (-1: wait for ever); else -errno.
 * A malformed message is -EBADMSG, and its descriptors are closed. */
int cf_channel_receive(int fd, struct cf_message *message, int timeout_ms);
/* Body length that a message of this type must have. */
size_t cf_message_len(uint32_t type);
void cf_message_close_fds(struct cf_message *message);
#endif
