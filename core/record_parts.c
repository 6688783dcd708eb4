/* SPDX-License-Identifier: MIT
 * What records have in common: see record_parts.h. Implements the binding half of record.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "record.h"
#include "record_parts.h"

enum {
	CELL_TEXT_MAX = 6 * (CF_NAME_LEN + CF_TEXT_LEN + CF_IFNAME_LEN) + 128,
};

static struct cf_parts *bound;
const struct cf_parts *cf_parts_bound;

static void name_part(struct cf_part *part, const char *member, const char *name)
{
	struct cf_json json;

	part->len = 0;
	if (!name)
		return;
	cf_json_begin(&json, part->text, sizeof(part->text));
	cf_json_member_text(&json, member, name, strlen(name));
	part->len = json.at - part->text;
}

static void protocol_part(struct cf_part *part, uint32_t protocol)
{
	struct cf_json json;

	name_part(part, "protocol", cf_name_protocol(protocol));
	cf_json_begin(&json, part->text + part->len, sizeof(part->text) - part->len);
	cf_json_literal(&json, ",\"protocol_number\":");
	cf_json_u64(&json, protocol);
	part->len = json.at - part->text;
}

/* A list, where there is more to say than `source` does: several, or a firewall's log. */
static void witnesses_part(struct cf_part *part, uint32_t bits)
{
	const char *first = "[";
	struct cf_json json;

	part->len = 0;
	if (!cf_name_witnesses(bits) || bits == 1 << CF_SOURCE_EBPF || bits == 1 << CF_SOURCE_REPLAY)
		return;
	cf_json_begin(&json, part->text, sizeof(part->text));
	cf_json_literal(&json, ",\"witnesses\":");
	for (uint32_t source = CF_SOURCE_EBPF; source <= CF_SOURCE_REPLAY; source++) {
		if (!(bits & 1U << source))
			continue;
		cf_json_bytes(&json, first, 1);
		cf_json_text(&json, cf_name_source(source), strlen(cf_name_source(source)));
		first = ",";
	}
	cf_json_literal(&json, "]");
	part->len = json.at - part->text;
}

static void make_names(struct cf_parts_names *names)
{
	for (uint32_t i = 0; i < CF_PARTS_NAMED; i++) {
		name_part(&names->kind[i], "kind", cf_name_kind(i));
		name_part(&names->direction[i], "direction", cf_name_direction(i));
		name_part(&names->decision[i], "decision", cf_name_decision(i));
		name_part(&names->family[i], "family", cf_name_family(i));
		name_part(&names->source[i], "source", cf_name_source(i));
		name_part(&names->verdict[i], "verdict", cf_name_verdict(i));
		name_part(&names->close_reason[i], "close_reason", cf_name_close_reason(i));
		name_part(&names->hook[i], "hook", i < CF_HOOK_NF_PREROUTING ? NULL : cf_name_hook(i));
		witnesses_part(&names->witnesses[i], i);
	}
	for (uint32_t i = 0; i < 256; i++)
		protocol_part(&names->protocol[i], i);
}

/* A field of the plan: NUL-terminated when it was made by us, bounded by its size when it was not. */
static void put_field(struct cf_json *json, const char *member, const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	if (len)
		cf_json_member_text(json, member, text, len);
}

static int bind_cell(struct cf_parts_cell *cell, const struct cf_plan_metadata *metadata,
		     const struct cf_plan_cell *declared)
{
	const char *run_id = declared && declared->run_id[0] ? declared->run_id : metadata->run_id;
	char text[CELL_TEXT_MAX] = { 0 }, *tail;
	struct cf_json json;

	cf_json_begin(&json, text, sizeof(text));
	if (declared)
		put_field(&json, "cell_id", declared->name, sizeof(declared->name));
	put_field(&json, "run_id", run_id, CF_TEXT_LEN);
	cf_json_literal(&json, ",\"decision_id\":\"");
	cell->head_len = json.at - text;
	json.at = tail = text + cf_json_padded(cell->head_len);
	if (declared)
		put_field(&json, "interface", declared->interface, sizeof(declared->interface));
	cell->tail_len = json.at - tail;
	cf_id_scope_make(&cell->scope, run_id, declared ? declared->name : "");
	cell->head = malloc(tail - text + cf_json_padded(cell->tail_len));
	if (!cell->head)
		return -1;
	cell->tail = cell->head + (tail - text);
	memcpy(cell->head, text, tail - text + cell->tail_len);
	return 0;
}

static void bind_metadata(struct cf_parts *made, const struct cf_plan *plan)
{
	const struct cf_plan_metadata *metadata = &plan->metadata;
	struct cf_json json;

	cf_json_begin(&json, made->metadata, sizeof(made->metadata));
	if (plan->generation) {
		cf_json_literal(&json, ",\"generation\":");
		cf_json_u64(&json, plan->generation);
	}
	put_field(&json, "policy_digest", metadata->policy_digest, sizeof(metadata->policy_digest));
	put_field(&json, "keyset_id", metadata->keyset_id, sizeof(metadata->keyset_id));
	put_field(&json, "issuer_kid", metadata->issuer_kid, sizeof(metadata->issuer_kid));
	put_field(&json, "correlation_id", metadata->correlation_id, sizeof(metadata->correlation_id));
	made->metadata_len = json.at - made->metadata;
}

static void release(struct cf_parts *old)
{
	if (!old)
		return;
	for (uint32_t i = 0; old->cells && i <= old->cell_count; i++)
		free(old->cells[i].head);
	free(old->cells);
	free(old);
}

static struct cf_parts *make_bound(const struct cf_plan *plan)
{
	struct cf_parts *made = calloc(1, sizeof(*made));
	int failed = 0;

	if (!made)
		return NULL;
	made->cell_count = plan->cell_count < CF_CELLS_MAX ? plan->cell_count : CF_CELLS_MAX;
	made->cells = calloc(made->cell_count + 1, sizeof(*made->cells));
	for (uint32_t i = 0; made->cells && i <= made->cell_count; i++)
		failed |= bind_cell(&made->cells[i], &plan->metadata, i < made->cell_count ? &plan->cells[i] : NULL);
	if (!made->cells || failed) {
		release(made);
		return NULL;
	}
	bind_metadata(made, plan);
	make_names(&made->names);
	return made;
}

int cf_record_bind(const struct cf_plan *plan, struct cf_error *err)
{
	struct cf_parts *made = make_bound(plan);

	if (!made)
		return cf_fail(err, CF_FAIL_INTERNAL, ENOMEM, "no memory for the records of %u cells",
			       plan->cell_count);
	release(bound);
	bound = made;
	cf_parts_bound = made;
	return 0;
}

void cf_record_unbind(void)
{
	release(bound);
	bound = NULL;
	cf_parts_bound = NULL;
}

size_t cf_decision_id_text(const struct cf_event *event, char *out)
{
	*out = '\0';
	if (!bound)
		return 0;
	cf_id_format(&cf_parts_cell(bound, event->cell)->scope, event, out);
	out[CF_ID_TEXT_LEN - 1] = '\0';
	return CF_ID_TEXT_LEN - 1;
}
