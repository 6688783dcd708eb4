/* SPDX-License-Identifier: MIT
 * Values of options that are words of a fixed list: see options.h. */
#include <stdio.h>
#include <string.h>
#include "options.h"

enum { WORD_LEN = 64 };

static int unknown(const char *text, const char *const *names, int count, const char *origin, struct cf_error *error)
{
	const char *near = cf_suggest(text, names, count);
	char all[128] = "";

	if (near)
		return cf_fail(error, CF_FAIL_USAGE, 0, "%s: \"%s\" is not known (did you mean \"%s\"?)", origin, text,
			       near);
	for (int i = 0; i < count; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", names[i]);
	return cf_fail(error, CF_FAIL_USAGE, 0, "%s: \"%s\" is not known (there are: %s)", origin, text, all);
}

int cf_option_choice(const char *text, const char *const *names, int count, const char *origin, struct cf_error *error)
{
	for (int i = 0; i < count; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	return unknown(text, names, count, origin, error);
}

int cf_option_choices(const char *text, const char *const *names, int count, const char *origin, uint32_t *bits,
		      struct cf_error *error)
{
	for (;;) {
		size_t len = strcspn(text, ",");
		char word[WORD_LEN];
		int choice;

		snprintf(word, sizeof(word), "%.*s", (int)(len < sizeof(word) ? len : sizeof(word) - 1), text);
		choice = cf_option_choice(word, names, count, origin, error);
		if (choice < 0)
			return -1;
		*bits |= 1U << choice;
		if (!text[len])
			return 0;
		text += len + 1;
	}
}
