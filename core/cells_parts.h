/* SPDX-License-Identifier: MIT
 *
 * Between cells.c, cells_gone.c and cells_put_back.c: what becomes of one cell.
 */
#ifndef CF_CELLS_PARTS_H
#define CF_CELLS_PARTS_H
#include "cells.h"

/* No longer watched, programs off, numbers read for the last time. Idempotent. */
void cf_cell_detach(struct cf_cells *cells, struct cf_cell *cell);
void cf_cell_tell(const struct cf_cells *cells, const struct cf_cell *cell, uint32_t close_reason);
/* Count and say it where somebody took its program off; it is detached then. */
void cf_cell_note_taken_off(struct cf_cell *cell);
/* Of a cell that is alive: the same, and attach it again. */
void cf_cell_look_after(struct cf_cell *cell);
/* What is left to do for a cell that is gone; nothing for others. */
void cf_cell_leave(struct cf_cells *cells, struct cf_cell *cell);
#endif
