/* SPDX-License-Identifier: MIT
 *
 * From a filled ring to lines in /dev/null, in one process: the worker's own turn, or the least that any consumer has
 * to do (take, a fixed decision, the same serialiser, one write for each batch). Prints CPU nanoseconds a record. Runs
 * the worker's code without its confinement and without a second process:
 *   drain floor|worker ROUNDS [POLICY [CELLS [DESTINATIONS]]]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "dedup.h"
#include "emit.h"
#include "host_ring.h"
#include "intern.h"
#include "plan_check.h"
#include "policy_file.h"
#include "record.h"
#include "turn.h"
#include "worker.h"

enum {
	RING_BYTES = 8 << 20,
	HEADER = 8,
	SPAN = HEADER + CF_EVENT_RING_LEN,
	RECORDS = RING_BYTES / SPAN,
	WARM = 8, /* rounds: the compiler is done by then */
	ROUNDS_DISTINCT = 13, /* 800,000 connections: the worker counts a million exactly */
	DESTINATIONS = 2000, /* that a busy cell talks to; up to 65,536 */
	OUT_BYTES = 1 << 20,
};

#define DISCARDED (1U << 30)

struct bench {
	struct cf_ring ring;
	uint8_t *producer_page;
	uint64_t produced;
	uint32_t round;
	uint32_t cells;
	uint32_t destinations;
	struct cf_plan *plan;
	struct cf_turn *turn;
	struct cf_shared *shared;
};

