/* SPDX-License-Identifier: MIT
 *
 * The decision id: a UUID (version 8) derived from what the event is, never drawn, so that the same event of the
 * same run has the same id wherever and however often it is written. There is no secret in it: the id
 * identifies a record, it does not protect or prove one.
 */
#ifndef CF_DECISION_ID_H
#define CF_DECISION_ID_H
#include "api.h"
#include "hash.h"

/* What all events of one cell and run have in common. */
struct cf_id_scope {
	uint8_t name[CF_HASH_128_LEN];
};

/* Texts are NUL-terminated, shorter than CF_TEXT_LEN and CF_NAME_LEN. */
void cf_id_scope_make(struct cf_id_scope *scope, const char *run_id, const char *cell_name);
/* Writes exactly CF_ID_TEXT_LEN - 1 characters, no NUL. */
void cf_id_format(const struct cf_id_scope *scope, const struct cf_event *event, char *out);
#endif
