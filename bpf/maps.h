/* SPDX-License-Identifier: GPL-2.0-only
 *
 * The maps and the configuration of the tc program: its contract with the loader. Names and types are found
 * by name; FLOWS, FLOW_EVENTS and WAKE may be shared by the objects of all cells (bpf_map__reuse_fd), while STATS
 * and the configuration belong to one. Says nothing about what is put into them.
 */
#ifndef CF_BPF_MAPS_H
#define CF_BPF_MAPS_H

enum {
	CF_FLOWS_MAX = 262144,
	CF_RING_BYTES = 16 << 20,
};

const volatile struct cf_bpf_config cf_config SEC(".rodata.config") = {
	.wake_interval_ns = 1000000,
	.link_len = ETH_HLEN,
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CF_RING_BYTES);
} FLOW_EVENTS SEC(".maps");

/* The common LRU on purpose: BPF_F_NO_COMMON_LRU keeps per-CPU lists and evicts at about half of the capacity. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CF_FLOWS_MAX);
	__type(key, struct cf_flow_key);
	__type(value, struct cf_flow);
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
