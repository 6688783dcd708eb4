/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The 40-byte flow record that objects built for older hosts put into their ring, and its way into an event. The layout
 * is frozen: it never changes, and what it cannot say (bytes, direction, the cell) comes from whoever reads the ring.
 * Read by bpf/test/ too. Which lengths a ring may hold is own_record.h's to say.
 */
#ifndef CF_FROZEN_RECORD_H
#define CF_FROZEN_RECORD_H
#include <stddef.h>
#include <stdint.h>
struct cf_error;
struct cf_event;

enum {
	CF_FROZEN_RECORD_LEN = 40, /* bytes, exactly */
};

/* Native endian, natural alignment. */
struct cf_frozen_record {
	uint32_t src_ip; /* IPv4, host order, as the ports */
	uint32_t dst_ip;
	uint16_t src_port;
	uint16_t dst_port;
	uint8_t proto; /* IANA number */
	uint8_t pad0[3]; /* whatever its producer left there */
	uint64_t pkt_count;
	uint64_t first_seen_ns; /* bpf_ktime_get_ns: CLOCK_MONOTONIC */
	uint8_t verdict; /* 0 unknown, 1 accept, 2 drop; anything else is unknown too */
	uint8_t pad1[7]; /* as pad0 */
};

/* What a record does not say, or is not believed. */
struct cf_record_origin {
	uint64_t now_ns; /* CLOCK_BOOTTIME, taken after the record was seen: none is of later */
	uint64_t boot_offset_ns; /* CLOCK_BOOTTIME minus CLOCK_MONOTONIC, from cf_clock_boot_offset */
	uint32_t slot; /* for event.cell */
	uint32_t ifindex;
	uint32_t direction; /* enum cf_direction */
	uint32_t hook; /* enum cf_hook of the program */
};

/* Fill all of *out from a record of `len` bytes, which need not be aligned. Bytes are absent (0), and so are ports of a
 * protocol that has none; both times are the record's one time, or now when it says none or one to come; seq is 0.
 * Returns 0, or -1 with CF_FAIL_INTERNAL for any length but CF_FROZEN_RECORD_LEN, *out untouched. */
int cf_frozen_decode(const void *record, size_t len, const struct cf_record_origin *origin, struct cf_event *out,
		     struct cf_error *error);
#endif
