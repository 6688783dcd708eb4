/* SPDX-License-Identifier: MIT
 *
 * Texts that recur, by small ids: cf_intern and cf_intern_is_shared (api.h), and the bytes behind an id. Every text
 * is escaped once, so that a record only copies it. Memory is bounded whatever a policy makes up: texts are kept up
 * to CF_INTERN_NAME_MAX and CF_INTERN_KEEP_LEN, all others pass through a few shared ids.
 */
#ifndef CF_INTERN_H
#define CF_INTERN_H
#include "api.h"

enum {
	CF_INTERN_KEEP_LEN = 1024, /* longer texts get a shared id: what is that long does not recur */
	/* More than one, because the texts of one decision are interned before any of them is written. */
	CF_INTERN_SHARED = 8,
};

/* The text as JSON with its quotes, padded for cf_json_piece; owned by the table, valid until a shared id comes round
 * again. NULL and length 0 for id 0 and ids never given; NULL and length SIZE_MAX when no line could hold the text. */
const char *cf_intern_json(uint32_t id, size_t *len);
/* The text as it was given; same rules. */
const char *cf_intern_text(uint32_t id, size_t *len);
/* Forget all ids and free all memory. */
void cf_intern_reset(void);
#endif
