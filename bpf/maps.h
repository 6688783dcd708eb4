/* SPDX-License-Identifier: GPL-2.0-only
 *
 * The maps and the configuration of the tc program: its contract with the loader. Names and types are found
 * by name; FLOWS, FLOW_EVENTS, FLOW_BELL and WAKE may be shared by the objects of all cells (bpf_map__reuse_fd), while
 * STATS and the configuration belong to one. Says nothing about what is put into them.
 */
#ifndef CF_BPF_MAPS_H
#define CF_BPF_MAPS_H

enum {
	CF_BELL_BYTES = 4096, /* a page; the loader knows how large those are */
};

/* Every loader has a secret of its own; these words only keep flows apart where there is none. */
const volatile struct cf_bpf_config cf_config SEC(".rodata.config") = {
	.wake_interval_ns = 1000000,
	.secret = { { 0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89,
		      0x452821e638d01377, 0xbe5466cf34e90c6c, 0xc0ac29b7c97c50dd, 0x3f84d5b5b5470917,
		      0x9216d5d98979fb1b, 0xd1310ba698dfb5ac, 0x2ffd72dbd01adfb7, 0xb8e1afed6a267e96,
		      0xba7c9045f12c7f99 } },
	.link_len = ETH_HLEN,
	.set_mask = CF_FLOW_SETS - 1,
	.events = 1 << CF_KIND_OPENED,
	.slot_mask = CF_SLOTS - 1,
	.slot_limit = CF_SLOTS - CF_SLOTS / 32, /* the loader knows how many CPUs there are */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CF_SLOT_FIRST + CF_SLOTS);
	__type(key, __u32);
	__type(value, struct cf_slot);
} FLOW_EVENTS SEC(".maps");

/* Only to wake who reads FLOW_EVENTS: nothing is said in it. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CF_BELL_BYTES);
} FLOW_BELL SEC(".maps");

/* Mapped by user space, which takes out what ended (core/sweep.c) without a system call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CF_FLOW_SETS + CF_FLOW_SETS / CF_FLOW_BLOCK); /* the sets, then their tags */
	__type(key, __u32);
	__type(value, struct cf_flow_set);
} FLOWS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cf_stats);
} STATS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cf_wake);
} WAKE SEC(".maps");
#endif
