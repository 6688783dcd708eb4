/* SPDX-License-Identifier: MIT
 * Table-driven options: see options.h. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "options.h"

enum { NAME_LEN = 64 };

static unsigned int least(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int smaller = a < b ? a : b;

	return smaller < c ? smaller : c;
}

/* Levenshtein distance; words longer than any option are simply far from everything. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[NAME_LEN + 1];
	size_t len_b = strlen(b);

	if (strlen(a) > NAME_LEN || len_b > NAME_LEN)
		return UINT_MAX;
	for (unsigned int j = 0; j <= len_b; j++)
		row[j] = j;
	for (unsigned int i = 1; *a; a++, i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (unsigned int j = 1; j <= len_b; j++) {
			unsigned int above = row[j];

			row[j] = least(above + 1, row[j - 1] + 1, diagonal + (*a != b[j - 1]));
			diagonal = above;
		}
	}
	return row[len_b];
}

const char *cf_suggest(const char *word, const char *const *names, int count)
{
	const char *best = NULL;
	unsigned int best_distance = (unsigned int)strlen(word) / 3 + 2;

	for (int i = 0; i < count; i++) {
		unsigned int d = distance(word, names[i]);

		if (d < best_distance) {
			best_distance = d;
			best = names[i];
		}
	}
	return best;
}

static const struct cf_option *find(const struct cf_option *options, const char *name, size_t len)
{
	for (; options->name; options++)
		if (strlen(options->name) == len && strncmp(options->name, name, len) == 0)
			return options;
	return NULL;
}

static int set_number(const struct cf_option *option, const char *text, const char *origin, struct cf_error *error)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno || end == text || *end || number < option->min || number > option->max)
		return cf_fail(error, CF_FAIL_USAGE, 0, "%s: \"%s\" is not a whole number from %lld to %lld", origin,
			       text, option->min, option->max);
	*(long long *)option->value = number;
	return 0;
}

static int set(const struct cf_option *option, const char *text, const char *origin, struct cf_error *error)
{
	struct cf_option_list *list = option->value;

	switch (option->kind) {
	case CF_OPTION_FLAG:
		*(int *)option->value = 1;
		return 0;
	case CF_OPTION_TEXT:
		if (!*text) /* a shell variable that was not set: never what was meant */
			return cf_fail(error, CF_FAIL_USAGE, 0, "%s: is empty, want %s", origin, option->argument);
		*(const char **)option->value = text;
		return 0;
	case CF_OPTION_NUMBER:
		return set_number(option, text, origin, error);
	default:
		if (list->count == CF_OPTION_LIST_MAX)
			return cf_fail(error, CF_FAIL_USAGE, 0, "%s: given more than %d times", origin,
				       CF_OPTION_LIST_MAX);
		list->items[list->count++] = text;
		return 0;
	}
}

static void environment_name(const struct cf_option *option, char *name, size_t size)
{
	snprintf(name, size, "CELLFLOW_%s", option->name);
	for (char *at = name; *at; at++)
		*at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
}

static int from_environment(const struct cf_option *options, struct cf_error *error)
{
	char name[NAME_LEN + 16];

	for (; options->name; options++) {
		const char *text;

		environment_name(options, name, sizeof(name));
		text = getenv(name);
		if (!text || !*text)
			continue;
		/* Only an exact 1 switches something on: "true", "yes" and "0" must not be guessed about. */
		if (options->kind == CF_OPTION_FLAG && strcmp(text, "1") != 0)
			continue;
		if (set(options, text, name, error) < 0)
			return -1;
	}
	return 0;
}

static int unknown_option(const struct cf_verb *verb, const struct cf_option *options, const char *name,
			  struct cf_error *error)
{
	const char *names[128];
	const char *near;
	int count = 0;

	for (; options->name && count < 127; options++)
		names[count++] = options->name;
	names[count++] = "help";
	near = cf_suggest(name, names, count);
	if (near)
		return cf_fail(error, CF_FAIL_USAGE, 0, "%s: unknown option \"--%s\" (did you mean \"--%s\"?)",
			       verb->name, name, near);
	return cf_fail(error, CF_FAIL_USAGE, 0, "%s: unknown option \"--%s\" (see: cellflow %s --help)", verb->name,
		       name, verb->name);
}

