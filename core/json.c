/* SPDX-License-Identifier: MIT
 * Strict JSON for any bytes: see json.h. */
#include "json.h"

const char cf_digit_pairs[200] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
				 "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
				 "8081828384858687888990919293949596979899";

/* What a byte asks for when it begins a character. */
enum {
	PLAIN = 0,
	ESCAPE, /* ASCII that must not stand as it is */
	LEAD_2, /* first byte of a sequence of two, three, four */
	LEAD_3,
	LEAD_4,
	BAD, /* never begins a character: continuation, overlong, past U+10FFFF */
};

static const uint8_t classes[256] = {
	[0x00 ... 0x1f] = ESCAPE, ['"'] = ESCAPE,	    ['\\'] = ESCAPE,
	[0x7f] = ESCAPE,	  [0x80 ... 0xc1] = BAD,    [0xc2 ... 0xdf] = LEAD_2,
	[0xe0 ... 0xef] = LEAD_3, [0xf0 ... 0xf4] = LEAD_4, [0xf5 ... 0xff] = BAD,
};

static void put_escape(struct cf_json *json, unsigned int code)
{
	static const char short_forms[128] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\',
	};
	static const char digits[] = "0123456789abcdef";
	char escape[6] = { '\\', 'u' };

	if (code < sizeof(short_forms) && short_forms[code]) {
		escape[1] = short_forms[code];
		cf_json_bytes(json, escape, 2);
		return;
	}
	for (int i = 0; i < 4; i++)
		escape[2 + i] = digits[code >> (12 - 4 * i) & 15];
	cf_json_bytes(json, escape, sizeof(escape));
}

/* Only the second byte's range tells overlong forms, surrogates and code points past U+10FFFF from good ones. */
static int is_second(uint8_t lead, uint8_t byte)
{
	uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
	uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;

	return byte >= low && byte <= high;
}

/* Bytes of the sequence that `text` begins with, at least 1; *whole says whether it is a character or a cut one. */
static size_t measure(const uint8_t *text, size_t len, int *whole)
{
	size_t want = classes[text[0]] - LEAD_2 + 2;
	size_t have = 1;

	*whole = 0;
	if (classes[text[0]] == BAD)
		return 1;
	if (len > 1 && is_second(text[0], text[1]))
		for (have = 2; have < want && have < len && (text[have] & 0xc0) == 0x80;)
			have++;
	*whole = have == want;
	return have;
}

/* C1 controls and the two line separators are well-formed, but some reader takes them for commands or line ends. */
static unsigned int troublesome(const uint8_t *text)
{
	if (text[0] == 0xc2 && text[1] < 0xa0)
		return text[1];
	if (text[0] == 0xe2 && text[1] == 0x80 && (text[2] & 0xfe) == 0xa8)
		return 0x2000 | (text[2] & 0x3f);
	return 0;
}

static size_t put_sequence(struct cf_json *json, const uint8_t *text, size_t len)
{
	int whole;
	size_t taken = measure(text, len, &whole);
	unsigned int code = whole ? troublesome(text) : 0xfffd;

	if (code)
		put_escape(json, code);
	else
		cf_json_bytes(json, (const char *)text, taken);
	return taken;
}

static size_t plain_run(const uint8_t *text, size_t len)
{
	size_t run = 0;

	while (run < len && classes[text[run]] == PLAIN)
		run++;
	return run;
}

void cf_json_escaped(struct cf_json *json, const char *text, size_t len)
{
	const uint8_t *at = (const uint8_t *)text;
	const uint8_t *end = at + len;

	while (at < end && !json->overflow) {
		size_t run = plain_run(at, end - at);

		cf_json_bytes(json, (const char *)at, run);
		at += run;
		if (at == end)
			break;
		if (classes[*at] == ESCAPE)
			put_escape(json, *at++);
		else
			at += put_sequence(json, at, end - at);
	}
}

void cf_json_text(struct cf_json *json, const char *text, size_t len)
{
	cf_json_literal(json, "\"");
	cf_json_escaped(json, text, len);
	cf_json_literal(json, "\"");
}

size_t cf_json_string(const char *text, size_t len, char *out, size_t size)
{
	struct cf_json json;

	cf_json_begin(&json, out, size);
	cf_json_text(&json, text, len);
	return json.overflow ? 0 : json.at - out;
}

void cf_json_member_text(struct cf_json *json, const char *name, const char *text, size_t len)
{
	cf_json_literal(json, ",\"");
	cf_json_bytes(json, name, strlen(name));
	cf_json_literal(json, "\":");
	cf_json_text(json, text, len);
}

static unsigned int count_digits(uint64_t value)
{
	unsigned int count = 1;

	for (; value >= 10000; value /= 10000)
		count += 4;
	return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

size_t cf_u64_digits(uint64_t value, char *out)
{
	unsigned int count = count_digits(value);
	char *at = out + count;

	while (value >= 100) {
		at -= 2;
		memcpy(at, cf_digit_pairs + 2 * (value % 100), 2);
		value /= 100;
	}
	if (value >= 10)
		memcpy(out, cf_digit_pairs + 2 * value, 2);
	else
		*out = '0' + value;
	return count;
}

void cf_json_u64(struct cf_json *json, uint64_t value)
{
	char digits[CF_U64_DIGITS];

	if (json->end - json->at >= CF_U64_DIGITS)
		json->at += cf_u64_digits(value, json->at);
	else
		cf_json_bytes(json, digits, cf_u64_digits(value, digits));
}
