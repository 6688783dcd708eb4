/* SPDX-License-Identifier: MIT
 *
 * A bounded JSON writer: appends into memory of the caller's, never past its end, and remembers when something did
 * not fit. Text may hold any byte and comes out as strict JSON. Knows nothing of records or outputs.
 */
#ifndef CF_JSON_H
#define CF_JSON_H
#include <string.h>
#include "api.h"

/* Once `overflow` is set what was written is to be thrown away: a later, shorter piece may have fitted again. */
struct cf_json {
	char *at;
	char *end;
	int overflow;
};

static inline void cf_json_begin(struct cf_json *json, char *out, size_t size)
{
	json->at = out;
	json->end = out + size;
	json->overflow = 0;
}

/* Claim `len` bytes; 0 when they do not fit. */
static inline int cf_json_room(struct cf_json *json, size_t len)
{
	if (__builtin_expect(len > (size_t)(json->end - json->at), 0)) {
		json->overflow = 1;
		return 0;
	}
	return 1;
}

/* Bytes that are JSON already. */
static inline void cf_json_bytes(struct cf_json *json, const char *bytes, size_t len)
{
	if (!cf_json_room(json, len))
		return;
	memcpy(json->at, bytes, len);
	json->at += len;
}

/* The same for pieces made in advance, in memory that may be read up to the next multiple of CF_JSON_PAD past `len`:
 * whole blocks are copied while there is room for them, which costs a third of a memcpy whose length is not known. */
enum {
	CF_JSON_PAD = 32,
	CF_JSON_PIECE_MAX = 512, /* from here on memcpy is the faster one */
};

static inline size_t cf_json_padded(size_t len)
{
	return (len + CF_JSON_PAD - 1) & ~(size_t)(CF_JSON_PAD - 1);
}

static inline void cf_json_piece(struct cf_json *json, const char *bytes, size_t len)
{
	char *at = json->at;

	if (__builtin_expect((size_t)(json->end - at) < len + CF_JSON_PAD || len > CF_JSON_PIECE_MAX, 0)) {
		cf_json_bytes(json, bytes, len);
		return;
	}
	for (size_t i = 0; i < len; i += CF_JSON_PAD)
		memcpy(at + i, bytes + i, CF_JSON_PAD);
	json->at = at + len;
}

#define cf_json_literal(json, text) cf_json_bytes(json, text, sizeof(text) - 1)

/* `text` quoted and escaped. The short forms for \b \t \n \f \r, \u00xx for the other control characters (C0, DEL, C1),
 * U+2028 and U+2029 escaped; invalid UTF-8 becomes one U+FFFD for each maximal part of a sequence, as Unicode
 * recommends and Python's errors="replace" does. At most 6 * len + 2 bytes. */
void cf_json_text(struct cf_json *json, const char *text, size_t len);
/* The same without the quotes around it. */
void cf_json_escaped(struct cf_json *json, const char *text, size_t len);
void cf_json_u64(struct cf_json *json, uint64_t value);
/* ,"NAME":"TEXT" with the leading comma; `name` is NUL-terminated and needs no escaping. */
void cf_json_member_text(struct cf_json *json, const char *name, const char *text, size_t len);

/* Decimal digits of `value` at `out` (at least CF_U64_DIGITS bytes, no NUL); returns their number. */
enum {
	CF_U64_DIGITS = 20,
};
size_t cf_u64_digits(uint64_t value, char *out);
/* The two decimal digits of 0..99, without a NUL after them. */
extern const char cf_digit_pairs[200];
#endif
