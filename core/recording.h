/* SPDX-License-Identifier: MIT
 *
 * The recording: what a worker was given, in the order it took it, as frames in compressed blocks. This is the layout
 * of both, for the writer (recording_write.h), the reader (recording_read.h) and the frames alone (frame.h); in words
 * it is docs/recordings.md. Little-endian, natural alignment, widest fields first, named padding (zero).
 */
#ifndef CF_RECORDING_H
#define CF_RECORDING_H
#include <stdint.h>
#include "event.h"
#include "plan.h"

enum {
	/* A reader takes any minor version of its own major one: a minor version adds frame types and texts, no more.
	 * Any other change, also of struct cf_event or of a value in one of its enums, is a major version. */
	CF_RECORDING_MAJOR = 1,
	CF_RECORDING_MINOR = 0,

	CF_BLOCK_RAW_MAX = 1048576, /* bytes of frames in a block */
	CF_FRAME_MAX = 262144, /* a frame with its head */
};

enum cf_block_flag {
	CF_BLOCK_COLUMNS = 1, /* packed by recording_pack.h before compression */
};

/* In front of a block's data. */
struct cf_block_head {
	char magic[8]; /* CF_BLOCK_MAGIC, without NUL */
	uint16_t major, minor;
	uint32_t flags; /* enum cf_block_flag, or-ed */
	uint32_t raw_len; /* of the frames, 1..CF_BLOCK_RAW_MAX */
	uint32_t data_len; /* of the compressed data that follow */
	uint32_t frames;
	uint32_t events; /* in the BATCH frames */
	uint64_t recording; /* random; the same in all blocks of a file and all parts of a recording */
	uint64_t number; /* of the block in this file: 0, 1, ... */
	uint64_t first_ns, last_ns; /* least and greatest now_ns of its frames; 0: none has one */
	uint64_t data_hash; /* XXH64, seed 0, of the data */
	uint64_t head_hash; /* XXH64, seed 0, of the head up to here */
};

enum cf_frame_type {
	CF_FRAME_META = 1, /* of a file's first frame, and of no other */
	CF_FRAME_CELL = 2, /* one for each cell of the plan, behind META and behind GENERATION */
	CF_FRAME_GENERATION = 3, /* a policy was put in force; laid out as META */
	CF_FRAME_CLOCK = 4, /* holds until the next one */
	CF_FRAME_BATCH = 5,
	CF_FRAME_MOMENT = 6,
	CF_FRAME_LOSS = 7,
	CF_FRAME_END = 8, /* the last frame of a file that was ended, not cut off */
	CF_FRAME_TYPES = 9,
};

struct cf_frame_head {
	uint32_t len; /* of the frame with this head; a multiple of 8 */
	uint16_t type; /* enum cf_frame_type */
	uint16_t pad0;
};

/* META and GENERATION; texts follow. */
struct cf_frame_meta {
	struct cf_frame_head head;
	uint64_t now_ns; /* CLOCK_BOOTTIME, here and below */
	uint64_t recording; /* as in the block's head */
	uint32_t generation; /* as in records; 0: none */
	uint32_t part; /* of the recording: 0, 1, ... for each file that it went on in */
	uint32_t text_count;
	uint32_t pad0;
};

enum cf_meta_text_name { /* a text that is not there was not given */
			 CF_META_VERSION = 1, /* of cellflow */
			 CF_META_HOST = 2,
			 CF_META_KERNEL = 3,
			 CF_META_RUN_ID = 4,
			 CF_META_POLICY_DIGEST = 5,
			 CF_META_KEYSET_ID = 6,
			 CF_META_ISSUER_KID = 7,
			 CF_META_CORRELATION_ID = 8,
			 CF_META_POLICY_FILE = 9,
			 CF_META_TEXTS = 10,
			 CF_META_ARG = 10, /* an argument of the policy: its name, NUL, its value, NUL */
};

struct cf_meta_text {
	uint32_t len; /* of the bytes that follow, with their NUL, without what pads them to a multiple of 8 */
	uint16_t name; /* enum cf_meta_text_name; others are passed over */
	uint16_t pad0;
};

/* As in the plan; texts are NUL-terminated. */
struct cf_frame_cell {
	struct cf_frame_head head;
	uint32_t index; /* struct cf_event.cell */
	uint32_t sources; /* enum cf_plan_sources */
	uint32_t hooks;
	uint32_t stand;
	uint32_t events;
	uint32_t pad0;
	char name[CF_NAME_LEN];
	char interface[CF_IFNAME_LEN];
	char run_id[CF_TEXT_LEN];
};

struct cf_frame_clock {
	struct cf_frame_head head;
	uint64_t now_ns;
	int64_t offset_ns; /* time of day minus boot clock */
};

/* What was decided in one go. Behind it (count + 63) / 64 words: bit i says that event i has a prefix. Then the events,
 * each the first CF_EVENT_RING_LEN bytes of struct cf_event, or CF_EVENT_FULL_LEN where there is a prefix. */
struct cf_frame_batch {
	struct cf_frame_head head;
	uint64_t now_ns;
	uint32_t count; /* 1..256 */
	uint32_t pad0;
};

struct cf_frame_moment {
	struct cf_frame_head head;
	uint64_t now_ns;
	uint64_t lost; /* as in struct cf_script_moment */
	uint64_t lost_total;
	uint32_t moment; /* enum cf_moment */
	uint32_t pad0;
};

enum cf_recorded_loss {
	CF_LOSS_RING_FULL = 1, /* events that found no room in the kernel's ring */
	CF_LOSS_FLOW_FULL = 2, /* packets that found no room in the flow table */
	CF_LOSS_HOST_RING_FULL = 3, /* events that found no room in the collector's ring */
	CF_LOSS_NFLOG_LOST = 4, /* packets by gaps in NFLOG's sequence numbers, and one for each gap not seen yet */
	CF_LOSS_NFLOG_OVERRUN = 5, /* times that an NFLOG socket was full */
	CF_LOSS_REFUSED = 6, /* ring records that were no event of a known cell */
	CF_LOSS_SKIPPED = 7, /* events over which two workers died */
	CF_LOSS_UNRECORDED = 8, /* events that were decided, and found no room on the way to the recording */
	CF_LOSSES = 9,
};

struct cf_loss {
	uint64_t lost; /* since the last LOSS frame that tells of the same */
	uint32_t what; /* enum cf_recorded_loss */
	uint32_t cell; /* index in the plan; CF_LOSS_OF_NO_CELL */
};

enum {
	CF_LOSS_OF_NO_CELL = 4096, /* not known, or of all cells together */
	CF_LOSS_MAX = 4096, /* in a frame */
};

/* `count` times struct cf_loss follows. */
struct cf_frame_loss {
	struct cf_frame_head head;
	uint64_t now_ns;
	uint32_t count; /* 1..CF_LOSS_MAX */
	uint32_t pad0;
};

struct cf_frame_end {
	struct cf_frame_head head;
	uint64_t now_ns;
	uint64_t batches; /* of this file */
	uint64_t events;
	uint32_t continues; /* 1: in another file, the next part */
	uint32_t pad0;
};

#define CF_BLOCK_MAGIC "cellflow"
#endif
