/* SPDX-License-Identifier: MIT
 * What is known of a group of events beside its numbers: see coverage_seen.h. */
#include <stdlib.h>
#include <string.h>
#include "coverage_seen.h"

enum {
	CELLS_MAX = 8, /* that are named */
	EXAMPLE_MAX = 4096,
};

static const char *const example_names[CF_EXAMPLE_COUNT] = {
	[CF_EXAMPLE_ID] = "decision_id",      [CF_EXAMPLE_CELL] = "cell_id",	  [CF_EXAMPLE_KIND] = "kind",
	[CF_EXAMPLE_DIRECTION] = "direction", [CF_EXAMPLE_SRC_ADDR] = "src_addr", [CF_EXAMPLE_SRC_PORT] = "src_port",
	[CF_EXAMPLE_TIME] = "observed_at",
};

static int add_cell(struct cf_coverage_seen *seen, const struct cf_member *cell)
{
	size_t used = seen->cells ? strlen(seen->cells) : 0;
	char *at;

	if (!cell->text)
		return 0;
	/* JSON has no newline in it. */
	for (at = seen->cells; at && (at = strchr(at, '\n')); at++)
		if (strncmp(at + 1, cell->text, cell->len) == 0 && at[1 + cell->len] == '\n')
			return 0;
	if (seen->cell_count == CELLS_MAX) {
		seen->has_more_cells = 1;
		return 0;
	}
	at = realloc(seen->cells, used + cell->len + 3);
	if (!at)
		return -1;
	seen->cells = at;
	if (used == 0)
		at[used++] = '\n';
	memcpy(at + used, cell->text, cell->len);
	memcpy(at + used + cell->len, "\n", 2);
	seen->cell_count++;
	return 0;
}

static const struct cf_member *member(const struct cf_member *members, const char *name)
{
	uint32_t i = 0;

	while (strcmp(cf_member_names[i], name) != 0)
		i++;
	return &members[i];
}

static int add_example(struct cf_coverage_seen *seen, const struct cf_member *members)
{
	char text[EXAMPLE_MAX];
	size_t used = 0;

	for (int i = 0; i < CF_EXAMPLE_COUNT; i++) {
		const struct cf_member *value = member(members, example_names[i]);

		if (value->len + 1 > sizeof(text) - used)
			return 0; /* then there is none */
		if (value->len)
			memcpy(text + used, value->text, value->len);
		used += value->len;
		text[used++] = '\0';
	}
	seen->example = malloc(used);
	if (seen->example)
		memcpy(seen->example, text, used);
	return seen->example ? 0 : -1;
}

int cf_coverage_seen_add(struct cf_coverage_seen *seen, const struct cf_member *members)
{
	int is_first = !seen->is_begun;

	seen->is_begun = 1;
	if (is_first && add_example(seen, members) < 0)
		return -1;
	return add_cell(seen, member(members, example_names[CF_EXAMPLE_CELL]));
}

void cf_coverage_seen_free(struct cf_coverage_seen *seen)
{
	free(seen->cells);
	free(seen->example);
}

const char *cf_coverage_example_name(uint32_t which)
{
	return example_names[which];
}

const char *cf_coverage_example(const struct cf_coverage_seen *seen, uint32_t which)
{
	const char *at = seen->example ? seen->example : "";

	while (seen->example && which--)
		at += strlen(at) + 1;
	return at;
}
