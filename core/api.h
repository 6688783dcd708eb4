/* SPDX-License-Identifier: MIT
 *
 * What the Lua runtime may call in core/, by ffi. Same rules as event.h: Lua reads this text too.
 * None of these functions touches a lua_State, blocks, or keeps a pointer it was given beyond the call.
 * Text goes in as (pointer, length): Lua strings may hold any byte, NUL included.
 */
#ifndef CF_API_H
#define CF_API_H
#include <stddef.h>
#include <stdint.h>
#include "event.h"
#include "plan.h"

enum {
	CF_BATCH_MAX = 256,
	CF_ADDRESS_TEXT_LEN = 46, /* INET6_ADDRSTRLEN */
	CF_TIME_TEXT_LEN = 40, /* longest RFC 3339 text we write, with its NUL */
	CF_ID_TEXT_LEN = 37, /* UUID with its NUL */
	CF_TCP_FLAGS_TEXT_LEN = 9, /* eight letters and a NUL */
	CF_INTERN_NAME_MAX = 32768, /* distinct texts that cf_intern keeps: 10,000 rules have 20,000 */
	CF_LINE_MAX = 1048576, /* longest output line in bytes, newline included */
	CF_COUNTERS_MAX = 512, /* a policy's own counters; the last one counts for all further ones */
	CF_COUNTER_LEN = 64, /* of a counter's name and of its label, each with its NUL */
	CF_WINDOW_BUCKETS = 16, /* parts of a sliding window */
	CF_WINDOW_LOOKS = 8, /* keys that are looked at to find one to forget */
};

enum cf_decision_code {
	CF_ALLOW = 1,
	CF_DENY = 2,
};

enum cf_log_level {
	CF_LOG_ERROR = 0,
	CF_LOG_WARN = 1,
	CF_LOG_INFO = 2,
	CF_LOG_DEBUG = 3,
};

/* The batch in hand. Filled by core, read by Lua; valid until the call into Lua returns. */
struct cf_batch {
	uint32_t count;
	uint32_t pad0; /* zero */
	struct cf_event events[CF_BATCH_MAX];
};

/* What policy said of one event. Texts are ids from cf_intern; 0: absent. */
struct cf_decision {
	uint32_t decision; /* enum cf_decision_code */
	uint32_t reason;
	uint32_t rule;
	uint32_t place; /* file:line of what decided */
	uint32_t error_place; /* file:line of the script error that this event met */
	uint32_t pad0; /* zero */
};

enum {
	CF_PLACES_MAX = 256, /* functions of a policy that can be switched off one by one */
	CF_PLACE_NAME_LEN = 96,
	CF_PLACE_HANDLERS = 16, /* below it: by step; from it on: by `at` */
};

/* Where dispatch is in the batch, in memory that outlives the worker: when one hangs, the supervisor reads here over
 * what, and writes what the next one is to leave out. The policy's function that is being called has place
 * CF_PLACE_HANDLERS + at when `at` is not 0, else place `step`. */
struct cf_progress {
	int32_t index; /* of the event */
	int32_t count; /* of the batch */
	int32_t step; /* dispatch.lua's */
	int32_t at; /* handler or timer, from 1 */
	int32_t failures[8]; /* in a row, by step */
	uint64_t switched_off[CF_PLACES_MAX / 64]; /* bit n: place n */
	/* "verdict at cellflow.lua:3", by the worker that read the policy */
	char names[CF_PLACES_MAX][CF_PLACE_NAME_LEN];
};

/* One for the process's life. */
struct cf_progress *cf_progress_get(void);

/* How an event that writes no record ended. */
enum cf_ending {
	CF_ENDING_DEDUPLICATED = 1,
	CF_ENDING_SUPPRESSED = 2, /* format returned nil */
	CF_ENDING_FAILED = 3, /* not even the fallback could be written */
	CF_ENDING_FILTERED = 4, /* the command line's filters leave it out */
	CF_ENDING_FILTERED_DENY = 5, /* the same of a denial */
};

/* The batch the worker fills; one for the process's life. */
struct cf_batch *cf_batch_get(void);

