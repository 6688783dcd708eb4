/* SPDX-License-Identifier: MIT
 * Records as JSON: see record.h. An event is a row of copies (record_parts.h) with numbers, addresses and times between
 * them. */
#include "intern.h"
#include "record.h"
#include "record_parts.h"

enum {
	TIME_ROOM = 31, /* exactly: with CF_TIME_TEXT_LEN a record that fits to the byte would be refused */
};

static void put_part(struct cf_json *json, const struct cf_part *part, uint32_t number)
{
	if (number < CF_PARTS_NAMED)
		cf_json_piece(json, part[number].text, part[number].len);
}

/* `member` is the quoted name with its comma and colon. */
#define PUT_NUMBER(json, member, value)                                                                                \
	do {                                                                                                           \
		cf_json_literal(json, member);                                                                         \
		cf_json_u64(json, value);                                                                              \
	} while (0)

static void put_interned(struct cf_json *json, const char *member, size_t member_len, uint32_t id)
{
	const char *text;
	size_t len;

	if (!id)
		return;
	text = cf_intern_json(id, &len);
	if (!len)
		return;
	cf_json_bytes(json, member, member_len);
	cf_json_piece(json, text, len);
}

#define PUT_INTERNED(json, member, id) put_interned(json, member, sizeof(member) - 1, id)

static void put_head(struct cf_json *json, const struct cf_parts *parts, const struct cf_parts_cell *cell,
		     const struct cf_event *event)
{
	cf_json_literal(json, "{\"schema_version\":\"1.0.0\",\"type\":\"network_flow_decision\"");
	put_part(json, parts->names.kind, event->kind);
	cf_json_piece(json, cell->head, cell->head_len);
	if (cf_json_room(json, CF_ID_TEXT_LEN)) {
		cf_id_format(&cell->scope, event, json->at);
		json->at[CF_ID_TEXT_LEN - 1] = '"';
		json->at += CF_ID_TEXT_LEN;
	}
}

static void put_rule_ref(struct cf_json *json, const char *prefix)
{
	uint32_t found = prefix[0] ? cf_prefix_rule(prefix) : 0;

	if (found)
		cf_json_member_text(json, "nft_rule_ref", prefix + (found >> 8), found & 0xff);
}

static void put_decision(struct cf_json *json, const struct cf_parts *parts, const struct cf_event *event,
			 const struct cf_decision *decision)
{
	put_part(json, parts->names.direction, event->direction);
	put_part(json, parts->names.decision, decision->decision);
	PUT_INTERNED(json, ",\"reason_code\":", decision->reason);
	PUT_INTERNED(json, ",\"rule\":", decision->rule);
	put_rule_ref(json, event->prefix);
	PUT_INTERNED(json, ",\"decided_at\":", decision->place);
	PUT_INTERNED(json, ",\"error_at\":", decision->error_place);
}

/* Text of an address or a time, written in place; the quote goes where its NUL was. */
#define PUT_QUOTED(json, member, max, call)                                                                            \
	do {                                                                                                           \
		cf_json_literal(json, member "\"");                                                                    \
		if (cf_json_room(json, max)) {                                                                         \
			(json)->at += (call);                                                                          \
			*(json)->at++ = '"';                                                                           \
		}                                                                                                      \
	} while (0)

static void put_tuple(struct cf_json *json, const struct cf_parts *parts, const struct cf_event *event)
{
	int has_address = event->family == CF_FAMILY_IPV4 || event->family == CF_FAMILY_IPV6;
	int has_ports = event->flags & CF_EVENT_PORTS;

	if (has_address)
		PUT_QUOTED(json, ",\"src_addr\":", CF_ADDRESS_TEXT_LEN,
			   cf_address_text(event->src_addr, event->family, json->at));
	if (has_ports)
		PUT_NUMBER(json, ",\"src_port\":", event->src_port);
	if (has_address)
		PUT_QUOTED(json, ",\"dst_addr\":", CF_ADDRESS_TEXT_LEN,
			   cf_address_text(event->dst_addr, event->family, json->at));
	if (has_ports)
		PUT_NUMBER(json, ",\"dst_port\":", event->dst_port);
	cf_json_piece(json, parts->names.protocol[event->protocol].text, parts->names.protocol[event->protocol].len);
	put_part(json, parts->names.family, event->family);
}

