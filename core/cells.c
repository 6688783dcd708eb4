/* SPDX-License-Identifier: MIT
 * The cells being watched: see cells.h. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "cells.h"
#include "cells_parts.h"
#include "descriptors.h"
#include "error.h"
#include "event.h"
#include "log.h"
#include "source.h"

_Static_assert(CF_CELLS_MAX == 1 << CF_SLOT_BITS, "a slot's number has its bits, no more");

static struct cf_cell **place_of(struct cf_cells *cells, const struct cf_cell *cell)
{
	return &cells->by_slot[cell->slot % CF_CELLS_MAX];
}

int cf_cells_open(struct cf_cells *cells, const struct cf_cells_options *options, struct cf_error *error)
{
	memset(cells, 0, sizeof(*cells));
	cells->options = *options;
	cf_bpf_maps_init(&cells->maps);
	if (getrandom(&cells->seed, sizeof(cells->seed), 0) != (ssize_t)sizeof(cells->seed))
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "no random numbers: %s", strerror(errno));
	return cf_cell_watch_open(&cells->watch, error);
}

static void read_stats(struct cf_cell *cell)
{
	struct cf_stats sum;

	cf_bypass_read(&cell->bypass); /* first: what passes meanwhile is no bypass */
	if (cell->object.stats_fd >= 0 && cf_bpf_stats(cell->object.stats_fd, &sum) == 0)
		cell->stats = sum;
}

static void add_stats(struct cf_stats *to, const struct cf_stats *from)
{
	for (int i = 0; i < CF_STAT_COUNT; i++)
		to->n[i] += from->n[i];
}

void cf_cell_detach(struct cf_cells *cells, struct cf_cell *cell)
{
	struct cf_error error = { 0 };

	if (cell->is_watched)
		cf_cell_watch_remove(&cells->watch, &cell->watched);
	cell->is_watched = false;
	if (!cell->gone)
		cf_cell_note_taken_off(cell);
	if (cf_bypass_detach(&cell->bypass, &error) < 0 && !cell->gone)
		cf_warn("%s", error.text);
	if (cell->before) /* which goes on */
		cf_attach_return(&cell->attachment, &cell->before->attachment);
	if (cf_detach(&cell->attachment, &cell->stand.at, &error) < 0 && !cell->gone)
		cf_warn("%s", error.text);
	read_stats(cell);
}

void cf_cells_listen(struct cf_cells *cells, cf_cells_listener *listener, void *context)
{
	cells->listener = listener;
	cells->listener_context = context;
}

void cf_cell_tell(const struct cf_cells *cells, const struct cf_cell *cell, uint32_t close_reason)
{
	if (cells->listener)
		cells->listener(cells->listener_context, cell, close_reason);
}

static int watch(struct cf_cells *cells, struct cf_cell *cell, int nsfd, struct cf_error *error)
{
	bool has_program = cell->attachment.mode != CF_ATTACH_AUTO;

	if (cf_cell_watch_add(&cells->watch, nsfd, &cell->plan, has_program ? &cell->attachment : NULL, &cell->watched,
			      error) < 0)
		return -1;
	cell->watched.by_name = cell->nflog_fd >= 0; /* that socket keeps the namespace, and its links, alive */
	cell->is_watched = true;
	if (has_program)
		cell->watched.inner = cell->stand.inner;
	return 0;
}

/* Inside one opening of the namespace, which is closed again: whoever holds it keeps a dead cell's traffic alive. */
static int open_and_watch(struct cf_cells *cells, struct cf_cell *cell, struct cf_error *error)
{
	int nsfd = cf_netns_open(&cell->plan, error);
	int rc = -1;

	if (nsfd < 0)
		return -1;
	if (cf_sources_open(cells, cell, nsfd, error) == 0)
		rc = watch(cells, cell, nsfd, error);
	close(nsfd);
	return rc;
}

/* A slot is used again as late as possible: events of its last cell may still be in the ring. */
static int free_slot(struct cf_cells *cells, struct cf_error *error)
{
	for (uint32_t i = 0; i < CF_CELLS_MAX; i++) {
		uint32_t slot = (cells->next_slot + i) % CF_CELLS_MAX;

		if (!cells->by_slot[slot]) {
			cells->next_slot = (slot + 1) % CF_CELLS_MAX;
			return (int)slot;
		}
	}
	return cf_fail(error, CF_FAIL_INTERNAL, 0, "more than %d cells", CF_CELLS_MAX);
}

static void free_cell(struct cf_cells *cells, struct cf_cell *cell)
{
	cf_cell_detach(cells, cell);
	cf_sources_close(cell);
	cf_bypass_unload(&cell->bypass);
	cf_bpf_unload(&cell->object);
	free(cell);
}

/* What went wrong, with the cell and the line that declared it in front: a policy may have thousands. */
static void name_cell(const struct cf_plan_cell *plan, struct cf_error *error)
{
	struct cf_error bare = *error;
	char title[CF_NAME_LEN + 16];
	char place[CF_PLACE_LEN + 2] = "";
	char advice[96] = "";

	if (bare.err == EMFILE)
		cf_descriptors_advice(advice, sizeof(advice));
	snprintf(title, sizeof(title), "cell \"%s\": ", plan->name);
	if (strchr(plan->place, ':')) /* not the command line's cell */
		snprintf(place, sizeof(place), "%s: ", plan->place);
	if (strncmp(bare.text, title, strlen(title)) == 0)
		title[0] = '\0';
	cf_fail(error, bare.kind, bare.err, "%s%s%.*s%s", place, title,
		(int)(sizeof(bare.text) - sizeof(title) - sizeof(place) - sizeof(advice)), bare.text, advice);
}

