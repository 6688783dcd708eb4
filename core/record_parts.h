/* SPDX-License-Identifier: MIT
 *
 * What the records of a plan have in common, escaped once: members with few values, and what each cell and the
 * metadata stamp on a record. Made by cf_record_bind (record.h), copied by record.c; nobody else's business.
 */
#ifndef CF_RECORD_PARTS_H
#define CF_RECORD_PARTS_H
#include "decision_id.h"
#include "json.h"
#include "plan.h"

enum {
	CF_PARTS_NAMED = 16, /* more than the largest number that has a name */
	CF_PARTS_METADATA_MAX = 6 * 4 * CF_TEXT_LEN + 128,
};

/* A whole member with its leading comma; length 0 where the number has no name. Padded for cf_json_piece. */
struct cf_part {
	char text[2 * CF_JSON_PAD];
	size_t len;
};

struct cf_parts_names {
	struct cf_part kind[CF_PARTS_NAMED], direction[CF_PARTS_NAMED], decision[CF_PARTS_NAMED];
	struct cf_part family[CF_PARTS_NAMED], source[CF_PARTS_NAMED], verdict[CF_PARTS_NAMED];
	struct cf_part close_reason[CF_PARTS_NAMED], hook[CF_PARTS_NAMED];
	struct cf_part witnesses[CF_PARTS_NAMED]; /* by their bits; nothing for eBPF or a replay alone */
	struct cf_part protocol[256]; /* the label, where there is one, and the number */
};

struct cf_parts_cell {
	char *head; /* ,"cell_id":..,"run_id":..,"decision_id":" */
	char *tail; /* ,"interface":.. ; in the same allocation */
	uint32_t head_len;
	uint32_t tail_len;
	struct cf_id_scope scope;
};

struct cf_parts {
	struct cf_parts_names names;
	uint32_t cell_count; /* of the plan */
	struct cf_parts_cell *cells; /* one more than the plan has: the last is for events of no known cell */
	size_t metadata_len;
	char metadata[CF_PARTS_METADATA_MAX]; /* and the generation in front */
};

/* The parts of the bound plan, NULL when none is. */
extern const struct cf_parts *cf_parts_bound;

static inline const struct cf_parts_cell *cf_parts_cell(const struct cf_parts *parts, uint32_t index)
{
	return &parts->cells[index < parts->cell_count ? index : parts->cell_count];
}
#endif
