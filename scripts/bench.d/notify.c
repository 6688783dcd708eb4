/* SPDX-License-Identifier: MIT
 *
 * The plainest consumer there is, for comparison: one C process, the same tc program but with the ring's default
 * wake-ups (bpf/bench/notify.bpf.c), epoll, one line by the same serialiser for each event, one write for what is
 * there. Attached to the interface of the namespace it runs in until SIGTERM. notify OBJECT INTERFACE
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "api.h"
#include "clock.h"
#include "intern.h"
#include "plan_check.h"
#include "record.h"
#include "ring.h"

enum {
	TCX_EGRESS = 47, /* newer headers have a name for it */
	OUT_BYTES = 1 << 20,
};

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "notify: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void attach(const char *path, const char *interface, struct cf_ring *ring)
{
	struct bpf_object *object = bpf_object__open(path);
	struct cf_error error = { 0 };
	struct bpf_map *map;

	if (!object || bpf_object__load(object))
		die("load");
	map = bpf_object__find_map_by_name(object, "NOTIFY_EVENTS");
	if (!map || cf_ring_open(ring, bpf_map__fd(map), bpf_map__max_entries(map), &error))
		die("ring");
	if (bpf_link_create(bpf_program__fd(bpf_object__find_program_by_name(object, "cellflow_egress")),
			    (int)if_nametoindex(interface), (enum bpf_attach_type)TCX_EGRESS, NULL) < 0)
		die("attach by tcx");
}

static void drain(struct cf_ring *ring)
{
	static char out[OUT_BYTES];
	struct cf_batch *batch = cf_batch_get();
	struct cf_decision decision = { .decision = CF_ALLOW, .reason = cf_intern("ebpf_flow_observed", 18) };
	uint64_t position = cf_ring_position(ring);
	uint32_t refused, refused_len;

	while (cf_ring_take(ring, &position, batch, CF_BATCH_MAX, &refused, &refused_len)) {
		size_t len = 0;

		for (uint32_t i = 0; i < batch->count; i++) {
			len += cf_record_json(&batch->events[i], &decision, out + len, OUT_BYTES - len);
			out[len++] = '\n';
		}
		cf_ring_release(ring, position);
		if (write(STDOUT_FILENO, out, len) < 0)
			die("write");
	}
}

int main(int argc, char **argv)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct cf_plan *plan = cf_plan_new();
	struct cf_plan_cell *cell;
	struct cf_error error = { 0 };
	struct cf_ring ring;
	int epoll;

	if (argc != 3 || !plan)
		return fputs("usage: notify OBJECT INTERFACE\n", stderr), 2;
	cell = cf_plan_add_cell(plan);
	strcpy(cell->name, "cell");
	strcpy(cell->interface, "eth0");
	cf_clock_refresh();
	if (cf_record_bind(plan, &error))
		die(error.text);
	attach(argv[1], argv[2], &ring);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, ring.fd, &event))
		die("epoll");
	fputs("notify: ready\n", stderr);
	for (;;) {
		drain(&ring);
		if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR)
			die("epoll_wait");
	}
}
