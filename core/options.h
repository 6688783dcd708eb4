/* SPDX-License-Identifier: MIT
 *
 * Command-line options of every verb, from one table each: long and short names, environment aliases
 * (CELLFLOW_<OPTION>), help text, and errors with the nearest right name. What the values mean is the verb's.
 */
#ifndef CF_OPTIONS_H
#define CF_OPTIONS_H
#include <stdint.h>
#include "error.h"

enum cf_option_kind {
	CF_OPTION_FLAG, /* int: 1 when given */
	CF_OPTION_TEXT, /* const char * */
	CF_OPTION_NUMBER, /* long long, within [min, max] */
	CF_OPTION_LIST, /* struct cf_option_list: may be given often */
};

enum { CF_OPTION_LIST_MAX = 64 };

struct cf_option_list {
	const char *items[CF_OPTION_LIST_MAX];
	int count;
};

struct cf_option {
	const char *name; /* without dashes */
	char letter; /* 0: none */
	enum cf_option_kind kind;
	const char *argument; /* its name in help; NULL for flags */
	const char *help; /* of one or more lines */
	void *value;
	long long min, max;
};

struct cf_verb {
	const char *name;
	const char *arguments; /* as shown behind the name in help */
	const char *summary; /* one line */
	const char *notes; /* more help, after the options; may be NULL */
	int (*run)(int argc, char **argv);
};

/* Fill the values of `options` (ended by an entry without name) from the environment, then from argv[1..]; what is
 * no option is moved to the front of argv, its number put into *operands. Returns 0; 1 when --help was asked for and
 * has been printed; -1 with CF_FAIL_USAGE. */
int cf_options_parse(const struct cf_verb *verb, const struct cf_option *options, int argc, char **argv, int *operands,
		     struct cf_error *error);

/* The index of `text` in `names`, or -1 with CF_FAIL_USAGE; `origin` is what the text was given as ("--hooks"). */
int cf_option_choice(const char *text, const char *const *names, int count, const char *origin, struct cf_error *error);
/* The same for names with commas between them: 1 << index, or-ed into *bits. Returns 0 or -1. */
int cf_option_choices(const char *text, const char *const *names, int count, const char *origin, uint32_t *bits,
		      struct cf_error *error);

/* The nearest of `count` names to `word`, or NULL when none is near. */
const char *cf_suggest(const char *word, const char *const *names, int count);
#endif
