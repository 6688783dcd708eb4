/* SPDX-License-Identifier: MIT
 *
 * The cells being watched: each has a slot number, which its events carry, a loaded object and an attachment, and all
 * share one ring and one flow table. What the slots mean to a worker is the supervisor's to tell.
 */
#ifndef CF_CELLS_H
#define CF_CELLS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attach.h"
#include "bpf_object.h"
#include "bypass.h"
#include "cell_watch.h"
#include "flow.h"
#include "stand.h"

struct cf_cell {
	struct cf_plan_cell plan;
	struct cf_bpf_object object;
	struct cf_stand stand; /* where it is attached */
	struct cf_attachment attachment;
	struct cf_bypass bypass;
	struct cf_cell_watched watched;
	struct cf_stats stats; /* as last read; final once detached */
	struct cf_cell *before; /* in the same slot, while both are there; NULL: none */
	uint32_t slot; /* what its events carry: index into by_slot | epoch << CF_SLOT_BITS */
	uint32_t mode; /* enum cf_attach_mode that was used; stays when detached, as the interface does. AUTO: no
			  program */
	int nflog_fd; /* socket in the cell's namespace, which it pins; -1: none */
	uint32_t nflog_group; /* that it is bound to; 0: none */
	char interface[CF_IFNAME_LEN];
	bool counted; /* `stats` says something: there is an object, and it counts */
	bool missed; /* before this one, or in between, its way out was not watched as cf_cell_misses has it */
	uint32_t taken_off; /* how often somebody took its clsact filter off */
	bool is_off; /* and it could not be put back yet, as was said */
	bool gone; /* its namespace or interface went */
	bool leaving; /* gone, and still to be detached */
	bool is_watched;
};

enum {
	/* Looks of one call. At four calls a second, what costs nothing to wait for costs a thousandth of a CPU. */
	CF_CELLS_LINKS_SOME = 8, /* 1.5 us each */
	CF_CELLS_BY_NAME_SOME = 4, /* 45 us each */
	CF_CELLS_BY_NAME_MAX = 256,
	CF_CELLS_LEAVE_MS = 20, /* of one call */
};

/* Told of a cell that was attached (CF_CLOSE_NONE: also when it takes over another one's slot), or is about to be
 * forgotten with its slot (why its flows end). */
typedef void cf_cells_listener(void *context, const struct cf_cell *cell, uint32_t close_reason);

struct cf_cells_options {
	uint64_t wake_interval_ns;
	uint32_t flow_entries; /* 0: default */
	uint32_t ring_bytes; /* 0: default */
	uint32_t required; /* CF_SOURCES_EBPF, CF_SOURCES_NFLOG, or-ed: where such a source fails, nothing takes its
			      place */
};

struct cf_cells {
	struct cf_cells_options options;
	struct cf_bpf_maps maps;
	uint64_t seed; /* of the flow table's hash */
	struct cf_cell_watch watch;
	cf_cells_listener *listener; /* NULL: none */
	void *listener_context;
	size_t ring_size; /* bytes; 0 until a cell was attached */
	uint32_t flow_sets; /* of the flow table; 0 until a cell was attached */
	uint32_t next_slot;
	uint32_t next_check; /* slot at which the next look at the cells begins */
	uint32_t count; /* attached or gone, not removed */
	uint32_t leaving; /* of these, gone and still to be detached */
	bool missed; /* a cell that was removed missed something, as cf_cell_misses has it */
	bool uncounted; /* an operator's object has or had no counters: sums leave its cell out */
	struct cf_stats removed; /* final numbers of cells that were removed */
	uint32_t epochs[CF_CELLS_MAX]; /* of the next cell in that slot: the flow table still knows the last one's flows
					*/
	struct cf_cell *by_slot[CF_CELLS_MAX]; /* NULL: free */
};

/* Whether connections may have left the cell without our knowing of it: its way out is not watched by a program that
 * counts what it misses (what rules log is what their author chose), or packets passed that program by. */
bool cf_cell_misses(const struct cf_cell *cell);

int cf_cells_open(struct cf_cells *cells, const struct cf_cells_options *options, struct cf_error *error);
void cf_cells_close(struct cf_cells *cells); /* removes all cells; idempotent */

/* Who is told of cells that come and go. */
void cf_cells_listen(struct cf_cells *cells, cf_cells_listener *listener, void *context);

/* Open the cell's sources (source.h) and watch it. On failure nothing is left. The returned cell is owned by `cells`.
 * `before`, if not NULL, is a cell that this one takes the place of: both are there until that one is removed, and
 * share slot and flows, so that no flow is missed and none is opened twice. (By clsact only one can be attached:
 * `before` is then detached first.) */
struct cf_cell *cf_cells_add(struct cf_cells *cells, const struct cf_plan_cell *plan, struct cf_cell *before,
			     struct cf_error *error);
/* False for a cell that another one has taken the place of. */
bool cf_cells_is_current(const struct cf_cells *cells, const struct cf_cell *cell);
/* Detach and forget; its numbers stay in `removed`. */
void cf_cells_remove(struct cf_cells *cells, struct cf_cell *cell);
/* Detach all and keep their numbers readable. */
void cf_cells_detach(struct cf_cells *cells);

enum cf_cells_look {
	CF_CELLS_NEWS, /* only what the watch's descriptor has to say */
	CF_CELLS_SOME, /* a few cells in turn as well, by system calls; as CF_CELLS_ALL where links went since the last time */
	CF_CELLS_ALL, /* each cell, but of those that need their namespace opened for that CF_CELLS_BY_NAME_MAX */
};

/* Look whether cells went; every such one is logged at once, and detached. That may wait for the kernel, 10 ms for a
 * namespace that something pins, so of many a part is detached in one call, and the watch's descriptor stays readable
 * until all are. Returns how many cells are still there. */
uint32_t cf_cells_check(struct cf_cells *cells, enum cf_cells_look look);

/* Read the counters of all cells anew and add them up, removed ones included. */
void cf_cells_stats(struct cf_cells *cells, struct cf_stats *sum);
#endif
