/* SPDX-License-Identifier: MIT
 * Packets that pass the inner hook by: see bypass.h. */
#include <inttypes.h>
#include <string.h>
#include "bypass.h"
#include "flow.h"
#include "log.h"

void cf_bypass_init(struct cf_bypass *bypass)
{
	memset(bypass, 0, sizeof(*bypass));
	cf_bpf_object_init(&bypass->object);
	cf_attachment_init(&bypass->attachment);
}

bool cf_bypass_wanted(const struct cf_plan_cell *cell)
{
	return (cell->stand & CF_STAND_INSIDE) && (cell->stand & CF_STAND_PEER) && (cell->hooks & CF_PLAN_EGRESS);
}

int cf_bypass_load(struct cf_bypass *bypass, struct cf_bpf_maps *maps, int nsfd, const struct cf_plan_cell *cell,
		   const struct cf_bpf_options *inner, struct cf_error *err)
{
	struct cf_plan_cell counted = *cell;
	struct cf_bpf_options load = *inner;

	counted.hooks = CF_PLAN_EGRESS;
	counted.bpf_object[0] = '\0';
	load.path = NULL;
	load.own_ring = 0;
	load.flags = CF_BPF_COUNT_ONLY;
	if (cf_stand_resolve(nsfd, &counted, CF_STAND_PEER, &bypass->stand, err) < 0)
		return -1;
	cf_stand_options(&bypass->stand, &load);
	if (cf_bpf_load(maps, &load, &bypass->object, err) < 0)
		return -1;
	bypass->counts = true;
	return 0;
}

int cf_bypass_attach(struct cf_bypass *bypass, int nsfd, struct cf_error *err)
{
	if (!bypass->counts)
		return 0;
	return cf_stand_attach(&bypass->stand, nsfd, &bypass->object, NULL, &bypass->attachment, err);
}

int cf_bypass_detach(struct cf_bypass *bypass, struct cf_error *err)
{
	return cf_detach(&bypass->attachment, &bypass->stand.at, err);
}

void cf_bypass_unload(struct cf_bypass *bypass)
{
	cf_bpf_unload(&bypass->object);
}

void cf_bypass_read(struct cf_bypass *bypass)
{
	struct cf_stats sum;

	if (bypass->object.stats_fd >= 0 && cf_bpf_stats(bypass->object.stats_fd, &sum) == 0)
		bypass->packets = sum.n[CF_STAT_EGRESS_PACKETS];
}

uint64_t cf_bypass_count(const struct cf_bypass *bypass, const struct cf_stats *inner)
{
	uint64_t inside = inner->n[CF_STAT_EGRESS_PACKETS];

	return bypass->counts && bypass->packets > inside ? bypass->packets - inside : 0;
}

void cf_bypass_warn(struct cf_bypass *bypass, const char *cell, const struct cf_stats *inner)
{
	uint64_t count = cf_bypass_count(bypass, inner);

	if (count <= bypass->told)
		return;
	bypass->told = count;
	cf_warn("%" PRIu64 " packet%s of cell \"%s\" left by a way that the inner hook does not see "
		"(PACKET_QDISC_BYPASS, AF_XDP)",
		count, count == 1 ? "" : "s", cell);
}
