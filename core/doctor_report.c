/* SPDX-License-Identifier: MIT
 * The report as lines for people and as one JSON object; see doctor.h. */
#include <stdlib.h>
#include <string.h>
#include "doctor.h"
#include "flow.h"
#include "json.h"

enum {
	JSON_LEN = 1 << 20, /* more than all texts, every byte of them escaped */
};

static const char *const directions[2] = { [CF_FLOW_EGRESS] = "egress", [CF_FLOW_INGRESS] = "ingress" };
static const char *const kinds[] = {
	[CF_DOCTOR_XDP] = "xdp",
	[CF_DOCTOR_TCX] = "tcx",
	[CF_DOCTOR_CLSACT] = "clsact",
};

int cf_doctor_ebpf_works(const struct cf_doctor *doctor)
{
	uint32_t needed =
		CF_DOCTOR_NAMESPACE | CF_DOCTOR_WORKER | CF_DOCTOR_LOAD | CF_DOCTOR_CELL | CF_DOCTOR_INTERFACE;

	return (doctor->works & needed) == needed && (doctor->works & (CF_DOCTOR_BY_TCX | CF_DOCTOR_BY_CLSACT));
}

int cf_doctor_nflog_works(const struct cf_doctor *doctor)
{
	uint32_t needed = CF_DOCTOR_NAMESPACE | CF_DOCTOR_WORKER | CF_DOCTOR_NFLOG | CF_DOCTOR_CELL;

	return (doctor->works & needed) == needed;
}

/* Names of interfaces and programs are somebody else's: no byte of them may command a terminal. */
static void print_text(FILE *to, const char *text)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte < 0x20 || byte >= 0x7f)
			fprintf(to, "\\x%02x", byte);
		else
			fputc(byte, to);
	}
}

static void print_check(const struct cf_doctor_check *check, FILE *to, int coloured)
{
	static const struct {
		const char *word, *colour;
	} states[] = { [CF_DOCTOR_OK] = { "ok", "\033[32m" },
		       [CF_DOCTOR_INFO] = { "info", "" },
		       [CF_DOCTOR_WARN] = { "warn", "\033[33m" },
		       [CF_DOCTOR_FAIL] = { "FAIL", "\033[31m" } };
	const char *colour = coloured ? states[check->state].colour : "";

	fprintf(to, "%s%-4s%s  %-16s  ", colour, states[check->state].word, colour[0] ? "\033[0m" : "", check->name);
	print_text(to, check->detail);
	if (check->remedy[0]) {
		fputs("; remedy: ", to);
		print_text(to, check->remedy);
	}
	fputc('\n', to);
}

static void print_program(const struct cf_doctor_program *program, uint32_t order, int is_own, FILE *to)
{
	fprintf(to, "  %2u  %-6s  ", order, kinds[program->kind]);
	print_text(to, program->name[0] ? program->name : "(no name)");
	if (program->id)
		fprintf(to, ", id %u", program->id);
	if (program->kind == CF_DOCTOR_CLSACT) {
		fputs(", filter ", to);
		print_text(to, program->filter);
		fprintf(to, " pref %u handle 0x%x", program->preference, program->handle);
		if (program->chain)
			fprintf(to, " chain %u", program->chain);
	}
	fputs(is_own ? " (cellflow)\n" : "\n", to);
}

static void print_hook(const struct cf_doctor *doctor, const struct cf_doctor_hook *hook, FILE *to)
{
	if (hook->count == 0)
		return;
	fprintf(to, "\n%s of ", directions[hook->direction]);
	print_text(to, doctor->interface);
	fputs(", first to last:\n", to);
	for (uint32_t i = 0; i < hook->count; i++)
		print_program(&hook->programs[i], i + 1, (int32_t)i == hook->own, to);
	if (hook->left_out)
		fprintf(to, "  and %u more\n", hook->left_out);
}

int cf_doctor_print(const struct cf_doctor *doctor, FILE *to, int coloured)
{
	for (uint32_t i = 0; i < doctor->check_count; i++)
		print_check(&doctor->checks[i], to, coloured);
	for (uint32_t i = 0; i < doctor->hook_count; i++)
		print_hook(doctor, &doctor->hooks[i], to);
	fprintf(to, "\nsource ebpf: %s\nsource nflog: %s\n",
		!cf_doctor_ebpf_works(doctor)	   ? "would not work"
		: doctor->works & CF_DOCTOR_BY_TCX ? "would work, by tcx"
						   : "would work, by clsact",
		cf_doctor_nflog_works(doctor) ? "would work" : "would not work");
	return fflush(to) == 0 && !ferror(to) ? 0 : -1;
}