/* A small id (>= 1) for a text that recurs: reason codes, rule names, places. The text is copied and escaped
 * once. A text that is new when CF_INTERN_NAME_MAX are known, or that is very long, takes one of a few shared ids
 * in turn: good for the decision in hand, not to be kept when cf_intern_is_shared says so. */
uint32_t cf_intern(const char *text, size_t len);
int cf_intern_is_shared(uint32_t id);

/* Write the event's record, to each output in its format, or a line of the policy's own, which takes the place of the
 * JSON of the event at cf_progress's index: outputs of other formats get the record. Exactly one of cf_record_write,
 * cf_line_write, cf_event_suppress and cf_event_end is called for each event of a batch; behind the limit
 * (cf_emit_limit) the first two end it as filtered. Return 0, or -1 when the line was longer
 * than CF_LINE_MAX (counted as dropped). The newline is added here; newlines in `line` become "\\n" text. */
int cf_record_write(const struct cf_event *event, const struct cf_decision *decision);
int cf_line_write(const char *line, size_t len, const struct cf_decision *decision);
/* The same lines besides those of the events, a line of the policy's own to all outputs: any number of them, at any time between cf_emit_begin's. Counted as
 * extra, not as records. Without effect (-1) while nothing is under way, as when a policy is read or checked. */
int cf_extra_record(const struct cf_event *event, const struct cf_decision *decision);
int cf_extra_write(const char *line, size_t len);
void cf_event_end(uint32_t ending);
/* CF_ENDING_SUPPRESSED, for whoever wants to know what was decided. */
void cf_event_suppress(const struct cf_decision *decision);
/* A script error was met; counted once for each call. */
void cf_script_error(void);

/* What LuaJIT's compiler did. */
enum cf_trace_event {
	CF_TRACE_COMPILED = 0,
	CF_TRACE_ABORTED = 1, /* begun and given up */
	CF_TRACE_FLUSHED = 2, /* everything compiled so far was thrown away */
	CF_TRACE_EVENTS = 3,
};
/* Count it at once: it is no part of a batch. Without a cf_traces_bind, nothing counts. */
void cf_trace_count(uint32_t event);

/* The policy's own counters. The slot of a name and label (len 0: none), made on first use; what does not fit goes to
 * a slot that all share. Cut after CF_COUNTER_LEN - 1 bytes. `add` counts in the batch under way and is lost with it;
 * n is a whole number, not negative. Without outcomes (while a policy is checked) they count nothing. */
uint32_t cf_counter_slot(const char *name, size_t name_len, const char *label, size_t label_len);
void cf_counter_add(uint32_t slot, double n);
double cf_counter_get(uint32_t slot);

/* What a sliding window knows of one key: counts by part of the window. Memory of the caller's, zeroed. */
struct cf_window_slot {
	double total; /* of all parts */
	double part; /* number of the latest part that counted, since the clock began */
	double counts[CF_WINDOW_BUCKETS];
};

/* Count n in part number `part`, after the parts that are a window older were forgotten; an earlier part than the
 * latest counts as the latest. Returns the total. n may be 0. */
double cf_window_add(struct cf_window_slot *slot, double part, double n);
/* Of CF_WINDOW_LOOKS of the `count` slots, from `first` on (around the end), the index of the one that counts least
 * now: the one to forget. */
uint32_t cf_window_least(struct cf_window_slot *slots, uint32_t count, uint32_t first, double part);

/* One JSON object without a newline into `out`; returns its length, or 0 when it does not fit in `size` bytes or no
 * plan is bound. Members in this order, and only those that are known: schema_version, type, kind, cell_id, run_id,
 * decision_id, direction, decision, reason_code, rule, nft_rule_ref (of the prefix, see cf_prefix_rule), decided_at,
 * error_at, src_addr, src_port, dst_addr, dst_port, protocol (four have a label), protocol_number, family, icmp_type,
 * icmp_code, icmp_id, tcp_flags, fragment (only when true), vlan, mark (not 0), source, witnesses (a list; not for one
 * that saw it alone, unless that is nflog), hook (netfilter's only: of tc, direction says it), verdict, conflict,
 * reopened, midstream (only when true), packet_count, byte_count (not 0), reply_packet_count, reply_byte_count (not 0;
 * of updated and closed), duration_ms (of updated and closed), close_reason (of closed), interface, generation,
 * policy_digest, keyset_id, issuer_kid, correlation_id, first_seen, observed_at, prefix. An event of a cell that the
 * plan does not have has no cell_id. */
