/* SPDX-License-Identifier: MIT
 * Cells that are gone: cf_cells_check of cells.h. First all are told, then they are taken down. */
#include "cells_parts.h"
#include "clock.h"
#include "log.h"
#include "source.h"

static void note_gone(struct cf_cells *cells, struct cf_cell *cell)
{
	cf_warn("cell \"%s\": its %s is gone, no longer watched", cell->plan.name,
		cell->watched.state == CF_CELL_INTERFACE_GONE ? "interface" : "network namespace");
	cell->gone = true;
	cell->leaving = true;
	cells->leaving++;
}

void cf_cell_leave(struct cf_cells *cells, struct cf_cell *cell)
{
	if (!cell->leaving)
		return;
	cell->leaving = false;
	cells->leaving--;
	cf_cell_detach(cells, cell);
	cf_sources_end(cell);
	cf_cell_tell(cells, cell, CF_CLOSE_CELL_GONE);
	cf_sources_close(cell); /* the socket would keep the namespace, which nobody can enter any more */
	cf_bypass_unload(&cell->bypass);
	cf_bpf_unload(&cell->object);
}

/* A link to an interface that is still there waits for an RCU grace period when it is closed. Others, who go meanwhile,
 * are to be told meanwhile. */
static void leave_some(struct cf_cells *cells)
{
	uint64_t until = cf_clock_boot_now() + CF_CELLS_LEAVE_MS * 1000000ULL;

	for (uint32_t i = 0; i < CF_CELLS_MAX && cells->leaving > 0; i++) {
		if (!cells->by_slot[i] || !cells->by_slot[i]->leaving)
			continue;
		cf_cell_leave(cells, cells->by_slot[i]);
		if (cf_clock_boot_now() >= until)
			break;
	}
	if (cells->leaving > 0)
		cf_cell_watch_again(&cells->watch);
}

/* How many looks are left, in this call, of each kind. */
struct looks {
	uint32_t links;
	uint32_t by_name;
};

static void check(struct cf_cells *cells, struct cf_cell *cell, struct looks *left)
{
	uint32_t *looks = cell->attachment.mode != CF_ATTACH_TCX || cell->watched.by_name ? &left->by_name :
											    &left->links;

	if (*looks == 0)
		return;
	--*looks;
	cells->next_check = (cell->slot + 1) % CF_CELLS_MAX;
	if (cf_cell_check(&cell->watched) == CF_CELL_ALIVE)
		cf_cell_look_after(cell);
}

static struct looks looks_of(struct cf_cells *cells, enum cf_cells_look look)
{
	if (look == CF_CELLS_NEWS)
		return (struct looks){ 0 };
	if (look == CF_CELLS_SOME && !cells->watch.links_went)
		return (struct looks){ .links = CF_CELLS_LINKS_SOME, .by_name = CF_CELLS_BY_NAME_SOME };
	cells->watch.links_went = false;
	return (struct looks){ .links = CF_CELLS_MAX, .by_name = CF_CELLS_BY_NAME_MAX };
}

uint32_t cf_cells_check(struct cf_cells *cells, enum cf_cells_look look)
{
	uint32_t first = cells->next_check;
	uint32_t alive = 0;
	struct looks left;

	cf_cell_watch_read(&cells->watch);
	left = looks_of(cells, look);
	for (uint32_t i = 0, seen = 0; i < CF_CELLS_MAX && seen < cells->count; i++) {
		struct cf_cell *cell = cells->by_slot[(first + i) % CF_CELLS_MAX];

		if (!cell)
			continue;
		seen++;
		if (cell->gone || !cell->is_watched)
			continue;
		check(cells, cell, &left);
		if (cell->watched.state != CF_CELL_ALIVE)
			note_gone(cells, cell);
		else
			alive++;
	}
	leave_some(cells);
	return alive;
}
