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
#include "descriptors.h"
#include "generation.h"
#include "keeper.h"
#include "log.h"
#include "lost.h"
#include "plan_check.h"
#include "source.h"
#include "summary.h"
#include "supervisor.h"

enum {
	TICK_MS = 250, /* how soon a vanished interface is noticed, of few cells; a vanished namespace is told at once */
	LAST_FLUSH_MS = 1000,
	HURRY_MS = 300, /* for the recording, when asked to end at once: its last second and its end are worth it */
	LOSSES_MS = 1000, /* between two looks at what was lost, for the recording */
	MESSAGES_MAX = 16, /* of a worker, before others are looked at again */
};

enum ending {
	GO_ON,
	END_ASKED, /* signal */
	END_QUIET, /* the reader of stdout has gone */
	END_CELLS_GONE,
	END_LIMIT, /* as many records as were asked for */
	END_TIME, /* the time that --until says */
};

struct supervisor {
	const struct cf_run_options *options;
	struct cf_generations gen;
	struct cf_lost lost;
	int signal_fd;
	int end_fd; /* TERM and INT only, never read: readable means "do not wait any longer" */
	enum ending ending;
	uint64_t started_ns;
	struct cf_keeper keeper;
	bool hurry; /* asked to end a second time */
	uint32_t gone_outputs; /* bit i: output i's reader has gone; since the last reload */
	int64_t ticked_ms;
	int64_t recorded_ms; /* when losses were told to the recording */
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static void open_signals(struct supervisor *sup)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sup->end_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sup->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void gather(struct supervisor *sup, struct cf_summary_input *input, struct cf_summary *summary)
{
	*input = (struct cf_summary_input){
		.cells = &sup->gen.cells,
		.shared = sup->gen.shared,
		.connections = sup->gen.config.connections,
		.feed = &sup->gen.feed,
		.collected = sup->gen.collecting.config.numbers,
		.collector_restarts = sup->gen.collecting.restarts,
		.plan = sup->gen.plan,
		.sinks = sup->gen.outputs.sinks,
		.sink_count = sup->gen.outputs.count,
		.lost_before = sup->gen.outputs.lost,
		.elapsed_ns = monotonic_ns() - sup->started_ns,
		.worker_restarts = sup->keeper.restarts,
		.generation = sup->gen.number,
		.recorder = &sup->gen.recorder,
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
	sup->gone_outputs = 0;
	cf_keeper_took_over(&sup->keeper);
}

static void take_signals(struct supervisor *sup)
{
	struct signalfd_siginfo info;

	enum ending before = sup->ending;

	/* Not beyond the first that ends us: a second one, already there perhaps, is to cut the draining short. */
	while (sup->ending == before && !sup->hurry && read(sup->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			print_numbers(sup);
		else if (info.ssi_signo == SIGHUP && before == GO_ON)
			reload(sup);
		else if (info.ssi_signo != SIGHUP && before == GO_ON)
			sup->ending = END_ASKED;
		else if (info.ssi_signo != SIGHUP)
			sup->hurry = true;
	}
}

/* Said once for each output. The run's quiet end is not taken from a worker's word alone: it may not be ours any more.
 */
static void output_gone(struct supervisor *sup, uint64_t index)
{
	const struct cf_outputs *outputs = &sup->gen.outputs;
	struct pollfd look = { .events = POLLOUT };
	int has_reader;

	if (index >= outputs->count || sup->gone_outputs & (1U << index))
		return;
	sup->gone_outputs |= 1U << index;
	look.fd = outputs->sinks[index].fd;
	has_reader = poll(&look, 1, 0) <= 0 || !(look.revents & (POLLERR | POLLHUP | POLLNVAL));
	if (!has_reader && outputs->plans[index].kind == CF_OUTPUT_STDOUT && outputs->count == 1)
		sup->ending = END_QUIET;
	else
		cf_warn("output \"%s\": %s; records for it are dropped until a reload (SIGHUP)",
			cf_plan_output_name(&outputs->plans[index]),
			has_reader ? strerror((int)sup->gen.shared->outputs[index].last_errno) : "its reader has gone");
}

static void take_messages(struct supervisor *sup)
{
	struct cf_message message;
	int rc = -EAGAIN;

	for (int i = 0; i < MESSAGES_MAX; i++) {
		rc = cf_channel_receive(sup->gen.worker.channel, &message, 0);
		if (rc <= 0)
			break;
		cf_message_close_fds(&message);
		if (message.type == CF_MSG_OUTPUT_GONE) {
			output_gone(sup, message.body.number.value);
		} else if (message.type == CF_MSG_DONE && sup->keeper.finishing) {
			cf_keeper_done(&sup->keeper);
			return;
		}
	}
	if (rc <= 0 && rc != -EAGAIN)
		cf_keeper_lost(&sup->keeper);
}

/* Not taken from a worker's word: its message only wakes us. */
static bool is_limit_reached(const struct supervisor *sup)
{
	uint64_t limit = sup->options->selection ? sup->options->selection->limit : 0;

	return limit && cf_outcome_current(sup->gen.shared)->records >= limit;
}

static bool is_time_over(const struct supervisor *sup)
{
	uint64_t until_ns = sup->gen.plan->limits.until_ns;
	struct timespec now;

	if (until_ns == 0)
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec >= until_ns;
}

/* Wait for something to happen, and take it. */
static void turn(struct supervisor *sup)
{
	struct pollfd fds[] = {
		{ .fd = sup->signal_fd, .events = POLLIN },
		{ .fd = sup->ending == GO_ON ? sup->gen.cells.watch.fd : -1, .events = POLLIN },
		{ .fd = sup->gen.worker.channel, .events = POLLIN },
		{ .fd = sup->gen.collecting.member.channel, .events = POLLIN },
		{ .fd = sup->gen.recorder.member.channel, .events = POLLIN },
	};
	bool tick;

	if (poll(fds, 5, cf_keeper_wait_ms(&sup->keeper, TICK_MS)) < 0 && errno != EINTR)
		return;
	tick = cf_keeper_now_ms() - sup->ticked_ms >= TICK_MS;
	if (tick) {
		sup->ticked_ms = cf_keeper_now_ms();
		cf_lost_tell(&sup->lost, &sup->gen);
	}
	if (tick && sup->ticked_ms - sup->recorded_ms >= LOSSES_MS) {
		sup->recorded_ms = sup->ticked_ms;
		cf_lost_record(&sup->gen);
	}
	if (sup->ending == GO_ON && (tick || fds[1].revents) &&
	    cf_cells_check(&sup->gen.cells, tick ? CF_CELLS_SOME : CF_CELLS_NEWS) == 0)
		sup->ending = END_CELLS_GONE;
	if (sup->ending == GO_ON && tick && sup->options->watch && cf_policy_watch_changed(&sup->gen.watch))
		reload(sup);
	if (fds[2].revents)
		take_messages(sup);
	if (sup->ending == GO_ON && is_limit_reached(sup))
		sup->ending = END_LIMIT;
	if (sup->ending == GO_ON && tick && is_time_over(sup))
		sup->ending = END_TIME;
	if (fds[3].revents)
		cf_collecting_hear(&sup->gen.collecting, cf_keeper_now_ms());
	if (fds[4].revents)
		cf_record_keeper_hear(&sup->gen.recorder, cf_keeper_now_ms());
	if (fds[0].revents)
		take_signals(sup);
	cf_collecting_tick(&sup->gen.collecting, cf_keeper_now_ms());
	cf_record_keeper_tick(&sup->gen.recorder, cf_keeper_now_ms());
	cf_keeper_tick(&sup->keeper);
}

static void log_ready(const struct supervisor *sup)
{
	const struct cf_generations *gen = &sup->gen;

	for (uint32_t i = 0; i < gen->plan->cell_count && i < 8; i++) {
		const struct cf_cell *cell = gen->by_plan[i];
		char sources[64];

		cf_sources_text(cell, sources);
		cf_info("cell \"%s\": %s%s%s", cell->plan.name, cell->interface, cell->interface[0] ? ", " : "",
			sources);
	}
	if (gen->plan->cell_count > 8)
		cf_info("... and %u more cells", gen->plan->cell_count - 8);
	cf_info("worker: %.*s", CF_CONFINEMENT_LEN, gen->shared->confinement);
	cf_info("ready: %u cell%s, %s", gen->plan->cell_count, gen->plan->cell_count == 1 ? "" : "s",
		gen->options->policy_path ? gen->options->policy_path : "default mapping");
}

/* The collector's last words, which the worker takes meanwhile. A second signal cuts it short. */
static void collect_rest(struct supervisor *sup)
{
	struct cf_collecting *collecting = &sup->gen.collecting;

	if (sup->ending == END_QUIET)
		return;
	cf_collecting_finish(collecting, sup->options->drain_ms, cf_keeper_now_ms());
	while (!collecting->finished && !sup->hurry)
		turn(sup);
}

/* The worker has ended, and what it took is to get into the file. A second signal cuts this short as well. */
static void record_rest(struct supervisor *sup)
{
	struct cf_record_keeper *recorder = &sup->gen.recorder;
	int64_t hurry_by_ms = cf_keeper_now_ms() + HURRY_MS;

	cf_lost_record(&sup->gen);
	cf_record_keeper_finish(recorder, cf_outcome_current(sup->gen.shared), sup->options->drain_ms,
				cf_keeper_now_ms());
	while (!recorder->finished && (!sup->hurry || cf_keeper_now_ms() < hurry_by_ms)) {
		struct pollfd fds[] = { { .fd = sup->hurry ? -1 : sup->signal_fd, .events = POLLIN },
					{ .fd = recorder->member.channel, .events = POLLIN } };

		poll(fds, 2, sup->hurry ? HURRY_MS / 10 : TICK_MS);
		if (fds[1].revents)
			cf_record_keeper_hear(recorder, cf_keeper_now_ms());
		if (fds[0].revents)
			take_signals(sup);
		cf_record_keeper_tick(recorder, cf_keeper_now_ms());
	}
}

/* Let what is under way arrive: no new events, then a worker to decide what is there, then the outputs. */
static void drain(struct supervisor *sup)
{
	struct cf_message_number ms = { .value = sup->options->drain_ms };

	cf_cells_detach(&sup->gen.cells);
	if (sup->gen.worker.pid && sup->ending != END_QUIET)
		cf_channel_try_send(sup->gen.worker.channel, CF_MSG_DRAINING, &ms, sizeof(ms));
	collect_rest(sup);
	cf_lost_tell(&sup->lost, &sup->gen); /* before the order to finish, so that it is heard */
	cf_keeper_finish(&sup->keeper, sup->ending == END_QUIET ? 0 : sup->options->drain_ms);
	while (!sup->keeper.finished) {
		if (sup->hurry)
			cf_keeper_abort(&sup->keeper);
		else
			turn(sup);
	}
	cf_outputs_recover(&sup->gen.outputs, sup->gen.shared);
	record_rest(sup);
}

/* The line itself is not among the numbers, and whether it fits says nothing about the run. */
static void summarise(struct supervisor *sup, const struct cf_summary *summary)
{
	static char line[1 << 20];
	size_t len = 0;

	cf_log_last_patience(CF_LOG_LAST_PATIENCE_MS);
	if (sup->options->summary_record)
		len = cf_summary_json(summary, line, sizeof(line));
	if (len)
		cf_outputs_finish(&sup->gen.outputs, sup->gen.shared, line, len, LAST_FLUSH_MS);
	cf_summary_log(summary);
}

static int exit_code(const struct supervisor *sup, const struct cf_summary *summary)
{
	if ((sup->options->fail_on & CF_FAIL_ON_SCRIPT_ERROR) && summary->outcome.script_errors)
		return 4;
	if ((sup->options->fail_on & CF_FAIL_ON_LOSS) && summary->lost)
		return 7;
	if ((sup->options->fail_on & CF_FAIL_ON_DENY) &&
	    (summary->outcome.decisions[CF_DENY] || summary->outcome.filtered_deny))
		return 8;
	return sup->ending == END_CELLS_GONE ? 6 : 0;
}

static int conclude(struct supervisor *sup)
{
	struct cf_summary_input input;
	struct cf_summary summary;

	cf_outputs_finish(&sup->gen.outputs, sup->gen.shared, NULL, 0, 0);
	gather(sup, &input, &summary);
	if (sup->ending != END_QUIET)
		summarise(sup, &summary);
	return exit_code(sup, &summary);
}

static int run(struct supervisor *sup)
{
	struct cf_error error = { 0 };

	if (cf_generations_open(&sup->gen, sup->options, sup->end_fd, &error) < 0 ||
	    cf_generation_start(&sup->gen, &error) < 0) {
		if (error.err == EINTR) { /* told to end while starting: no failure */
			cf_info("%s", error.text);
			return 0;
		}
		cf_error_log("%s", error.text);
		return cf_failure_exit_code(error.kind);
	}
	log_ready(sup);
	cf_keeper_took_over(&sup->keeper);
	while (sup->ending == GO_ON)
		turn(sup);
	if (sup->ending == END_CELLS_GONE)
		cf_error_log("no cell is left, ending");
	else if (sup->ending == END_LIMIT)
		cf_info("as many records as --limit says, ending");
	else if (sup->ending == END_TIME)
		cf_info("the time has come that --until says, ending");
	drain(sup);
	return conclude(sup);
}

int cf_supervisor_run(const struct cf_run_options *options)
{
	static struct supervisor sup;
	int code;

	sup = (struct supervisor){ .options = options, .keeper.gen = &sup.gen, .started_ns = monotonic_ns() };
	cf_descriptors_raise();
	open_signals(&sup);
	signal(SIGPIPE, SIG_IGN);
	code = run(&sup);
	cf_generations_close(&sup.gen);
	close(sup.signal_fd);
	close(sup.end_fd);
	return code;
}
