/* SPDX-License-Identifier: MIT
 * Reading frames from bytes that may be anything: see frame.h. */
#include <string.h>
#include "frame.h"
#include "script.h"

_Static_assert(CF_MOMENT_START == 0 && CF_MOMENT_STOP == 1 && CF_MOMENT_LOST == 2 && CF_MOMENT_TIMER == 3,
	       "these numbers are in recordings");
_Static_assert((int)CF_LOSS_OF_NO_CELL == (int)CF_CELLS_MAX, "the first that is no index of a cell");

enum {
	EVENT_FLAGS = CF_EVENT_PORTS | CF_EVENT_ICMP | CF_EVENT_ICMP_ID | CF_EVENT_TCP | CF_EVENT_VLAN |
		      CF_EVENT_FRAGMENT | CF_EVENT_REOPENED | CF_EVENT_MIDSTREAM | CF_EVENT_CONFLICT,
	WITNESSES = 1 << CF_SOURCE_EBPF | 1 << CF_SOURCE_NFLOG | 1 << CF_SOURCE_REPLAY,
	VLAN_MAX = 4095,
};

int cf_frame_next(const void *memory, size_t len, size_t *at, struct cf_frame *frame)
{
	struct cf_frame_head head;

	if (*at == len)
		return 0;
	if (*at > len || len - *at < sizeof(head))
		return -1;
	memcpy(&head, (const uint8_t *)memory + *at, sizeof(head));
	if (head.len < sizeof(head) || head.len > CF_FRAME_MAX || head.len % 8 || head.len > len - *at ||
	    head.type == 0)
		return -1;
	frame->bytes = (const uint8_t *)memory + *at;
	frame->len = head.len;
	frame->type = head.type;
	*at += head.len;
	return 1;
}

/* How many texts are in the `len` bytes, all of them sound and NUL-terminated; -1: they are not. */
static int walk_text(const uint8_t *at, size_t len, struct cf_meta_text *text, size_t *span)
{
	const char *bytes = (const char *)at + sizeof(*text);
	size_t first;

	if (len < sizeof(*text))
		return -1;
	memcpy(text, at, sizeof(*text));
	if (text->len == 0 || text->len > len - sizeof(*text))
		return -1;
	*span = sizeof(*text) + (((size_t)text->len + 7) & ~(size_t)7);
	if (*span > len)
		return -1;
	first = strnlen(bytes, text->len) + 1;
	if (text->name > CF_META_ARG) /* of a later version: its bytes may be anything */
		return 0;
	if (text->name == 0 || bytes[text->len - 1] != '\0' || first > text->len)
		return -1;
	if (text->name == CF_META_ARG)
		return first + strnlen(bytes + first, text->len - first) + 1 == text->len ? 0 : -1;
	return first == text->len ? 0 : -1;
}

static const char *check_meta(const struct cf_frame *frame)
{
	uint32_t count, args = 0, seen = 0;
	size_t at = sizeof(struct cf_frame_meta), span;
	struct cf_meta_text text;

	memcpy(&count, frame->bytes + offsetof(struct cf_frame_meta, text_count), sizeof(count));
	for (; count; count--, at += span) {
		if (walk_text(frame->bytes + at, frame->len - at, &text, &span) < 0)
			return "a text is not sound";
		if (text.name < CF_META_TEXTS && (seen & 1U << text.name))
			return "a text is there twice";
		seen |= text.name < CF_META_TEXTS ? 1U << text.name : 0;
		args += text.name == CF_META_ARG;
	}
	return at != frame->len		 ? "its texts end elsewhere"
	       : args > CF_META_ARGS_MAX ? "it has too many arguments"
					 : NULL;
}

