/* SPDX-License-Identifier: MIT
 * A cell's sources: see source.h. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "error.h"
#include "flow_table.h"
#include "log.h"
#include "nflog.h"
#include "source.h"

enum {
	OWN_RING_BYTES = 1 << 20, /* of one cell by default: with 16 MiB as for all, a thousand would take 16 GiB */
};

static int table_entries(int map_fd, uint32_t *count, struct cf_error *error)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	if (map_fd < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(map_fd, &info, &len) < 0)
		return cf_fail(error, CF_FAIL_RING_OPEN, errno, "flow table open failed: %s", strerror(errno));
	*count = info.max_entries;
	return 0;
}

/* The maps that all cells share are made with the first of them. */
static int measure_maps(struct cf_cells *cells, struct cf_error *error)
{
	uint32_t count = 0;

	if (cells->ring_size == 0 && cells->maps.ring_fd >= 0 &&
	    cf_bpf_ring_size(cells->maps.ring_fd, &cells->ring_size, error) < 0)
		return -1;
	if (cells->flow_sets)
		return 0;
	if (table_entries(cells->maps.flows_fd, &count, error) < 0)
		return -1;
	cells->flow_sets = cf_flow_sets_in(count);
	return 0;
}

int cf_sources_attach(struct cf_cell *cell, int nsfd, struct cf_error *error)
{
	/* Where the one before is compared with its peer, it has to count as long as that does. */
	const struct cf_attachment *before =
		cell->before && !cell->before->bypass.counts ? &cell->before->attachment : NULL;

	if (cf_stand_attach(&cell->stand, nsfd, &cell->object, before, &cell->attachment, error) < 0)
		return -1;
	if (cf_bypass_attach(&cell->bypass, nsfd, error) < 0) {
		if (before)
			cf_attach_return(&cell->attachment, before);
		cf_detach(&cell->attachment, &cell->stand.at, NULL);
		return -1;
	}
	cell->mode = cell->attachment.mode;
	memcpy(cell->interface, cell->stand.interface.name, sizeof(cell->interface));
	return 0;
}

static int load_pair(struct cf_cells *cells, struct cf_cell *cell, int nsfd, const struct cf_bpf_options *load,
		     struct cf_error *error)
{
	if (cf_bpf_load(&cells->maps, load, &cell->object, error) < 0 || measure_maps(cells, error) < 0)
		return -1;
	return cf_bypass_wanted(&cell->plan)
		       ? cf_bypass_load(&cell->bypass, &cells->maps, nsfd, &cell->plan, load, error)
		       : 0;
}

static int open_ebpf(struct cf_cells *cells, struct cf_cell *cell, int nsfd, struct cf_error *error)
{
	bool both = cell->plan.sources == CF_SOURCES_BOTH;
	struct cf_bpf_options load = {
		.wake_interval_ns = cells->options.wake_interval_ns,
		.cell = cell->slot,
		.seed = cells->seed,
		.flow_entries = cells->options.flow_entries,
		.events = cell->plan.events ? cell->plan.events : CF_EVENTS_DEFAULT,
		.ring_bytes = both && !cells->options.ring_bytes ? OWN_RING_BYTES : cells->options.ring_bytes,
		.hooks = cell->plan.hooks,
		.path = cell->plan.bpf_object[0] ? cell->plan.bpf_object : NULL,
		.own_ring = both, /* the collector joins what is in it */
	};

	if (cf_stand_resolve(nsfd, &cell->plan, cf_stand_first(&cell->plan), &cell->stand, error) < 0)
		return -1;
	cf_stand_options(&cell->stand, &load);
	if (load_pair(cells, cell, nsfd, &load, error) == 0 && cf_sources_attach(cell, nsfd, error) == 0)
		return 0;
	cf_bypass_unload(&cell->bypass);
	cf_bypass_init(&cell->bypass); /* NFLOG may take over, and has nothing to compare */
	cf_bpf_unload(&cell->object);
	return -1;
}

/* Only to name it in records, and to tell a forwarded packet's direction by: rules see every interface. */
static void note_interface(struct cf_cell *cell, int nsfd)
{
	struct cf_interface interface;
	struct cf_error ignored;

	if (cf_interface_look(nsfd, &cell->plan, &interface, &ignored) < 0)
		return;
	cell->stand.inner = interface;
	memcpy(cell->interface, interface.name, sizeof(cell->interface));
}

static int open_nflog(struct cf_cell *cell, int nsfd, struct cf_error *error)
{
	uint32_t group = cell->plan.nflog_group ? cell->plan.nflog_group : CF_NFLOG_GROUP_DEFAULT;

	/* One socket can have a group: the one that the cell we take the place of has. */
	if (cell->before && cell->before->nflog_group == group)
		cell->nflog_fd = fcntl(cell->before->nflog_fd, F_DUPFD_CLOEXEC, 3);
	else if (cf_nflog_open(nsfd, group, &cell->nflog_fd, error) < 0)
		cell->nflog_fd = -1;
	cell->nflog_group = cell->nflog_fd >= 0 ? group : 0;
	if (cell->mode == CF_ATTACH_AUTO)
		note_interface(cell, nsfd);
	return cell->nflog_fd >= 0 ? 0 : -1;
}

