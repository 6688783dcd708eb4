/* SPDX-License-Identifier: MIT
 *
 * Records for eyes and spreadsheets: one line of words, one row of a table, one row of CSV. What they say is what
 * record.c says; here is how. None of them lets a byte through that a terminal would take for a command.
 */
#ifndef CF_RECORD_TEXT_H
#define CF_RECORD_TEXT_H
#include "api.h"

/* How an output's lines look: enum cf_output_format, and whether with colours. */
enum { CF_STYLE_COLOR = 1, CF_STYLE_COUNT = 2 * CF_FORMAT_COUNT };
static inline uint32_t cf_style(uint32_t format, int color)
{
	return 2 * format + (color && (format == CF_FORMAT_COMPACT || format == CF_FORMAT_TABLE) ? CF_STYLE_COLOR : 0);
}

/* The record as one line without its newline, in `style`; returns its length, 0 when it does not fit or no plan is
 * bound. As cf_record_json otherwise. */
size_t cf_record_line(uint32_t style, const struct cf_event *event, const struct cf_decision *decision, char *out,
		      size_t size);

/* The line that an output of this format begins with, without its newline; returns its length, 0: none. */
size_t cf_record_header(uint32_t format, char *out, size_t size);

/* A line of the policy's own for a terminal: control characters and what is no UTF-8 as \u00xx. 0: it does not fit. */
size_t cf_line_clean(const char *line, size_t len, char *out, size_t size);

/* The three of them, by format. Colour: around the decision. */
size_t cf_record_compact(const struct cf_event *event, const struct cf_decision *decision, int color, char *out,
			 size_t size);
size_t cf_record_table(const struct cf_event *event, const struct cf_decision *decision, int color, char *out,
		       size_t size);
size_t cf_record_csv(const struct cf_event *event, const struct cf_decision *decision, char *out, size_t size);
size_t cf_table_header(char *out, size_t size);
size_t cf_csv_header(char *out, size_t size);
#endif