static int is_text(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static const char *check_cell(const struct cf_frame *frame)
{
	struct cf_frame_cell cell;

	memcpy(&cell, frame->bytes, sizeof(cell));
	if (cell.index >= CF_CELLS_MAX)
		return "a cell's number is too high";
	if (cell.sources > CF_SOURCES_NOOP || cell.hooks > (CF_PLAN_EGRESS | CF_PLAN_INGRESS) ||
	    cell.stand > (CF_STAND_INSIDE | CF_STAND_PEER | CF_STAND_TAP) || cell.events >= 2 << CF_KIND_LOGGED)
		return "a cell is watched in a way that does not exist";
	if (!is_text(cell.name, sizeof(cell.name)) || !is_text(cell.interface, sizeof(cell.interface)) ||
	    !is_text(cell.run_id, sizeof(cell.run_id)))
		return "a text of a cell has no end";
	return NULL;
}

static const char *check_event(const struct cf_event *event)
{
	if (event->kind < CF_KIND_OPENED || event->kind > CF_KIND_LOGGED)
		return "an event's kind does not exist";
	if (event->source < CF_SOURCE_EBPF || event->source > CF_SOURCE_REPLAY || (event->witnesses & ~WITNESSES))
		return "an event's source does not exist";
	if (event->hook > CF_HOOK_NF_EGRESS)
		return "an event's hook does not exist";
	if (event->direction < CF_DIRECTION_EGRESS || event->direction > CF_DIRECTION_INGRESS)
		return "an event's direction does not exist";
	if (event->family != CF_FAMILY_IPV4 && event->family != CF_FAMILY_IPV6)
		return "an event's family does not exist";
	if (event->verdict > CF_VERDICT_DROP)
		return "an event's verdict does not exist";
	if (event->close_reason > CF_CLOSE_SHUTDOWN)
		return "an event's close_reason does not exist";
	if (event->flags & ~EVENT_FLAGS)
		return "an event has flags that do not exist";
	if ((event->flags & CF_EVENT_VLAN) && event->vlan > VLAN_MAX)
		return "an event's vlan does not exist";
	return event->cell >= CF_CELLS_MAX ? "an event's cell does not exist" : NULL;
}

int cf_frame_has_prefix(const uint8_t *batch, uint32_t i)
{
	return batch[sizeof(struct cf_frame_batch) + i / 8] >> i % 8 & 1;
}

static const char *check_batch(const struct cf_frame *frame)
{
	struct cf_event event; /* its ring part only */
	uint32_t count, slots;
	size_t at;

	memcpy(&count, frame->bytes + offsetof(struct cf_frame_batch, count), sizeof(count));
	if (count == 0 || count > CF_BATCH_MAX || (at = cf_frame_batch_lead(count)) > frame->len)
		return "a batch's count is wrong";
	for (slots = (count + 63) / 64 * 64; slots > count; slots--)
		if (cf_frame_has_prefix(frame->bytes, slots - 1))
			return "a batch has prefixes without events";
	for (uint32_t i = 0; i < count; i++) {
		int has_prefix = cf_frame_has_prefix(frame->bytes, i);
		size_t len = has_prefix ? CF_EVENT_FULL_LEN : CF_EVENT_RING_LEN;
		const char *prefix = (const char *)frame->bytes + at + CF_EVENT_RING_LEN, *wrong;

		if (frame->len - at < len)
			return "a batch ends before its events";
		memcpy(&event, frame->bytes + at, CF_EVENT_RING_LEN);
		wrong = check_event(&event);
		if (wrong)
			return wrong;
		if (has_prefix && (!prefix[0] || !is_text(prefix, CF_EVENT_PREFIX_LEN)))
			return "an event's prefix is not sound";
		at += len;
	}
	return at == frame->len ? NULL : "a batch ends behind its events";
}

static const char *check_moment(const struct cf_frame *frame)
{
	struct cf_frame_moment moment;

	memcpy(&moment, frame->bytes, sizeof(moment));
	return moment.moment > CF_MOMENT_TIMER ? "a moment does not exist" : NULL;
}

static const char *check_loss(const struct cf_frame *frame)
{
	struct cf_frame_loss loss;
	struct cf_loss one;

	memcpy(&loss, frame->bytes, sizeof(loss));
	if (loss.count == 0 || loss.count > CF_LOSS_MAX || frame->len != sizeof(loss) + loss.count * sizeof(one))
		return "a loss's count is wrong";
	for (uint32_t i = 0; i < loss.count; i++) {
		memcpy(&one, frame->bytes + sizeof(loss) + i * sizeof(one), sizeof(one));
		if (one.what == 0 || one.what >= CF_LOSSES || one.cell > CF_LOSS_OF_NO_CELL)
			return "a loss does not exist";
	}
	return NULL;
}

static const char *check_nothing(const struct cf_frame *frame)
{
	(void)frame;
	return NULL;
}

static const struct {
	uint32_t len; /* at least; exactly where nothing follows */
	int has_more;
	const char *(*check)(const struct cf_frame *frame);
} types[CF_FRAME_TYPES] = {
	[CF_FRAME_META] = { sizeof(struct cf_frame_meta), 1, check_meta },
	[CF_FRAME_CELL] = { sizeof(struct cf_frame_cell), 0, check_cell },
	[CF_FRAME_GENERATION] = { sizeof(struct cf_frame_meta), 1, check_meta },
	[CF_FRAME_CLOCK] = { sizeof(struct cf_frame_clock), 0, check_nothing },
	[CF_FRAME_BATCH] = { sizeof(struct cf_frame_batch), 1, check_batch },
	[CF_FRAME_MOMENT] = { sizeof(struct cf_frame_moment), 0, check_moment },
	[CF_FRAME_LOSS] = { sizeof(struct cf_frame_loss), 1, check_loss },
	[CF_FRAME_END] = { sizeof(struct cf_frame_end), 0, check_nothing },
};

const char *cf_frame_check(const struct cf_frame *frame)
{
	if (frame->type >= CF_FRAME_TYPES)
		return NULL;
	if (frame->len < types[frame->type].len ||
	    (frame->len > types[frame->type].len && !types[frame->type].has_more))
		return "its length is not that of its type";
	return types[frame->type].check(frame);
}

uint64_t cf_frame_time(const struct cf_frame *frame)
{
	uint64_t now_ns = 0;

	/* Every frame that has a time has it behind its head. */
	if (frame->type < CF_FRAME_TYPES && frame->type != CF_FRAME_CELL)
		memcpy(&now_ns, frame->bytes + sizeof(struct cf_frame_head), sizeof(now_ns));
	return now_ns;
}

uint32_t cf_frame_events(const struct cf_frame *frame)
{
	uint32_t count = 0;

	if (frame->type == CF_FRAME_BATCH)
		memcpy(&count, frame->bytes + offsetof(struct cf_frame_batch, count), sizeof(count));
	return count;
}

void cf_frame_get_meta(const struct cf_frame *frame, struct cf_meta *meta)
{
	size_t at = sizeof(struct cf_frame_meta), span;
	struct cf_frame_meta head;
	struct cf_meta_text text;
	uint32_t args = 0;

	memcpy(&head, frame->bytes, sizeof(head));
	*meta = (struct cf_meta){
		.now_ns = head.now_ns, .recording = head.recording, .generation = head.generation, .part = head.part
	};
	for (; head.text_count; head.text_count--, at += span) {
		const char *bytes = (const char *)frame->bytes + at + sizeof(text);

		if (walk_text(frame->bytes + at, frame->len - at, &text, &span) < 0)
			return; /* cannot be: it passed */
		if (text.name < CF_META_TEXTS)
			meta->texts[text.name] = bytes;
		if (text.name != CF_META_ARG || args == CF_META_ARGS_MAX)
			continue;
		meta->args[2 * args] = bytes;
		meta->args[2 * args + 1] = bytes + strlen(bytes) + 1;
		args++;
	}
}

void cf_frame_get_batch(const struct cf_frame *frame, uint64_t *now_ns, struct cf_batch *batch)
{
	size_t at;

	*now_ns = cf_frame_time(frame);
	batch->count = cf_frame_events(frame);
	batch->pad0 = 0;
	at = cf_frame_batch_lead(batch->count);
	for (uint32_t i = 0; i < batch->count; i++) {
		struct cf_event *event = &batch->events[i];
		size_t len = cf_frame_has_prefix(frame->bytes, i) ? CF_EVENT_FULL_LEN : CF_EVENT_RING_LEN;

		memcpy(event, frame->bytes + at, len);
		memset((uint8_t *)event + len, 0, CF_EVENT_FULL_LEN - len);
		at += len;
	}
}

const char *cf_name_loss(uint32_t number)
{
	static const char *const words[CF_LOSSES] = {
		[CF_LOSS_RING_FULL] = "ring_full",
		[CF_LOSS_FLOW_FULL] = "flow_full",
		[CF_LOSS_HOST_RING_FULL] = "host_ring_full",
		[CF_LOSS_NFLOG_LOST] = "nflog_lost",
		[CF_LOSS_NFLOG_OVERRUN] = "nflog_overrun",
		[CF_LOSS_REFUSED] = "refused",
		[CF_LOSS_SKIPPED] = "skipped",
		[CF_LOSS_UNRECORDED] = "unrecorded",
	};

	return number < CF_LOSSES ? words[number] : NULL;
}
