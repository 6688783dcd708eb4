/* SPDX-License-Identifier: MIT
 *
 * A record's members by name, out of the record's JSON, so that whoever shows them otherwise (CSV, groups) says the
 * same. What they mean is record.c's.
 */
#ifndef CF_RECORD_MEMBER_H
#define CF_RECORD_MEMBER_H
#include "api.h"

enum { CF_MEMBER_COUNT = 49 };

/* In the order in which records have them. */
extern const char *const cf_member_names[CF_MEMBER_COUNT];

/* JSON: a text with its quotes, a list of texts, a number, true. `text` NULL: absent. */
struct cf_member {
	const char *text;
	size_t len;
};

/* All members of the record that cf_record_json makes, valid until the next call. 0; -1: no line could hold it, or no
 * plan is bound. One thread only. */
int cf_record_members(const struct cf_event *event, const struct cf_decision *decision,
		      struct cf_member members[CF_MEMBER_COUNT]);
#endif