/* The cell is not lost with its program: "telemetry is never silently lost". */
static int fall_back(struct cf_cell *cell, int nsfd, struct cf_error *error)
{
	struct cf_error ebpf = *error;
	struct cf_error nflog = { 0 };

	/* Where NFLOG would have to go as well; and what is short for it, too. */
	if (ebpf.kind == CF_FAIL_SETNS || ebpf.err == EMFILE || ebpf.err == ENFILE || ebpf.err == ENOMEM)
		return -1;
	if (open_nflog(cell, nsfd, &nflog) < 0)
		return cf_fail(error, ebpf.kind, ebpf.err, "%.600s; nor does NFLOG work: %.300s", ebpf.text,
			       nflog.text);
	cf_warn("cell \"%s\": no eBPF: %s; NFLOG group %u takes over: what nft rules log to it is what is seen",
		cell->plan.name, ebpf.text, cell->nflog_group);
	return 0;
}

/* Either alone is better than none. */
static int open_both(struct cf_cells *cells, struct cf_cell *cell, int nsfd, struct cf_error *error)
{
	struct cf_error nflog = { 0 };

	if (open_ebpf(cells, cell, nsfd, error) < 0)
		return cells->options.required & CF_SOURCES_EBPF ? -1 : fall_back(cell, nsfd, error);
	if (open_nflog(cell, nsfd, &nflog) < 0 && cells->options.required & CF_SOURCES_NFLOG) {
		*error = nflog;
		return -1;
	}
	if (cell->nflog_fd < 0)
		cf_warn("cell \"%s\": no NFLOG: %s; what nft rules drop is not seen", cell->plan.name, nflog.text);
	return 0;
}

/* What is required and not even tried would be a run that is not what was asked for. */
static int refuse_required(const struct cf_cells *cells, const struct cf_cell *cell, struct cf_error *error)
{
	static const char *const names[] = { "auto", "ebpf", "nflog", "ebpf,nflog", "noop" };
	uint32_t sources = cell->plan.sources;
	uint32_t tried = sources == CF_SOURCES_AUTO ? CF_SOURCES_EBPF : sources & CF_SOURCES_BOTH;
	uint32_t missing = cells->options.required & ~tried;

	if (!missing)
		return 0;
	return cf_fail(error, CF_FAIL_USAGE, 0,
		       "cell \"%s\": --require %s, but its sources are %s; name it there, or leave --require out",
		       cell->plan.name, names[missing & CF_SOURCES_EBPF ? CF_SOURCES_EBPF : CF_SOURCES_NFLOG],
		       sources <= CF_SOURCES_NOOP ? names[sources] : "others");
}

int cf_sources_open(struct cf_cells *cells, struct cf_cell *cell, int nsfd, struct cf_error *error)
{
	if (refuse_required(cells, cell, error) < 0)
		return -1;
	switch (cell->plan.sources) {
	case CF_SOURCES_NOOP:
		return 0;
	case CF_SOURCES_NFLOG:
		return open_nflog(cell, nsfd, error);
	case CF_SOURCES_EBPF:
		return open_ebpf(cells, cell, nsfd, error);
	case CF_SOURCES_BOTH:
		return open_both(cells, cell, nsfd, error);
	default:
		if (open_ebpf(cells, cell, nsfd, error) == 0)
			return 0;
		return cells->options.required & CF_SOURCES_EBPF ? -1 : fall_back(cell, nsfd, error);
	}
}

void cf_sources_end(struct cf_cell *cell)
{
	if (cell->nflog_fd >= 0)
		cf_nflog_end(cell->nflog_fd, cell->nflog_group);
}

void cf_sources_close(struct cf_cell *cell)
{
	if (cell->nflog_fd >= 0)
		close(cell->nflog_fd);
	cell->nflog_fd = -1;
	cell->nflog_group = 0;
}

void cf_sources_text(const struct cf_cell *cell, char *text)
{
	const char *how = cell->mode == CF_ATTACH_CLSACT ? "ebpf by clsact" : "ebpf by tcx";
	int has_program = cell->mode != CF_ATTACH_AUTO;

	if (cell->nflog_group)
		snprintf(text, 64, "%s%snflog group %u", has_program ? how : "", has_program ? " and " : "",
			 cell->nflog_group);
	else
		snprintf(text, 64, "%s", has_program ? how : cell->plan.sources == CF_SOURCES_NOOP ? "noop" : "none");
}
