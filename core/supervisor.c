/* SPDX-License-Identifier: MIT
 * When to start, reload, recover and end: see supervisor.h. The steps themselves are generation.c's. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "api.h"
#include "channel.h"
#include "generation.h"
#include "log.h"
#include "summary.h"
#include "supervisor.h"

enum {
	TICK_MS = 250, /* how soon a vanished interface is noticed; a vanished namespace is told at once */
	BACK_OFF_MAX_MS = 10000,
	HEALTHY_MS = 30000, /* a worker that lived this long has its back-off forgotten */
	LAST_FLUSH_MS = 1000,
	FINISH_TRIES = 16,
};

enum ending {
	GO_ON,
	END_ASKED, /* signal */
	END_QUIET, /* the reader of stdout has gone */
	END_CELLS_GONE,
};

struct supervisor {
	const struct cf_run_options *options;
	struct cf_generations gen;
	int signal_fd;
	enum ending ending;
	uint64_t started_ns;
	uint32_t restarts;
	uint32_t quick_deaths;
	int64_t worker_since_ms;
	int64_t respawn_at_ms; /* while no worker runs */
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static int64_t monotonic_ms(void)
{
	return (int64_t)(monotonic_ns() / 1000000);
}

static int open_signals(int fd, int only_ends)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (!only_ends) {
		sigaddset(&set, SIGHUP);
		sigaddset(&set, SIGUSR1);
	}
	if (fd < 0)
		sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(fd, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void gather(struct supervisor *sup, struct cf_summary_input *input, struct cf_summary *summary)
{
	*input = (struct cf_summary_input){
		.cells = &sup->gen.cells,
		.shared = sup->gen.shared,
		.plan = sup->gen.plan,
		.sinks = sup->gen.outputs.sinks,
		.sink_count = sup->gen.outputs.count,
		.lost_before = sup->gen.outputs.lost,
		.in_ring = cf_ring_count(&sup->gen.ring),
		.elapsed_ns = monotonic_ns() - sup->started_ns,
		.worker_restarts = sup->restarts,
		.generation = sup->gen.number,
	};
	cf_summary_gather(input, summary);
}

static void print_numbers(struct supervisor *sup)
{
	struct cf_summary_input input;
	struct cf_summary summary;

	gather(sup, &input, &summary);
	summary.adds_up = 1; /* what moved while we looked is no mistake */
	cf_summary_log(&summary);
}

static void reload(struct supervisor *sup)
{
	struct cf_error error = { 0 };

	if (sup->gen.worker.pid == 0)
		cf_warn("reload: no worker runs, trying all the same");
	if (cf_generation_reload(&sup->gen, &error) == 0)
		cf_info("reloaded: generation %u is in force", sup->gen.number);
	else
		cf_error_log("reload failed, generation %u stays in force: %s", sup->gen.number, error.text);
	sup->worker_since_ms = monotonic_ms();
}

static void take_signals(struct supervisor *sup)
{
	struct signalfd_siginfo info;

	while (read(sup->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			reload(sup);
		else if (info.ssi_signo == SIGUSR1)
			print_numbers(sup);
		else
			sup->ending = END_ASKED;
	}
}

/* When the next worker may start; returns the pause before it. */
static int64_t back_off(struct supervisor *sup)
{
	int64_t now = monotonic_ms();
	int64_t delay = 0;

	if (now - sup->worker_since_ms > HEALTHY_MS)
		sup->quick_deaths = 0;
	if (sup->quick_deaths > 0) {
		delay = 100LL << (sup->quick_deaths < 8 ? sup->quick_deaths - 1 : 7);
		delay = delay < BACK_OFF_MAX_MS ? delay : BACK_OFF_MAX_MS;
	}
	sup->quick_deaths++;
	sup->respawn_at_ms = now + delay;
	return delay;
}

static void worker_died(struct supervisor *sup)
{
	char death[64];
	int status;

	cf_member_reap(&sup->gen.worker, &status);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CF_SCRIPT_FULL) {
		/* It got something done, so restarts like this one cannot spin: no pause. */
		sup->respawn_at_ms = monotonic_ms();
		cf_warn("the policy outgrew its memory limit, a new worker starts with fresh state");
		return;
	}
	cf_member_death(status, death, sizeof(death));
	cf_warn("worker %s, a new one starts %s", death, back_off(sup) ? "after a pause" : "at once");
}

static void respawn(struct supervisor *sup)
{
	struct cf_error error = { 0 };

	sup->restarts++;
	sup->worker_since_ms = monotonic_ms();
	if (cf_generation_recover(&sup->gen, &error) == 0) {
		cf_debug("worker restarted, pid %d", (int)sup->gen.worker.pid);
		return;
	}
	back_off(sup);
	if (error.err == EINTR) /* a signal came, and is looked at next; the end brings a worker of its own */
		cf_debug("%s", error.text);
	else
		cf_warn("%s, trying again after a pause", error.text);
}

static void output_gone(struct supervisor *sup, uint64_t index)
{
	const struct cf_outputs *outputs = &sup->gen.outputs;

	if (index >= outputs->count)
		return;
	if (outputs->plans[index].kind == CF_OUTPUT_STDOUT && outputs->count == 1)
		sup->ending = END_QUIET;
	else
		cf_warn("output \"%s\": its reader has gone; records for it are dropped until a reload (SIGHUP)",
			outputs->plans[index].path);
}

static void take_messages(struct supervisor *sup)
{
	struct cf_message message;
	int rc;

	while ((rc = cf_channel_receive(sup->gen.worker.channel, &message, 0)) > 0) {
		cf_message_close_fds(&message);
		if (message.type == CF_MSG_OUTPUT_GONE)
			output_gone(sup, message.body.number.value);
	}
	if (rc == -EAGAIN)
		return;
	if (rc < 0) /* it speaks nonsense: not the program we forked any more */
		kill(sup->gen.worker.pid, SIGKILL);
	worker_died(sup);
}

static int wait_ms(const struct supervisor *sup)
{
	int64_t left;

	if (sup->gen.worker.pid != 0)
		return TICK_MS;
	left = sup->respawn_at_ms - monotonic_ms();
	return left < 0 ? 0 : left < TICK_MS ? (int)left : TICK_MS;
}

static void loop(struct supervisor *sup)
{
	int64_t checked_ms = 0;

	while (sup->ending == GO_ON) {
		struct pollfd fds[] = {
			{ .fd = sup->signal_fd, .events = POLLIN },
			{ .fd = sup->gen.cells.watch.fd, .events = POLLIN },
			{ .fd = sup->gen.worker.channel, .events = POLLIN },
		};
		bool tick;

		if (sup->gen.worker.pid == 0 && wait_ms(sup) == 0)
			respawn(sup);
		fds[2].fd = sup->gen.worker.channel;
		if (poll(fds, 3, wait_ms(sup)) < 0 && errno != EINTR)
			return;
		tick = monotonic_ms() - checked_ms >= TICK_MS;
		if (tick)
			checked_ms = monotonic_ms();
		if ((tick || fds[1].revents) && cf_cells_check(&sup->gen.cells, tick) == 0)
			sup->ending = END_CELLS_GONE;
		if (fds[2].revents)
			take_messages(sup);
		if (fds[0].revents)
			take_signals(sup);
	}
}

static void log_ready(const struct supervisor *sup)
{
	const struct cf_generations *gen = &sup->gen;

	for (uint32_t i = 0; i < gen->plan->cell_count && i < 8; i++) {
		const struct cf_cell *cell = gen->by_plan[i];

		cf_info("cell \"%s\": %s, ebpf by %s", cell->plan.name, cell->interface,
			cell->mode == CF_ATTACH_CLSACT ? "clsact" : "tcx");
	}
	if (gen->plan->cell_count > 8)
		cf_info("... and %u more cells", gen->plan->cell_count - 8);
	cf_info("ready: %u cell%s, %s", gen->plan->cell_count, gen->plan->cell_count == 1 ? "" : "s",
		gen->options->policy_path ? gen->options->policy_path : "default mapping");
}

/* A worker that dies while it finishes has a successor like any other; the policy may be the kind that needs some. */
static void finish(struct supervisor *sup)
{
	struct cf_generations *gen = &sup->gen;
	uint64_t flush_ms = sup->ending == END_QUIET ? 0 : sup->options->drain_ms;
	struct cf_error error = { 0 };
	int rc = cf_member_finish(&gen->worker, flush_ms, sup->signal_fd);

	for (int tries = 0; rc > 0 && sup->ending != END_QUIET && tries < FINISH_TRIES; tries++) {
		sup->restarts++;
		if (cf_generation_recover(gen, &error) < 0) {
			cf_warn("%s", error.text);
			break;
		}
		rc = cf_member_finish(&gen->worker, flush_ms, sup->signal_fd);
	}
	if (rc)
		cf_warn("the worker was ended before it had finished");
}

/* Let what is under way arrive: no new events, then a worker to decide what is there, then the outputs. */
static void drain(struct supervisor *sup)
{
	struct cf_generations *gen = &sup->gen;
	struct cf_error error = { 0 };

	open_signals(sup->signal_fd, 1); /* a second TERM or INT means: now */
	cf_cells_detach(&gen->cells);
	if (gen->worker.pid == 0 && sup->ending != END_QUIET && cf_generation_recover(gen, &error) < 0)
		cf_warn("%s", error.text);
	finish(sup);
	cf_outputs_recover(&gen->outputs, gen->shared);
}

static void summarise(struct supervisor *sup)
{
	static char line[1 << 20];
	struct cf_summary_input input;
	struct cf_summary summary;
	size_t len = 0;

	cf_outputs_finish(&sup->gen.outputs, sup->gen.shared, NULL, 0, 0);
	gather(sup, &input, &summary);
	if (sup->options->summary_record)
		len = cf_summary_json(&summary, line, sizeof(line));
	if (len)
		cf_outputs_finish(&sup->gen.outputs, sup->gen.shared, line, len, LAST_FLUSH_MS);
	cf_summary_log(&summary);
}

static int exit_code(struct supervisor *sup)
{
	struct cf_summary_input input;
	struct cf_summary summary;

	gather(sup, &input, &summary);
	if ((sup->options->fail_on & CF_FAIL_ON_SCRIPT_ERROR) && summary.outcome.script_errors)
		return 4;
	if ((sup->options->fail_on & CF_FAIL_ON_LOSS) && summary.lost)
		return 7;
	if ((sup->options->fail_on & CF_FAIL_ON_DENY) && summary.outcome.decisions[CF_DENY])
		return 8;
	return sup->ending == END_CELLS_GONE ? 6 : 0;
}

static int run(struct supervisor *sup)
{
	struct cf_error error = { 0 };

	if (cf_generations_open(&sup->gen, sup->options, sup->signal_fd, &error) < 0 ||
	    cf_generation_start(&sup->gen, &error) < 0) {
		cf_error_log("%s", error.text);
		return cf_failure_exit_code(error.kind);
	}
	log_ready(sup);
	sup->worker_since_ms = monotonic_ms();
	loop(sup);
	if (sup->ending == END_CELLS_GONE)
		cf_error_log("no cell is left, ending");
	drain(sup);
	if (sup->ending != END_QUIET)
		summarise(sup);
	return exit_code(sup);
}

int cf_supervisor_run(const struct cf_run_options *options)
{
	static struct supervisor sup;
	int code;

	sup = (struct supervisor){ .options = options, .signal_fd = open_signals(-1, 0), .started_ns = monotonic_ns() };
	signal(SIGPIPE, SIG_IGN);
	code = run(&sup);
	cf_generations_close(&sup.gen);
	close(sup.signal_fd);
	return code;
}
