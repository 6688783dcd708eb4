/* SPDX-License-Identifier: MIT
 *
 * What is in a recording, by reading all of it once: who made it, of what, how much, and whether it is whole. Counts
 * and texts; how they are shown is info_report.c's.
 */
#ifndef CF_INFO_H
#define CF_INFO_H
#include <stdio.h>
#include "recording_read.h"

struct cf_info_cell {
	char name[CF_NAME_LEN];
	char interface[CF_IFNAME_LEN];
	char run_id[CF_TEXT_LEN];
	uint64_t events;
};

enum {
	CF_INFO_CELLS =
		CF_CELLS_MAX, /* different names that are counted; a recording over many reloads may have more */
	CF_INFO_HASH = 2 * CF_CELLS_MAX,
};

/* About 1.5 MB: from cf_info_new. */
struct cf_info {
	struct cf_reader_numbers numbers;
	struct cf_error error;
	enum cf_damage damage;
	uint32_t is_ended, continues, has_clock;
	uint16_t major, minor;
	int64_t first_offset_ns, offset_ns;
	uint64_t file_size; /* 0: not known */
	uint8_t *meta_bytes; /* the META frame, NULL: none */
	struct cf_meta meta; /* points into it */
	char digest[CF_TEXT_LEN]; /* of the policy in force at the end; "" when not known */
	uint32_t generations; /* policies that were in force */
	uint32_t last_generation;
	uint64_t kinds[8], sources[4], moments[4]; /* by their enums */
	uint64_t losses[CF_LOSSES];
	uint64_t of_no_cell; /* events of cells that the recording does not name, or of too many of them */
	uint32_t cell_count;
	uint16_t by_index[CF_CELLS_MAX]; /* cells[] + 1, by the index that events carry now */
	uint16_t by_hash[CF_INFO_HASH];
	struct cf_info_cell cells[CF_INFO_CELLS];
	struct cf_batch batch;
};

struct cf_info *cf_info_new(void); /* NULL: no memory */
void cf_info_free(struct cf_info *info);
/* Read the file to its end, or to where it is damaged: -1 then, with what was before in *info and why in its error. */
int cf_info_read(struct cf_info *info, const char *path);

/* Lines for people; a JSON object on one line. -1: they could not be written. */
int cf_info_print(const struct cf_info *info, const char *path, FILE *to);
int cf_info_print_json(const struct cf_info *info, const char *path, FILE *to);
#endif