size_t cf_record_json(const struct cf_event *event, const struct cf_decision *decision, char *out, size_t size);

/* 1: `key` was seen less than `seconds` before now_ns (event's boot clock); 0: not, and now it is remembered. */
int cf_dedup_seen(const char *key, size_t len, double seconds, uint64_t now_ns);

/* Texts into the caller's buffer (sizes above); return the length without the NUL. */
size_t cf_address_text(const uint8_t *address, uint32_t family, char *out);
size_t cf_time_text(uint64_t boot_ns, char *out);
size_t cf_decision_id_text(const struct cf_event *event, char *out);
/* The bytes of an address text; returns the family (4, 6) or 0 when it is none. */
uint32_t cf_address_parse(const char *text, size_t len, uint8_t *out);
/* Seconds since 1970 of a boot-clock stamp. */
double cf_wall_seconds(uint64_t boot_ns);
/* `text` as a JSON string with its quotes, strict for any bytes (invalid UTF-8 becomes U+FFFD). Writes at most
 * `size` bytes; returns the length, or 0 when it does not fit. 6 * len + 2 always fits. */
size_t cf_json_string(const char *text, size_t len, char *out, size_t size);

/* The word for a number of event.h or of enum cf_decision_code, as records write it; NULL when there is none.
 * Static text. cf_name_protocol knows tcp, udp, icmp and icmpv6 only. */
const char *cf_name_kind(uint32_t number);
const char *cf_name_source(uint32_t number);
const char *cf_name_hook(uint32_t number);
const char *cf_name_witnesses(uint32_t bits); /* "ebpf,nflog": 1 << enum cf_source, or-ed */
const char *cf_name_direction(uint32_t number);
const char *cf_name_family(uint32_t number);
const char *cf_name_verdict(uint32_t number);
const char *cf_name_close_reason(uint32_t number);
const char *cf_name_decision(uint32_t number);
const char *cf_name_protocol(uint32_t number);
/* TCP flags as letters, "SA" for SYN and ACK, in the order of the bits: FSRPAUEC. No flag: length 0. */
size_t cf_tcp_flags_text(uint32_t flags, char *out);

/* The rule that a log prefix names: "cellflow:deny:NAME" and "cellflow:allow:NAME" give where NAME begins << 8 | its
 * length, without the blanks and colons that people put behind a prefix. 0: it names none. `prefix` is NUL-terminated
 * within CF_EVENT_PREFIX_LEN. */
uint32_t cf_prefix_rule(const char *prefix);

/* Room for one more cell or output of the plan, zeroed; NULL when the plan is full. Owned by the plan. */
struct cf_plan_cell *cf_plan_add_cell(struct cf_plan *plan);
struct cf_plan_output *cf_plan_add_output(struct cf_plan *plan);

/* 1: no ceiling for Lua's memory, for as long as the runtime itself collects after a policy ran into it. 0: back to
 * the ceiling, with a little on top until the batch is over, so that what happened can be written down. */
void cf_memory_lift(uint32_t lifted);

/* Unless cf_guard_finish comes first, `text` is written to `fd` after so many seconds of processor time, and the process
 * ends with exit code `code`: for verbs, while a function of the policy runs (core/guard.h). Cut at 256 KiB. */
void cf_guard_begin(uint32_t seconds, int32_t code, int32_t fd, const char *text, size_t len);
void cf_guard_finish(void);

/* CLOCK_MONOTONIC, for timing. */
double cf_monotonic_seconds(void);

void cf_log_text(uint32_t level, const char *text, size_t len);
#endif
