/* SPDX-License-Identifier: MIT
 * The worker process from fork to exit: see worker.h. What one turn of its loop does is turn.c's. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "confine.h"
#include "descriptors.h"
#include "dedup.h"
#include "digest.h"
#include "emit.h"
#include "frame.h"
#include "host_ring.h"
#include "include.h"
#include "log.h"
#include "memory.h"
#include "plan_check.h"
#include "privilege.h"
#include "record.h"
#include "trace_count.h"
#include "turn.h"
#include "worker.h"

enum { FULL_QUIET_MS = 60000 }; /* between two lines about workers that went for their memory */

static void merge_text(char *to, const char *from, size_t size)
{
	if (from[0])
		memcpy(to, from, size);
}

#define MERGE(to, from, field) merge_text((to)->field, (from)->field, sizeof((to)->field))

static void merge_metadata(struct cf_plan_metadata *to, const struct cf_plan_metadata *from)
{
	MERGE(to, from, run_id);
	MERGE(to, from, policy_digest);
	MERGE(to, from, keyset_id);
	MERGE(to, from, issuer_kid);
	MERGE(to, from, correlation_id);
}

struct loading {
	const struct cf_opener *opener;
	struct cf_digest digest;
};

static int read_include(void *context, const char *path, char **text, size_t *len, struct cf_error *error)
{
	struct loading *loading = context;

	if (loading->opener->read(loading->opener->context, path, text, len, error) < 0)
		return -1;
	cf_digest_part(&loading->digest, "include", *text, *len);
	return 0;
}

int cf_worker_load(const struct cf_worker_config *config, const struct cf_opener *opener, struct cf_plan *plan,
		   struct cf_error *error)
{
	struct loading loading = { .opener = opener };
	struct cf_opener including = { .read = read_include, .context = &loading };
	uint64_t until_ns = 0;

	cf_digest_begin(&loading.digest);
	if (config->policy.text)
		cf_digest_part(&loading.digest, "file", config->policy.text, config->policy.len);
	if (cf_script_open(error) < 0)
		return -1;
	if (config->selection && cf_script_select(config->selection, &until_ns, error) < 0)
		return -1;
	cf_script_limit(CF_MEMORY_MB_DEFAULT); /* what the policy says of it counts from when it was read */
	if (cf_script_load(&config->policy, &including, plan, error) < 0)
		return -1;
	cf_script_limit(plan->limits.memory_mb);
	plan->limits.until_ns = until_ns;
	cf_digest_args(&loading.digest, config->policy.args);
	if (config->policy.text && !plan->metadata.policy_digest[0])
		cf_digest_end(&loading.digest, plan->metadata.policy_digest);
	merge_metadata(&plan->metadata, config->metadata);
	if (config->cell && cf_plan_merge_cell(plan, config->cell, error) < 0)
		return -1;
	if (config->selection && cf_select_merge(config->selection, plan, error) < 0)
		return -1;
	for (uint32_t i = 0; i < plan->cell_count; i++)
		cf_plan_cell_complete(&plan->cells[i]);
	return cf_plan_check(plan, error);
}

static int send_plan(int channel, const struct cf_plan *plan)
{
	int rc = cf_channel_send(channel, CF_MSG_PLAN_METADATA, &plan->metadata, sizeof(plan->metadata), NULL, 0);

	if (rc == 0)
		rc = cf_channel_send(channel, CF_MSG_PLAN_LIMITS, &plan->limits, sizeof(plan->limits), NULL, 0);
	if (rc == 0)
		rc = cf_channel_send(channel, CF_MSG_PLAN_FLOWS, &plan->flows, sizeof(plan->flows), NULL, 0);
	for (uint32_t i = 0; rc == 0 && i < plan->output_count; i++)
		rc = cf_channel_send(channel, CF_MSG_PLAN_OUTPUT, &plan->outputs[i], sizeof(plan->outputs[i]), NULL, 0);
	for (uint32_t i = 0; rc == 0 && i < plan->cell_count; i++)
		rc = cf_channel_send(channel, CF_MSG_PLAN_CELL, &plan->cells[i], sizeof(plan->cells[i]), NULL, 0);
	return rc ? rc : cf_channel_send(channel, CF_MSG_PLAN_END, NULL, 0, NULL, 0);
}

