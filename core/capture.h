/* SPDX-License-Identifier: MIT
 *
 * Captures (pcap and pcapng) as a source of events: packets of one or more files in order of time, parsed and counted
 * into flows as NFLOG's are, the flow table swept in the time of the packets. What comes out are the frames that a
 * recording of the same traffic has, so that whoever reads one reads the other. Same files and options: same frames.
 */
#ifndef CF_CAPTURE_H
#define CF_CAPTURE_H
#include <stdint.h>
#include <stdio.h>
#include "error.h"
#include "flow.h"
#include "frame.h"
#include "plan.h"

enum {
	CF_CAPTURE_FILES = 256,
	CF_CAPTURE_SIDES = 256, /* networks and MAC addresses that say where a cell is */
	CF_CAPTURE_UNPARSED = 5, /* CF_STAT_UNPARSED_NOT_IP and those behind it */
};

struct cf_capture_side {
	uint8_t address[16]; /* network order; of a MAC the first 6 bytes */
	uint32_t family; /* enum cf_family; 0: a MAC */
	uint32_t bits; /* of the prefix */
	uint32_t cell; /* index */
};

/* Zeroed: one cell named as the first file, events of the default kinds, times and sizes as `run` has them. */
struct cf_capture_options {
	uint32_t cell_count;
	char cells[CF_CAPTURE_SIDES][CF_NAME_LEN]; /* "": as the first file */
	uint32_t side_count;
	struct cf_capture_side sides[CF_CAPTURE_SIDES];
	uint64_t idle_ns[CF_IDLE_COUNT]; /* by enum cf_idle; 0: the default */
	uint64_t update_ns; /* interval of `updated`; 0: none, unless they are asked for */
	uint32_t events; /* 1 << enum cf_kind, or-ed; 0: CF_EVENTS_DEFAULT */
	uint32_t flow_entries; /* of the flow table; 0: the default */
};

/* Kinds of events by name, with commas: --events. 0, or -1 with CF_FAIL_USAGE. */
int cf_capture_events(struct cf_capture_options *options, const char *text, struct cf_error *error);
/* Add what --cell-net and --cell-mac say: "CIDR" or "NAME=CIDR", "MAC" or "NAME=MAC". Without a name it is of the cell
 * that has none of its own. An address without a prefix length is that one alone. 0, or -1 with CF_FAIL_USAGE. */
int cf_capture_add_net(struct cf_capture_options *options, const char *text, struct cf_error *error);
int cf_capture_add_mac(struct cf_capture_options *options, const char *text, struct cf_error *error);
/* Name the cell that has no name of its own (--cell-name). */
int cf_capture_name_cell(struct cf_capture_options *options, const char *name, struct cf_error *error);

/* Every packet is in exactly one of the terms of
 *   packets = parsed + unparsed[]
 *   parsed + between = foreign + flow_hit + flow_new + flow_full  */
struct cf_capture_numbers {
	uint64_t packets;
	uint64_t parsed;
	uint64_t unparsed[CF_CAPTURE_UNPARSED]; /* from CF_STAT_UNPARSED_NOT_IP on */
	uint64_t foreign; /* of no cell, though it was said where they are: left out */
	uint64_t between; /* from one cell to another: counted for both, as each would see it */
	uint64_t flow_hit, flow_new, flow_full;
	uint64_t cut; /* packets of which not all bytes were captured */
	uint64_t backwards; /* stamped earlier than one before: taken as of its time */
	uint64_t misdated; /* stamped with what is no time (before 1970, after 2261): the same */
	uint64_t wire_bytes; /* of all packets, as the files state them */
	uint64_t network_bytes; /* of those counted into flows */
	uint64_t first_ns, last_ns; /* virtual time, ns since 1970; 0: no packet yet */
	uint64_t told[5]; /* events, by enum cf_kind */
	uint64_t ended[7]; /* flows, by enum cf_close_reason, told or not */
	uint64_t batches, events;
};

struct cf_capture_file_facts {
	const char *path; /* lives as long as the capture */
	const char *link; /* "EN10MB" */
	const char *link_text; /* "Ethernet" */
	int link_type; /* DLT_* of libpcap */
	uint32_t snaplen;
	uint32_t is_pcapng, is_nanoseconds;
	uint64_t size; /* bytes; 0: not known */
	uint64_t packets;
	const char *damage; /* NULL, or why it could not be read to its end */
};

struct cf_capture;

/* 1: what is at `path` begins as a capture does; 0: not, or it cannot be opened: let a reader say why. Never blocks. */
int cf_capture_is(const char *path);
/* The same of a file's first bytes. */
int cf_capture_is_magic(const void *bytes, size_t len);

/* Open regular files. NULL with CF_FAIL_RECORDING, or CF_FAIL_USAGE for options that do not fit the files. Copies what
 * it needs. Memory: the flow table (32 MiB by default, touched as flows come), and at most about 16 MiB for each file.
 */
struct cf_capture *cf_capture_open(const char *const *paths, uint32_t count, const struct cf_capture_options *options,
				   struct cf_error *error);
/* One stream that is owned from here on, whatever it is. */
struct cf_capture *cf_capture_take(FILE *stream, const char *name, const struct cf_capture_options *options,
				   struct cf_error *error);
void cf_capture_close(struct cf_capture *capture); /* NULL is nothing */

/* The next frame, as cf_reader_next has it: 1, valid until the next call; 0: the end; -1. META, CELL for each cell,
 * CLOCK (offset 0: the boot clock of these frames is the time of day), MOMENT start, BATCH, MOMENT stop, END.
 * A file that cannot be read to its end is read up to there; the flows are still told, and -1 is in the place of END.
 */
int cf_capture_next(void *capture, struct cf_frame *frame, struct cf_error *error);

/* The timeouts of a policy, in place of the options': before the first packet is taken, so not behind MOMENT start. */
void cf_capture_times(struct cf_capture *capture, const struct cf_plan_flows *times);

/* As they are now; valid until it is closed. */
const struct cf_capture_numbers *cf_capture_numbers(const struct cf_capture *capture);
uint32_t cf_capture_file_count(const struct cf_capture *capture);
void cf_capture_file(const struct cf_capture *capture, uint32_t index, struct cf_capture_file_facts *facts);
/* How much of the files was read, for a progress bar: bytes. */
uint64_t cf_capture_position(const struct cf_capture *capture);
/* Name of a cell by the index that its events carry; NULL: there is none. */
const char *cf_capture_cell(const struct cf_capture *capture, uint32_t index);
/* "not_ip", ...: by index of `unparsed`. */
const char *cf_name_unparsed(uint32_t index);

/* What became of the packets, in lines of the log, for the end of a replay. */
void cf_capture_log(const struct cf_capture *capture);
/* cellflow info: all of the file, read as by default. Exit code. */
int cf_capture_info(const char *path, int as_json, FILE *to);
#endif