static void put_text(struct cf_json *json, const char *name, const char *text)
{
	cf_json_member_text(json, name, text, strlen(text));
}

static void put_number(struct cf_json *json, const char *name, uint64_t value)
{
	cf_json_literal(json, ",\"");
	cf_json_bytes(json, name, strlen(name));
	cf_json_literal(json, "\":");
	cf_json_u64(json, value);
}

static void begin_item(struct cf_json *json, uint32_t index)
{
	if (index)
		cf_json_literal(json, ",");
	cf_json_literal(json, "{");
}

static void put_checks(struct cf_json *json, const struct cf_doctor *doctor)
{
	static const char *const states[] = { "ok", "info", "warn", "fail" };

	for (uint32_t i = 0; i < doctor->check_count; i++) {
		const struct cf_doctor_check *check = &doctor->checks[i];

		begin_item(json, i);
		cf_json_literal(json, "\"name\":");
		cf_json_text(json, check->name, strlen(check->name));
		put_text(json, "state", states[check->state]);
		put_text(json, "detail", check->detail);
		if (check->remedy[0])
			put_text(json, "remedy", check->remedy);
		cf_json_literal(json, "}");
	}
}

static void put_program(struct cf_json *json, const struct cf_doctor_program *program, uint32_t order)
{
	char handle[16];

	begin_item(json, order - 1);
	cf_json_literal(json, "\"order\":");
	cf_json_u64(json, order);
	put_text(json, "kind", kinds[program->kind]);
	if (program->name[0])
		put_text(json, "name", program->name);
	if (program->id)
		put_number(json, "id", program->id);
	if (program->kind == CF_DOCTOR_CLSACT) {
		snprintf(handle, sizeof(handle), "0x%x", program->handle);
		put_text(json, "filter", program->filter);
		put_number(json, "pref", program->preference);
		put_text(json, "handle", handle);
		put_number(json, "chain", program->chain);
	}
	cf_json_literal(json, "}");
}

static void put_hooks(struct cf_json *json, const struct cf_doctor *doctor)
{
	for (uint32_t i = 0; i < doctor->hook_count; i++) {
		const struct cf_doctor_hook *hook = &doctor->hooks[i];

		begin_item(json, i);
		cf_json_literal(json, "\"hook\":");
		cf_json_text(json, directions[hook->direction], strlen(directions[hook->direction]));
		put_text(json, "interface", doctor->interface);
		put_number(json, "ifindex", (uint64_t)doctor->ifindex);
		if (hook->own >= 0)
			put_number(json, "cellflow_order", (uint64_t)hook->own + 1);
		if (hook->left_out)
			put_number(json, "left_out", hook->left_out);
		cf_json_literal(json, ",\"programs\":[");
		for (uint32_t j = 0; j < hook->count; j++)
			put_program(json, &hook->programs[j], j + 1);
		cf_json_literal(json, "]}");
	}
}

static void put_truth(struct cf_json *json, int truth)
{
	cf_json_bytes(json, truth ? "true" : "false", truth ? 4 : 5);
}

int cf_doctor_print_json(const struct cf_doctor *doctor, FILE *to)
{
	char *text = malloc(JSON_LEN);
	struct cf_json json;
	int ret = -1;

	if (!text)
		return -1;
	cf_json_begin(&json, text, JSON_LEN);
	cf_json_literal(&json, "{\"checks\":[");
	put_checks(&json, doctor);
	cf_json_literal(&json, "],\"sources\":{\"ebpf\":");
	put_truth(&json, cf_doctor_ebpf_works(doctor));
	cf_json_literal(&json, ",\"nflog\":");
	put_truth(&json, cf_doctor_nflog_works(doctor));
	cf_json_literal(&json, "},\"hooks\":[");
	put_hooks(&json, doctor);
	cf_json_literal(&json, "]}\n");
	if (!json.overflow && fwrite(text, 1, (size_t)(json.at - text), to) == (size_t)(json.at - text))
		ret = fflush(to) == 0 ? 0 : -1;
	free(text);
	return ret;
}
