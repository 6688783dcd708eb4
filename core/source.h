/* SPDX-License-Identifier: MIT
 *
 * Which sources a cell gets: the tc program, NFLOG, both or none, and what takes over when the program cannot be
 * attached. Opens them; who reads them is told by cells.h.
 */
#ifndef CF_SOURCE_H
#define CF_SOURCE_H
#include "cells.h"

/* Open what cell->plan.sources asks for, in the namespace `nsfd`. With CF_SOURCES_AUTO a program that cannot be
 * attached is one warning, and NFLOG takes over (unless cells->options.required says that it must be there). 0, or -1
 * with the reason: of the source that had to be there, or of both when neither works. The caller keeps nsfd, and calls
 * cf_sources_close also after a failure. */
int cf_sources_open(struct cf_cells *cells, struct cf_cell *cell, int nsfd, struct cf_error *error);
/* Attach the loaded program again, after cf_detach. */
int cf_sources_attach(struct cf_cell *cell, int nsfd, struct cf_error *error);
/* Nothing new is to come, of what is not the program's: what there is can be read at once. */
void cf_sources_end(struct cf_cell *cell);
/* Close what is not the program's; idempotent. */
void cf_sources_close(struct cf_cell *cell);
/* "ebpf by tcx", "nflog group 100", "ebpf by tcx and nflog group 100", "none": `text` has 64 bytes. */
void cf_sources_text(const struct cf_cell *cell, char *text);
#endif