/* A help of several lines stands in its column. */
static void print_option(const char *left, const char *help)
{
	const char *line = help;

	while (*line) {
		size_t len = strcspn(line, "\n");

		printf("  %-32s %.*s\n", line == help ? left : "", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

static void print_help(const struct cf_verb *verb, const struct cf_option *options)
{
	printf("cellflow %s: %s\n\nUsage: cellflow %s %s\n\nOptions:\n", verb->name, verb->summary, verb->name,
	       verb->arguments);
	for (const struct cf_option *option = options; option->name; option++) {
		char left[NAME_LEN];

		snprintf(left, sizeof(left), "%c%c%s --%s%s%s", option->letter ? '-' : ' ',
			 option->letter ? option->letter : ' ', option->letter ? "," : " ", option->name,
			 option->argument ? " " : "", option->argument ? option->argument : "");
		print_option(left, option->help);
	}
	print_option("-h, --help", "this text");
	if (options->name) {
		char name[NAME_LEN + 16];

		environment_name(options, name, sizeof(name));
		printf("\nEach long option can be given in the environment as well: --%s is %s.\n"
		       "The command line beats the environment, which beats the policy file.\n",
		       options->name, name);
	}
	if (verb->notes)
		printf("\n%s", verb->notes);
}

struct parse {
	const struct cf_verb *verb;
	const struct cf_option *options;
	char **argv;
	int argc;
	int at;
	struct cf_error *error;
};

static int parse_value(struct parse *parse, const struct cf_option *option, const char *inlined, const char *origin)
{
	if (option->kind == CF_OPTION_FLAG) {
		if (inlined)
			return cf_fail(parse->error, CF_FAIL_USAGE, 0, "%s takes no value", origin);
		return set(option, NULL, origin, parse->error);
	}
	if (!inlined) {
		if (parse->at + 1 >= parse->argc)
			return cf_fail(parse->error, CF_FAIL_USAGE, 0, "%s needs a value: %s", origin,
				       option->argument);
		inlined = parse->argv[++parse->at];
	}
	return set(option, inlined, origin, parse->error);
}

static int parse_long(struct parse *parse)
{
	const char *name = parse->argv[parse->at] + 2;
	const char *equals = strchr(name, '=');
	const struct cf_option *option = find(parse->options, name, equals ? (size_t)(equals - name) : strlen(name));
	char origin[NAME_LEN + 8];

	if (!option) {
		snprintf(origin, sizeof(origin), "%.*s", equals ? (int)(equals - name) : NAME_LEN, name);
		return unknown_option(parse->verb, parse->options, origin, parse->error);
	}
	snprintf(origin, sizeof(origin), "--%s", option->name);
	return parse_value(parse, option, equals ? equals + 1 : NULL, origin);
}

static int parse_short(struct parse *parse)
{
	const char *word = parse->argv[parse->at];
	char origin[3] = { '-', word[1], '\0' };

	for (const struct cf_option *option = parse->options; option->name; option++)
		if (option->letter == word[1])
			return parse_value(parse, option, word[2] ? word + 2 : NULL, origin);
	return cf_fail(parse->error, CF_FAIL_USAGE, 0, "%s: unknown option \"%s\" (see: cellflow %s --help)",
		       parse->verb->name, origin, parse->verb->name);
}

int cf_options_parse(const struct cf_verb *verb, const struct cf_option *options, int argc, char **argv, int *operands,
		     struct cf_error *error)
{
	struct parse parse = { verb, options, argv, argc, 1, error };
	int only_operands = 0;

	*operands = 0;
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_help(verb, options);
			return 1;
		}
	if (from_environment(options, error) < 0)
		return -1;
	for (; parse.at < argc; parse.at++) {
		const char *word = argv[parse.at];
		int rc = 0;

		if (only_operands || word[0] != '-' || word[1] == '\0')
			argv[(*operands)++] = argv[parse.at];
		else if (strcmp(word, "--") == 0)
			only_operands = 1;
		else
			rc = word[1] == '-' ? parse_long(&parse) : parse_short(&parse);
		if (rc < 0)
			return -1;
	}
	return 0;
}
