/* SPDX-License-Identifier: MIT
 *
 * Between cells.c and cells_gone.c: what becomes of one cell.
 */
#ifndef CF_CELLS_PARTS_H
#define CF_CELLS_PARTS_H
#include "cells.h"

/* No longer watched, programs off, numbers read for the last time. Idempotent. */
void cf_cell_detach(struct cf_cells *cells, struct cf_cell *cell);
void cf_cell_tell(const struct cf_cells *cells, const struct cf_cell *cell, uint32_t close_reason);
/* What is left to do for a cell that is gone; nothing for others. */
void cf_cell_leave(struct cf_cells *cells, struct cf_cell *cell);
#endif
