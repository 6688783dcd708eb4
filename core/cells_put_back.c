/* SPDX-License-Identifier: MIT
 * Programs that somebody else took off a cell's interface: noticed, said, put back, and never forgotten. Part of
 * cells.h. Only a clsact filter can go so: whoever is root in the cell may, and nothing tells us. */
#include <string.h>
#include <unistd.h>
#include "cells_parts.h"
#include "error.h"
#include "log.h"
#include "netns.h"
#include "stand.h"

void cf_cell_note_taken_off(struct cf_cell *cell)
{
	if (cell->attachment.mode != CF_ATTACH_CLSACT || cf_attachment_holds(&cell->attachment, &cell->stand.at) != 0)
		return;
	cell->missed = true;
	cell->taken_off++;
	/* Who does it again and again does not fill the log. */
	if ((cell->taken_off & (cell->taken_off - 1)) == 0)
		cf_warn("cell \"%s\": somebody took cellflow's clsact filter off %s; it is put back, what passed "
			"meanwhile was not seen",
			cell->plan.name, cell->stand.interface.name);
	cf_detach(&cell->attachment, &cell->stand.at, NULL); /* what they left of it */
}

/* Said once, tried at every look: whoever has the place may go. */
static void put_back(struct cf_cell *cell)
{
	struct cf_error error = { 0 };
	int nsfd = cf_netns_open(&cell->plan, &error);
	int rc = nsfd < 0 ? -1 : cf_stand_attach(&cell->stand, nsfd, &cell->object, NULL, &cell->attachment, &error);

	if (nsfd >= 0)
		close(nsfd);
	if (rc < 0 && !cell->is_off)
		cf_error_log("cell \"%s\": is not watched by eBPF until this is over: %s", cell->plan.name, error.text);
	cell->is_off = rc < 0;
}

void cf_cell_look_after(struct cf_cell *cell)
{
	if (cell->mode != CF_ATTACH_CLSACT)
		return;
	cf_cell_note_taken_off(cell);
	if (cell->attachment.mode == CF_ATTACH_AUTO)
		put_back(cell);
}