static void put_packet(struct cf_json *json, const struct cf_event *event)
{
	unsigned int flags = event->flags;

	if (flags & CF_EVENT_ICMP) {
		PUT_NUMBER(json, ",\"icmp_type\":", event->icmp_type);
		PUT_NUMBER(json, ",\"icmp_code\":", event->icmp_code);
	}
	if (flags & CF_EVENT_ICMP_ID)
		PUT_NUMBER(json, ",\"icmp_id\":", event->icmp_id);
	if (flags & CF_EVENT_TCP)
		PUT_QUOTED(json, ",\"tcp_flags\":", CF_TCP_FLAGS_TEXT_LEN,
			   cf_tcp_flags_text(event->tcp_flags, json->at));
	if (flags & CF_EVENT_FRAGMENT)
		cf_json_literal(json, ",\"fragment\":true");
	if (flags & CF_EVENT_VLAN)
		PUT_NUMBER(json, ",\"vlan\":", event->vlan);
	if (event->mark)
		PUT_NUMBER(json, ",\"mark\":", event->mark);
}

static uint32_t witnesses_of(const struct cf_event *event)
{
	return event->witnesses ? event->witnesses : 1U << (event->source & 31);
}

static void put_witness(struct cf_json *json, const struct cf_parts *parts, const struct cf_event *event)
{
	unsigned int flags = event->flags;

	put_part(json, parts->names.source, event->source);
	put_part(json, parts->names.witnesses, witnesses_of(event));
	put_part(json, parts->names.hook, event->hook);
	put_part(json, parts->names.verdict, event->verdict);
	if (flags & CF_EVENT_CONFLICT)
		cf_json_literal(json, ",\"conflict\":true");
	if (flags & CF_EVENT_REOPENED)
		cf_json_literal(json, ",\"reopened\":true");
	if (flags & CF_EVENT_MIDSTREAM)
		cf_json_literal(json, ",\"midstream\":true");
}

/* No flow has 0 packets or bytes: 0 is a source that does not count them. */
static void put_counts(struct cf_json *json, const struct cf_parts *parts, const struct cf_event *event)
{
	if (event->packets)
		PUT_NUMBER(json, ",\"packet_count\":", event->packets);
	if (event->bytes)
		PUT_NUMBER(json, ",\"byte_count\":", event->bytes);
	if (event->kind != CF_KIND_UPDATED && event->kind != CF_KIND_CLOSED)
		return;
	if (event->reply_packets)
		PUT_NUMBER(json, ",\"reply_packet_count\":", event->reply_packets);
	if (event->reply_bytes)
		PUT_NUMBER(json, ",\"reply_byte_count\":", event->reply_bytes);
	if (event->first_seen_ns && event->last_seen_ns >= event->first_seen_ns)
		PUT_NUMBER(json, ",\"duration_ms\":", (event->last_seen_ns - event->first_seen_ns) / 1000000);
	if (event->kind == CF_KIND_CLOSED)
		put_part(json, parts->names.close_reason, event->close_reason);
}

/* The same moment twice, as in every `opened`, is made into text once. */
static void put_times(struct cf_json *json, const struct cf_event *event)
{
	const char *first;

	PUT_QUOTED(json, ",\"first_seen\":", TIME_ROOM, cf_time_text(event->first_seen_ns, json->at));
	if (event->last_seen_ns != event->first_seen_ns || json->overflow) {
		PUT_QUOTED(json, ",\"observed_at\":", TIME_ROOM, cf_time_text(event->last_seen_ns, json->at));
		return;
	}
	first = json->at - TIME_ROOM;
	cf_json_literal(json, ",\"observed_at\":\"");
	cf_json_bytes(json, first, TIME_ROOM);
}

static void put_tail(struct cf_json *json, const struct cf_parts *parts, const struct cf_parts_cell *cell,
		     const struct cf_event *event)
{
	cf_json_piece(json, cell->tail, cell->tail_len);
	cf_json_piece(json, parts->metadata, parts->metadata_len);
	put_times(json, event);
	if (event->prefix[0])
		cf_json_member_text(json, "prefix", event->prefix, strnlen(event->prefix, sizeof(event->prefix)));
	cf_json_literal(json, "}");
}

size_t cf_record_json(const struct cf_event *event, const struct cf_decision *decision, char *out, size_t size)
{
	const struct cf_parts *parts = cf_parts_bound;
	const struct cf_parts_cell *cell;
	struct cf_json json;

	if (!parts)
		return 0;
	cell = cf_parts_cell(parts, event->cell);
	cf_json_begin(&json, out, size);
	put_head(&json, parts, cell, event);
	put_decision(&json, parts, event, decision);
	put_tuple(&json, parts, event);
	put_packet(&json, event);
	put_witness(&json, parts, event);
	put_counts(&json, parts, event);
	put_tail(&json, parts, cell, event);
	return json.overflow ? 0 : json.at - out;
}