static int take_output(struct cf_turn *turn, struct cf_message *message, struct cf_error *error)
{
	uint64_t index = message->body.number.value;
	int fd = message->fds[0];
	int buffer_fd = message->fds[1];

	message->fds[0] = message->fds[1] = -1;
	if (index != turn->sink_count || index >= CF_OUTPUTS_MAX || buffer_fd < 0)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "worker: output %llu out of turn",
			       (unsigned long long)index);
	if (cf_sink_open(&turn->sinks[index], fd, buffer_fd, &turn->shared->outputs[index], error) < 0)
		return -1;
	turn->sink_count++;
	return 0;
}

/* A cell that only an earlier plan had is added for its name: its last events are still in the ring. */
static int take_slot(struct cf_turn *turn, struct cf_plan *plan, const struct cf_message_slot *slot)
{
	struct cf_plan_cell *cell = plan->cells;

	while (cell < plan->cells + plan->cell_count && strcmp(cell->name, slot->name) != 0)
		cell++;
	if (cell == plan->cells + plan->cell_count) {
		cell = cf_plan_add_cell(plan);
		if (!cell)
			return 0; /* no room for a name; its events are refused, and counted */
		memcpy(cell->name, slot->name, sizeof(cell->name));
	}
	memcpy(cell->interface, slot->interface, sizeof(cell->interface));
	return cf_turn_set_slot(turn, slot->slot, (uint32_t)(cell - plan->cells));
}

/* Take descriptors until START. */
static int take_over(struct cf_turn *turn, int channel, struct cf_plan *plan, struct cf_error *error)
{
	struct cf_host_ring host;
	struct cf_message message;

	for (;;) {
		int rc = cf_channel_receive(channel, &message, -1);

		if (rc <= 0)
			_exit(rc == 0 ? 0 : 1); /* the supervisor went or changed its mind; nothing is in hand */
		switch (message.type) {
		case CF_MSG_OUTPUT:
			if (take_output(turn, &message, error) < 0)
				return -1;
			break;
		case CF_MSG_SLOT:
			if (take_slot(turn, plan, &message.body.slot) < 0)
				return cf_fail(error, CF_FAIL_INTERNAL, 0, "worker: slot %u", message.body.slot.slot);
			break;
		case CF_MSG_RING:
			if (cf_ring_open_slots(&turn->feed.rings[CF_FEED_KERNEL], message.fds[0], message.fds[1],
					       message.body.number.value, error) < 0)
				return -1;
			message.fds[1] = -1;
			break;
		case CF_MSG_HOST_RING:
			host = (struct cf_host_ring){ message.fds[0], message.fds[1], message.body.number.value };
			if (cf_ring_open_host(&turn->feed.rings[CF_FEED_HOST], &host, error) < 0)
				return -1;
			message.fds[1] = -1; /* the memory stays mapped, its descriptor is of no more use */
			break;
		case CF_MSG_RECORD_RING:
			host = (struct cf_host_ring){ message.fds[0], message.fds[1], message.body.number.value };
			if (cf_record_stream_open(&turn->stream, &host, error) < 0)
				return -1;
			message.fds[1] = -1;
			break;
		case CF_MSG_START:
			plan->generation = (uint32_t)message.body.number.value;
			return 0;
		default:
			return cf_fail(error, CF_FAIL_INTERNAL, 0, "worker: message %u before the start", message.type);
		}
		cf_message_close_fds(&message);
	}
}

/* Who decides from here on, for the recording. */
static int announce(struct cf_turn *turn, const struct cf_worker_config *config, const struct cf_plan *plan,
		    const struct utsname *host, struct cf_error *error)
{
	struct cf_meta meta = {
		.now_ns = cf_boot_ns(),
		.generation = plan->generation,
		.texts = { [CF_META_VERSION] = CF_VERSION,
			   [CF_META_HOST] = host->nodename,
			   [CF_META_KERNEL] = host->release,
			   [CF_META_RUN_ID] = plan->metadata.run_id,
			   [CF_META_POLICY_DIGEST] = plan->metadata.policy_digest,
			   [CF_META_KEYSET_ID] = plan->metadata.keyset_id,
			   [CF_META_ISSUER_KID] = plan->metadata.issuer_kid,
			   [CF_META_CORRELATION_ID] = plan->metadata.correlation_id,
			   [CF_META_POLICY_FILE] = config->policy.name },
	};
	const char *const *args = config->policy.args;

	for (uint32_t i = 0; args && args[i] && i < 2 * CF_META_ARGS_MAX; i++)
		meta.args[i] = args[i];
	return cf_record_stream_announce(&turn->stream, &meta, plan, error);
}

