/* SPDX-License-Identifier: MIT
 * Where a cell is watched from: see stand.h. */
#include <string.h>
#include <unistd.h>
#include "error.h"
#include "flow.h"
#include "netns.h"
#include "peer.h"
#include "stand.h"

uint32_t cf_stand_first(const struct cf_plan_cell *cell)
{
	if (!cell->stand || (cell->stand & CF_STAND_INSIDE))
		return CF_STAND_INSIDE;
	return cell->stand & CF_STAND_PEER ? CF_STAND_PEER : CF_STAND_TAP;
}

static uint32_t flip(uint32_t hooks)
{
	return (hooks & CF_PLAN_EGRESS ? CF_PLAN_INGRESS : 0) | (hooks & CF_PLAN_INGRESS ? CF_PLAN_EGRESS : 0);
}

static int look_at_peer(int nsfd, struct cf_stand *out, struct cf_error *err)
{
	int there, rc;

	if (cf_peer_find(nsfd, &out->inner, &out->at, err) < 0)
		return -1;
	there = cf_netns_open(&out->at, err);
	if (there < 0)
		return -1;
	rc = cf_interface_look(there, &out->at, &out->interface, err);
	close(there);
	return rc;
}

int cf_stand_resolve(int nsfd, const struct cf_plan_cell *cell, uint32_t stand, struct cf_stand *out,
		     struct cf_error *err)
{
	memset(out, 0, sizeof(*out));
	out->at = *cell;
	out->outside = stand != CF_STAND_INSIDE;
	if (out->outside)
		out->at.hooks = flip(cell->hooks);
	if (cf_interface_look(nsfd, cell, &out->inner, err) < 0)
		return -1;
	if (stand == CF_STAND_PEER)
		return look_at_peer(nsfd, out, err);
	out->interface = out->inner;
	memcpy(out->at.interface, out->inner.name, sizeof(out->at.interface));
	return 0;
}

void cf_stand_options(const struct cf_stand *stand, struct cf_bpf_options *options)
{
	options->link_len = stand->interface.link_len;
	options->hooks = stand->at.hooks;
	if (!stand->outside)
		return;
	if (options->path)
		options->hooks = flip(stand->at.hooks);
	else
		options->flags |= CF_BPF_FLIPPED;
}

/* By which hook a program runs is said by what it was loaded as: ours go where their name says. */
static bool is_operators(const struct cf_stand *stand)
{
	return stand->at.bpf_object[0] != '\0';
}

int cf_stand_attach(const struct cf_stand *stand, int nsfd, const struct cf_bpf_object *object,
		    const struct cf_attachment *from, struct cf_attachment *out, struct cf_error *err)
{
	int flipped[2] = { object->prog_fd[1], object->prog_fd[0] };
	int there = stand->outside ? cf_netns_open(&stand->at, err) : nsfd;
	int rc;

	if (there < 0)
		return -1;
	rc = cf_attach_over(there, &stand->at, &stand->interface,
			    stand->outside && is_operators(stand) ? flipped : object->prog_fd, from, out, err);
	if (there != nsfd)
		close(there);
	return rc;
}