__attribute__((noreturn)) static void die(const char *what, const struct cf_error *error)
{
	fprintf(stderr, "drain: %s: %s\n", what, error ? error->text : strerror(errno));
	exit(1);
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Every event another flow, of both families, as the tc program writes them. */
static void event_make(struct cf_event *event, uint32_t number, uint32_t round, uint32_t destinations, uint64_t now)
{
	uint32_t mixed = (number + round % ROUNDS_DISTINCT * RECORDS) * 2654435761u;
	uint16_t host = (uint16_t)(mixed % destinations);
	int six = number % 4 == 3;

	memset(event, 0, CF_EVENT_RING_LEN);
	event->first_seen_ns = event->last_seen_ns = now + number * 1000;
	event->packets = 1;
	event->bytes = 60;
	event->seq = (uint64_t)round * RECORDS + number + 1;
	memcpy(event->src_addr, six ? "\x20\x01\x0d\xb8\0\1\0\2\0\0\0\0\0\0\0\2" : "\x0a\x4d\0\2", six ? 16 : 4);
	memcpy(event->dst_addr, six ? "\x20\x01\x0d\xb8\0\5\0\6\0\0\0\0\0\0" : "\xc0\0", six ? 14 : 2);
	memcpy(event->dst_addr + (six ? 14 : 2), &host, 2);
	event->ifindex = 2;
	event->src_port = 1024 + (mixed >> 16) % 60000;
	event->dst_port = 1 + mixed % 100 * 10;
	event->flags = CF_EVENT_PORTS | (mixed & 64 ? CF_EVENT_TCP : 0);
	event->kind = CF_KIND_OPENED;
	event->source = CF_SOURCE_EBPF;
	event->hook = CF_HOOK_TC_EGRESS;
	event->direction = CF_DIRECTION_EGRESS;
	event->family = six ? CF_FAMILY_IPV6 : CF_FAMILY_IPV4;
	event->protocol = mixed & 64 ? 6 : 17;
	event->verdict = CF_VERDICT_ACCEPT;
	event->tcp_flags = mixed & 64 ? 2 : 0;
}

/* The whole ring, ended by a discarded record, so that each round begins at its start. */
static void ring_fill(struct bench *bench)
{
	uint8_t *data = bench->producer_page + bench->ring.page;
	uint32_t rest = RING_BYTES - RECORDS * SPAN, len = CF_EVENT_RING_LEN;
	uint64_t now = cf_boot_ns();

	for (uint32_t i = 0; i < RECORDS; i++) {
		memcpy(data + (size_t)i * SPAN, &len, sizeof(len));
		event_make((struct cf_event *)(data + (size_t)i * SPAN + HEADER), i, bench->round, bench->destinations,
			   now);
		((struct cf_event *)(data + (size_t)i * SPAN + HEADER))->cell = i % bench->cells;
	}
	if (rest) {
		len = (rest - HEADER) | DISCARDED;
		memcpy(data + (size_t)RECORDS * SPAN, &len, sizeof(len));
	}
	bench->round++;
	bench->produced += RING_BYTES;
	__atomic_store_n((uint64_t *)bench->producer_page, bench->produced, __ATOMIC_RELEASE);
}

static void ring_make(struct bench *bench)
{
	struct cf_error error = { 0 };
	struct cf_host_ring host;

	if (cf_host_ring_new(&host, RING_BYTES, &error) || cf_ring_open_host(&bench->ring, &host, &error))
		die("ring", &error);
	bench->ring.longest = CF_EVENT_RING_LEN;
	bench->producer_page = cf_host_ring_map(host.fd, RING_BYTES, PROT_READ | PROT_WRITE);
	if (!bench->producer_page)
		die("mmap", NULL);
}

static void worker_make(struct bench *bench, const char *path)
{
	static const struct cf_plan_metadata metadata = { .run_id = "bench" };
	static const struct cf_plan_cell cell = { .name = "build-42",
						  .netns = "/proc/self/ns/net",
						  .interface = "eth0" };
	struct cf_worker_config config = { .metadata = &metadata, .cell = &cell, .linger_ns = 1000000 };
	static const struct cf_plan_output null = { .kind = CF_OUTPUT_FILE, .path = "/dev/null" };
	struct cf_error error = { 0 };
	int fd;
	size_t dedup_len = cf_dedup_size(CF_DEDUP_CAPACITY);
	char *text = NULL;

	if (path && cf_policy_read(path, NULL, 0, &text, &config.policy.len, &error))
		die(path, &error);
	config.policy.text = text;
	config.policy.name = path;
	if (bench->cells > 1)
		config.cell = NULL; /* the policy declares them */
	if (cf_worker_load(&config, &(struct cf_opener){ 0 }, bench->plan, &error) ||
	    cf_record_bind(bench->plan, &error) || cf_script_bind(bench->plan, &error) ||
	    cf_dedup_bind(aligned_alloc(64, (dedup_len + 63) & ~(size_t)63), dedup_len))
		die("policy", &error);
	bench->turn->connections = cf_connections_new(CF_CONNECTIONS_CAP);
	bench->turn->feed.rings[CF_FEED_KERNEL] = bench->ring;
	bench->turn->sink_count = 1;
	bench->turn->slow_ms = bench->plan->limits.slow_ms;
	if (cf_sink_open_target(&null, &fd, &error) ||
	    cf_sink_open(&bench->turn->sinks[0], fd, -1, &bench->shared->outputs[0], &error))
		die("output", &error);
	for (uint32_t i = 0; i < bench->cells; i++)
		cf_turn_set_slot(bench->turn, i, i);
	cf_emit_bind(bench->shared, bench->turn->sinks, 1);
	cf_turn_recover(bench->turn);
	cf_turn_moment(bench->turn, CF_MOMENT_START, 0);
}

static uint64_t worker_drain(struct bench *bench)
{
	const struct cf_outcome *done = cf_outcome_current(bench->shared);
	uint64_t before = done->records;

	while (cf_turn_once(bench->turn))
		cf_sink_flush(&bench->turn->sinks[0], cf_outcome_current(bench->shared)->outputs[0].head);
	return cf_outcome_current(bench->shared)->records - before;
}

static void floor_make(struct bench *bench)
{
	struct cf_error error = { 0 };
	struct cf_plan_cell *cell = cf_plan_add_cell(bench->plan);

	strcpy(cell->name, "build-42");
	strcpy(cell->interface, "eth0");
	strcpy(bench->plan->metadata.run_id, "bench");
	bench->plan->generation = 1;
	cf_clock_refresh();
	if (cf_record_bind(bench->plan, &error))
		die("record", &error);
}

static uint64_t floor_drain(struct bench *bench)
{
	static char out[OUT_BYTES];
	static int fd = -1;
	struct cf_batch *batch = cf_batch_get();
	struct cf_decision decision = { .decision = CF_ALLOW, .reason = cf_intern("verdict_accept", 14) };
	uint64_t position = cf_ring_position(&bench->ring), records = 0;
	uint32_t refused = 0, refused_len = 0;

	if (fd < 0)
		fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	while (cf_ring_take(&bench->ring, &position, batch, CF_BATCH_MAX, &refused, &refused_len)) {
		size_t len = 0;

		for (uint32_t i = 0; i < batch->count; i++) {
			len += cf_record_json(&batch->events[i], &decision, out + len, OUT_BYTES - len);
			out[len++] = '\n';
		}
		if (write(fd, out, len) < 0)
			die("write", NULL);
		records += batch->count;
		cf_ring_release(&bench->ring, position);
	}
	cf_ring_release(&bench->ring, bench->produced); /* the discarded one at the end */
	return records;
}

int main(int argc, char **argv)
{
	static struct bench bench;
	int is_worker = argc > 1 && strcmp(argv[1], "worker") == 0;
	uint32_t rounds = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
	uint64_t spent = 0, records = 0;

	bench.cells = argc > 4 ? (uint32_t)atoi(argv[4]) : 1;
	bench.destinations = argc > 5 ? (uint32_t)atoi(argv[5]) : DESTINATIONS;
	if (!rounds || !bench.cells || !bench.destinations || (!is_worker && strcmp(argv[1], "floor") != 0))
		return fprintf(stderr, "usage: drain floor|worker ROUNDS [POLICY [CELLS [DESTINATIONS]]]\n"), 2;
	cf_script_stack();
	bench.plan = cf_plan_new();
	bench.shared = cf_shared_new();
	bench.turn = bench.shared ? cf_turn_new(bench.shared, 1000000) : NULL;
	if (!bench.plan || !bench.turn)
		die("memory", NULL);
	ring_make(&bench);
	if (is_worker)
		worker_make(&bench, argc > 3 ? argv[3] : NULL);
	else
		floor_make(&bench);
	for (uint32_t i = 0; i < WARM + rounds; i++) {
		uint64_t began, made;

		ring_fill(&bench);
		began = cpu_ns();
		made = is_worker ? worker_drain(&bench) : floor_drain(&bench);
		if (i < WARM)
			continue;
		spent += cpu_ns() - began;
		records += made;
	}
	if (is_worker && cf_outcome_current(bench.shared)->script_errors)
		return fprintf(stderr, "drain: the policy failed\n"), 1;
	printf("%.2f %llu\n", records ? (double)spent / (double)records : 0, (unsigned long long)records);
	return 0;
}