static void fail_and_exit(int channel, const struct cf_error *error)
{
	struct cf_message_text text = { 0 };

	memcpy(text.text, error->text, sizeof(text.text));
	cf_channel_send(channel, error->kind == CF_FAIL_USAGE ? CF_MSG_MISUSED : CF_MSG_FAILED, &text, sizeof(text),
			NULL, 0);
	_exit(cf_failure_exit_code(error->kind));
}

/* What a host lacks is said by its first worker only. */
static void tell_confinement(struct cf_shared *shared, const struct cf_confinement *got)
{
	char text[CF_CONFINEMENT_LEN];
	int is_first = shared->confinement[0] == '\0';

	cf_confinement_text(got, text);
	memcpy(shared->confinement, text, sizeof(text));
	cf_debug("confinement: %s", text);
	if (is_first && cf_confinement_lacks(got))
		cf_warn("this kernel confines workers less than newer ones do: %s", text);
}

static struct cf_shared *told_by; /* a process has one worker */

/* At most a line a minute of each kind, over all workers: a policy that fills up in a second would fill the log as well. */
static void tell_full(enum cf_script_full how, const char *text)
{
	struct cf_full_told *told = &told_by->full_told[how];
	int64_t now_ms = (int64_t)(cf_monotonic_seconds() * 1e3);

	told_by->full_is_told = !told->at_ms || now_ms - told->at_ms >= FULL_QUIET_MS;
	if (!told_by->full_is_told) {
		told->untold++;
		return;
	}
	if (told->untold)
		cf_warn("%s (%llu went so since this was last said)", text, (unsigned long long)told->untold);
	else
		cf_warn("%s", text);
	*told = (struct cf_full_told){ .at_ms = now_ms };
}

static uint64_t ceiling(uint32_t memory_mb)
{
	return ((uint64_t)memory_mb << 20) * CF_MEMORY_HARD;
}

void cf_worker_main(const struct cf_worker_config *config, int channel, pid_t parent)
{
	struct cf_error error = { 0 };
	struct cf_plan *plan = cf_plan_new();
	struct cf_opener opener = { .read = cf_include_ask, .context = &channel };
	struct cf_confinement confinement;
	struct cf_turn *turn;
	struct utsname host;
	int full;

	cf_descriptors_detach(&channel, 1); /* first: it closes whatever it does not know */
	turn = cf_turn_new(config->shared, config->linger_ns);
	prctl(PR_SET_NAME, "cellflow-worker");
	if (!plan || !turn || uname(&host) < 0)
		_exit(1);
	if (cf_privilege_drop(config->uid, config->gid, parent, &error) < 0)
		fail_and_exit(channel, &error);
	cf_confine(ceiling(CF_MEMORY_MB_DEFAULT), CF_CONFINE_DESCRIPTORS, &confinement);
	cf_progress_bind(config->progress);
	told_by = config->shared;
	cf_script_on_full(tell_full);
	if (cf_worker_load(config, &opener, plan, &error) < 0)
		fail_and_exit(channel, &error);
	cf_confine_memory(ceiling(plan->limits.memory_mb), &confinement);
	tell_confinement(config->shared, &confinement);
	if (send_plan(channel, plan) < 0)
		_exit(1);
	if (take_over(turn, channel, plan, &error) < 0 || announce(turn, config, plan, &host, &error) < 0 ||
	    cf_record_bind(plan, &error) < 0 || cf_script_bind(plan, &error) < 0 || cf_script_count_traces(&error) < 0)
		fail_and_exit(channel, &error);
	cf_traces_bind(config->shared);
	cf_dedup_bind(config->dedup, config->dedup_len);
	cf_emit_bind(config->shared, turn->sinks, turn->sink_count);
	cf_emit_formats(plan, config->selection && config->selection->color);
	cf_emit_limit(config->selection ? config->selection->limit : 0);
	turn->interpreted = plan->limits.interpreted;
	turn->slow_ms = plan->limits.slow_ms;
	turn->connections = config->connections;
	cf_turn_recover(turn);
	if (cf_channel_send(channel, CF_MSG_READY, NULL, 0, NULL, 0) < 0)
		_exit(1);
	full = cf_turn_loop(turn, channel);
	cf_script_stop();
	if (full)
		_exit(CF_SCRIPT_FULL);
	cf_channel_send(channel, CF_MSG_DONE, NULL, 0, NULL, 0);
	_exit(0);
}
