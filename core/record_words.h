/* SPDX-License-Identifier: MIT
 *
 * The words that records for eyes are made of: addresses with ports, names, texts. Used by record_compact.c and
 * record_table.c only.
 */
#ifndef CF_RECORD_WORDS_H
#define CF_RECORD_WORDS_H
#include "json.h"
#include "record_parts.h"

/* A text that is JSON already, quotes included: without them where it is one word of printable ASCII. "-" for none. */
void cf_word_json(struct cf_json *json, const char *text, size_t len);
/* An id of cf_intern. */
void cf_word_interned(struct cf_json *json, uint32_t id);
void cf_word_cell(struct cf_json *json, const struct cf_event *event);
/* 2026-01-31T12:00:00.123Z */
void cf_word_time(struct cf_json *json, uint64_t boot_ns);
/* A static text, "-" for NULL. */
void cf_word_name(struct cf_json *json, const char *name);
/* 192.0.2.7:443, [2001:db8::1]:443, or the address alone. */
void cf_word_source(struct cf_json *json, const struct cf_event *event);
void cf_word_target(struct cf_json *json, const struct cf_event *event);
/* tcp, or the number. */
void cf_word_protocol(struct cf_json *json, const struct cf_event *event);
/* Green and red on a terminal. */
void cf_word_decision(struct cf_json *json, const struct cf_decision *decision, int color);
#endif
