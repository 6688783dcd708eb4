/* SPDX-License-Identifier: MIT
 * A record as one line of words: see record_text.h. The cell's end is on the left, the arrow says who began:
 *   2026-01-31T12:00:00.123Z web 10.0.0.1:40000 -> 192.0.2.7:443 tcp S deny no_https rule=https */
#include "record_text.h"
#include "record_words.h"

static void put_ends(struct cf_json *json, const struct cf_event *event)
{
	if (event->direction == CF_DIRECTION_INGRESS) {
		cf_word_target(json, event);
		cf_json_literal(json, " <- ");
		cf_word_source(json, event);
	} else {
		cf_word_source(json, event);
		cf_json_literal(json, " -> ");
		cf_word_target(json, event);
	}
}

static void put_packet(struct cf_json *json, const struct cf_event *event)
{
	char flags[CF_TCP_FLAGS_TEXT_LEN];
	size_t len = event->flags & CF_EVENT_TCP ? cf_tcp_flags_text(event->tcp_flags, flags) : 0;

	cf_json_literal(json, " ");
	cf_word_protocol(json, event);
	if (len) {
		cf_json_literal(json, " ");
		cf_json_bytes(json, flags, len);
	}
	if (event->flags & CF_EVENT_ICMP) {
		cf_json_literal(json, " ");
		cf_json_u64(json, event->icmp_type);
		cf_json_literal(json, "/");
		cf_json_u64(json, event->icmp_code);
	}
	if (event->flags & CF_EVENT_FRAGMENT)
		cf_json_literal(json, " fragment");
}

static void put_amount(struct cf_json *json, const char *before, uint64_t packets, uint64_t bytes)
{
	if (!packets && !bytes)
		return;
	cf_word_name(json, before);
	cf_json_u64(json, packets);
	cf_json_literal(json, " packets ");
	cf_json_u64(json, bytes);
	cf_json_literal(json, " bytes");
}

/* What a flow came to; that one was opened is the ordinary case, and not said. */
static void put_kind(struct cf_json *json, const struct cf_event *event)
{
	int is_lasting = event->kind == CF_KIND_UPDATED || event->kind == CF_KIND_CLOSED;
	const char *reason = event->kind == CF_KIND_CLOSED ? cf_name_close_reason(event->close_reason) : NULL;

	if (event->kind == CF_KIND_OPENED)
		return;
	cf_json_literal(json, " ");
	cf_word_name(json, cf_name_kind(event->kind));
	if (!is_lasting)
		return;
	if (reason) {
		cf_json_literal(json, " ");
		cf_word_name(json, reason);
	}
	if (event->first_seen_ns && event->last_seen_ns >= event->first_seen_ns) {
		cf_json_literal(json, " ");
		cf_json_u64(json, (event->last_seen_ns - event->first_seen_ns) / 1000000);
		cf_json_literal(json, "ms");
	}
	put_amount(json, " ", event->packets, event->bytes);
	put_amount(json, " reply ", event->reply_packets, event->reply_bytes);
}

static void put_decision(struct cf_json *json, const struct cf_event *event, const struct cf_decision *decision,
			 int color)
{
	uint32_t named = event->prefix[0] ? cf_prefix_rule(event->prefix) : 0;
	char text[6 * CF_EVENT_PREFIX_LEN + 2];

	cf_json_literal(json, " ");
	cf_word_decision(json, decision, color);
	cf_json_literal(json, " ");
	cf_word_interned(json, decision->reason);
	if (decision->rule) {
		cf_json_literal(json, " rule=");
		cf_word_interned(json, decision->rule);
	}
	if (named) {
		cf_json_literal(json, " nft=");
		cf_word_json(json, text,
			     cf_json_string(event->prefix + (named >> 8), named & 0xff, text, sizeof(text)));
	}
	if (event->flags & CF_EVENT_CONFLICT)
		cf_json_literal(json, " conflict");
	if (decision->error_place) {
		cf_json_literal(json, " error_at=");
		cf_word_interned(json, decision->error_place);
	}
}

size_t cf_record_compact(const struct cf_event *event, const struct cf_decision *decision, int color, char *out,
			 size_t size)
{
	struct cf_json json;

	if (!cf_parts_bound)
		return 0;
	cf_json_begin(&json, out, size);
	cf_word_time(&json, event->last_seen_ns);
	cf_json_literal(&json, " ");
	cf_word_cell(&json, event);
	cf_json_literal(&json, " ");
	put_ends(&json, event);
	put_packet(&json, event);
	put_kind(&json, event);
	put_decision(&json, event, decision, color);
	return json.overflow ? 0 : json.at - out;
}
