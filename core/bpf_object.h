/* SPDX-License-Identifier: MIT
 *
 * From the bytes of a BPF object to loaded programs: the built-in object or an operator's file, one load for each
 * cell, with the maps that all cells share. Where the programs are attached is left to attach.h.
 */
#ifndef CF_BPF_OBJECT_H
#define CF_BPF_OBJECT_H
#include <stddef.h>
#include <stdint.h>
struct cf_error;
struct cf_stats;

/* The maps that loads share, owned here (O_CLOEXEC); -1: not there yet. The first load that brings a map fills it in
 * and the next ones use it, when their map has the same type and sizes (else they keep their own). An operator's object
 * shares none, because its records may not say which cell they are from; the shared ring is there after its load too.
 */
struct cf_bpf_maps {
	int ring_fd; /* FLOW_EVENTS, else flow_events */
	int bell_fd; /* FLOW_BELL; -1: FLOW_EVENTS is a ring buffer, which needs none */
	int flows_fd; /* FLOWS, when it is of struct cf_flow_set, to be mapped */
	int wake_fd; /* WAKE, when it is of struct cf_wake */
};

struct cf_bpf_options {
	uint64_t wake_interval_ns;
	uint64_t seed; /* of the flow table's hash: the same for all loads that share FLOWS, and unknown to cells */
	uint32_t cell;
	uint32_t link_len; /* from cf_interface_look */
	uint32_t flow_entries; /* 0: as the object says; counts for the load that creates the map, and the built-in one
				*/
	uint32_t events; /* 1 << enum cf_kind, or-ed: of opened and closed, what goes to the ring */
	uint32_t ring_bytes; /* of events, as above; made a power of two of slots (cf_ring_slots) */
	uint32_t hooks; /* wanted: enum cf_plan_hook, or-ed */
	uint32_t flags; /* enum cf_bpf_flag, or-ed */
	uint32_t own_ring; /* 1: the built-in object gets a ring of its own, too */
	const char *path; /* operator's object; NULL: the built-in one */
};

/* What stays of a load, owned here (O_CLOEXEC): with thousands of cells every descriptor counts. */
struct cf_bpf_object {
	int prog_fd[2]; /* by enum cf_flow_direction; -1: not wanted */
	int stats_fd; /* per-CPU struct cf_stats; -1: the object has none */
	int ring_fd; /* an operator's object, or options.own_ring: its own ring, for own_ring.h; -1: the built-in one,
			which uses maps->ring_fd */
	int bell_fd; /* of that ring; -1: it is a ring buffer */
	size_t ring_size; /* of that ring, bytes */
};

void cf_bpf_maps_init(struct cf_bpf_maps *maps);
void cf_bpf_maps_close(struct cf_bpf_maps *maps); /* idempotent; loaded programs keep using the maps */
/* Make the shared ring (0 bytes: of the built-in object's size), if there is none; -1 with CF_FAIL_RING_OPEN. */
int cf_bpf_maps_ring(struct cf_bpf_maps *maps, uint32_t bytes, struct cf_error *err);

/* Returns 0, or -1 with CF_FAIL_OBJECT_MISSING (file), CF_FAIL_LOAD (no such program or ring map, verifier's words),
 * CF_FAIL_RING_OPEN or CF_FAIL_UNSUPPORTED_HOST (privileges). `out` is freed by cf_bpf_unload; after a failure it holds
 * nothing. */
int cf_bpf_load(struct cf_bpf_maps *maps, const struct cf_bpf_options *options, struct cf_bpf_object *out,
		struct cf_error *err);
/* How many bytes of events a ring has room for, of either layout (ring.h); -1 with CF_FAIL_RING_OPEN. */
int cf_bpf_ring_size(int ring_fd, size_t *size, struct cf_error *err);
void cf_bpf_object_init(struct cf_bpf_object *object); /* holds nothing */
void cf_bpf_unload(struct cf_bpf_object *object); /* idempotent */

/* The sum over all CPUs that the machine can have; 0, or -errno. */
int cf_bpf_stats(int stats_fd, struct cf_stats *sum);
#endif
