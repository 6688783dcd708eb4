/* SPDX-License-Identifier: MIT
 *
 * Records in groups: how many have the same values of some of their members, as `sort | uniq -c` would tell. Memory is
 * bounded by CF_TALLY_GROUPS_MAX and CF_TALLY_BYTES_MAX, not by the number of records. What is shown of it is the
 * caller's.
 */
#ifndef CF_TALLY_H
#define CF_TALLY_H
#include "error.h"
#include "record_member.h"

enum {
	CF_TALLY_FIELDS_MAX = 8,
	CF_TALLY_GROUPS_MAX = 65536,
	CF_TALLY_BYTES_MAX = 64 << 20, /* of the values of all groups */
};

struct cf_tally_numbers {
	uint64_t count; /* records */
	uint64_t decisions[3]; /* of them, by enum cf_decision_code */
	uint64_t ended; /* of them, `closed`: those whose packets and bytes the next two are, in both directions */
	uint64_t packets, bytes;
};

struct cf_tally_group {
	struct cf_tally_numbers numbers;
	size_t key; /* of cf_tally_value */
	size_t key_len;
};

struct cf_tally {
	uint32_t field_count;
	uint32_t fields[CF_TALLY_FIELDS_MAX]; /* indices of cf_member_names */
	struct cf_tally_group *groups; /* in the order in which they began */
	size_t count, room;
	struct cf_tally_numbers not_grouped; /* records that would have begun another group */
	char *keys; /* of all groups, each value with a NUL behind it */
	size_t key_bytes, key_room;
	uint8_t secret[16]; /* nobody can aim records at one slot; what comes out does not depend on it */
	uint32_t slots[2 * CF_TALLY_GROUPS_MAX]; /* group + 1, or 0 */
};

/* Names with commas between them; `origin` is what they were given as ("--by"). 0, or -1 with CF_FAIL_USAGE. */
int cf_tally_fields(struct cf_tally *tally, const char *text, const char *origin, struct cf_error *error);

struct cf_tally *cf_tally_new(void); /* NULL: no memory */
void cf_tally_free(struct cf_tally *tally); /* NULL is nothing */

/* Count a record of which these are the members (NULL: not known). Returns its group's index; -1: it is in none, and
 * counted so. */
long cf_tally_add(struct cf_tally *tally, const struct cf_event *event, const struct cf_decision *decision,
		  const struct cf_member *members);

/* The groups' indices, most records first, among equals by their values in the order of the fields, numbers as numbers.
 * To be freed; NULL: no memory, or no groups. */
uint32_t *cf_tally_order(const struct cf_tally *tally);
/* The group's value of field number `field`, as JSON; "": absent. */
const char *cf_tally_value(const struct cf_tally *tally, const struct cf_tally_group *group, uint32_t field);
/* to += from */
void cf_tally_sum(struct cf_tally_numbers *to, const struct cf_tally_numbers *from);
#endif