/* clsact has room for one filter of ours: the old one goes first, and comes back when the new one fails. */
static void make_room(struct cf_cells *cells, struct cf_cell *before)
{
	if (before)
		cf_cell_leave(cells, before); /* later, what it tells would be taken for the new one's end */
	if (before && before->mode == CF_ATTACH_CLSACT) {
		cf_cell_detach(cells, before);
		before->missed = true; /* what is sent before the next one is attached */
	}
}

static void give_back_room(struct cf_cells *cells, struct cf_cell *before)
{
	struct cf_error error = { 0 };
	int nsfd;

	if (!before || before->is_watched)
		return;
	nsfd = cf_netns_open(&before->plan, &error);
	if (nsfd < 0 || cf_sources_attach(before, nsfd, &error) < 0 || watch(cells, before, nsfd, &error) < 0)
		cf_error_log("cell \"%s\" is no longer watched: %s", before->plan.name, error.text);
	if (nsfd >= 0)
		close(nsfd);
}

struct cf_cell *cf_cells_add(struct cf_cells *cells, const struct cf_plan_cell *plan, struct cf_cell *before,
			     struct cf_error *error)
{
	int slot = before ? 0 : free_slot(cells, error);
	struct cf_cell *cell = slot < 0 ? NULL : calloc(1, sizeof(*cell));

	if (!cell)
		return NULL;
	cell->plan = *plan;
	cell->slot = before ? before->slot : (uint32_t)slot | cells->epochs[slot]++ << CF_SLOT_BITS;
	cell->before = before;
	cf_bpf_object_init(&cell->object);
	cf_attachment_init(&cell->attachment);
	cf_bypass_init(&cell->bypass);
	make_room(cells, before);
	cell->nflog_fd = -1;
	if (open_and_watch(cells, cell, error) < 0) {
		name_cell(plan, error);
		free_cell(cells, cell);
		give_back_room(cells, before);
		return NULL;
	}
	*place_of(cells, cell) = cell;
	cells->count++;
	cell->counted = cell->object.stats_fd >= 0;
	cells->uncounted |= !cell->counted && cell->mode != CF_ATTACH_AUTO;
	cf_debug("cell \"%s\": slot %u, interface %s", plan->name, cell->slot % CF_CELLS_MAX, cell->interface);
	cf_cell_tell(cells, cell, CF_CLOSE_NONE);
	return cell;
}

bool cf_cells_is_current(const struct cf_cells *cells, const struct cf_cell *cell)
{
	return cells->by_slot[cell->slot % CF_CELLS_MAX] == cell;
}

bool cf_cell_misses(const struct cf_cell *cell)
{
	return cell->missed || !cell->counted || !(cell->plan.hooks & CF_PLAN_EGRESS) ||
	       cf_bypass_count(&cell->bypass, &cell->stats) > 0;
}

/* What a cell missed, its successor has missed as well; its predecessor, which was there all the time, has not. */
static void keep_missed(struct cf_cells *cells, const struct cf_cell *cell, struct cf_cell *successor)
{
	if (successor)
		successor->missed |= cf_cell_misses(cell);
	else if (!cell->before)
		cells->missed |= cf_cell_misses(cell);
}

void cf_cells_remove(struct cf_cells *cells, struct cf_cell *cell)
{
	struct cf_cell **place = place_of(cells, cell), *successor = NULL;
	bool was_current = *place == cell;

	if (was_current) {
		*place = cell->before;
	} else if (*place && (*place)->before == cell) {
		successor = *place;
		successor->before = NULL;
	}
	cells->count--;
	cf_cell_leave(cells, cell);
	cf_cell_detach(cells, cell);
	keep_missed(cells, cell, successor);
	if (was_current)
		give_back_room(cells, cell->before);
	if (was_current && cell->before) {
		cf_cell_tell(cells, cell->before, CF_CLOSE_NONE);
	} else if (was_current && !cell->gone) {
		cf_sources_end(cell);
		cf_cell_tell(cells, cell, CF_CLOSE_SHUTDOWN);
	}
	add_stats(&cells->removed, &cell->stats);
	if (cell->counted)
		cf_bypass_warn(&cell->bypass, cell->plan.name, &cell->stats);
	cf_bypass_unload(&cell->bypass);
	cf_sources_close(cell);
	cf_bpf_unload(&cell->object);
	free(cell);
}

void cf_cells_detach(struct cf_cells *cells)
{
	for (uint32_t i = 0; i < CF_CELLS_MAX; i++) {
		if (!cells->by_slot[i])
			continue;
		cf_cell_leave(cells, cells->by_slot[i]);
		cf_cell_detach(cells, cells->by_slot[i]);
		cf_sources_end(cells->by_slot[i]);
	}
}

void cf_cells_close(struct cf_cells *cells)
{
	for (uint32_t i = 0; i < CF_CELLS_MAX; i++)
		if (cells->by_slot[i])
			cf_cells_remove(cells, cells->by_slot[i]);
	cf_bpf_maps_close(&cells->maps);
	cf_cell_watch_close(&cells->watch);
}

void cf_cells_stats(struct cf_cells *cells, struct cf_stats *sum)
{
	*sum = cells->removed;
	for (uint32_t i = 0, seen = 0; i < CF_CELLS_MAX && seen < cells->count; i++) {
		if (!cells->by_slot[i])
			continue;
		seen++;
		read_stats(cells->by_slot[i]);
		add_stats(sum, &cells->by_slot[i]->stats);
	}
}
