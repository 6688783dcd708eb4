/* SPDX-License-Identifier: MIT
 * The bar: see replay_progress.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "api.h"
#include "replay_progress.h"

#define EVERY_S 0.1

enum {
	BAR_MAX = 40,
	TEXT_MAX = 64, /* what stands behind the bar is shorter */
};

void cf_replay_progress_begin(struct cf_replay_progress *progress, int is_wanted)
{
	const char *term = getenv("TERM");

	*progress = (struct cf_replay_progress){ .begun_s = cf_monotonic_seconds() };
	progress->drawn_s = progress->begun_s;
	progress->is_on =
		is_wanted && isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO) && !(term && strcmp(term, "dumb") == 0);
}

static int columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void print_left(char *out, size_t size, double seconds)
{
	unsigned int left = seconds < 359999 ? (unsigned int)(seconds + 0.5) : 359999;

	if (left >= 3600)
		snprintf(out, size, "%u:%02u:%02u", left / 3600, left / 60 % 60, left % 60);
	else
		snprintf(out, size, "%u:%02u", left / 60, left % 60);
}

/* "1.94 M", "45.3 k", "7 ": three digits, for "events/s" to stand behind. */
static void print_rate(char *out, size_t size, double rate)
{
	if (rate >= 999.5e3)
		snprintf(out, size, "%.*f M", rate < 9.995e6 ? 2 : 1, rate / 1e6);
	else if (rate >= 999.5)
		snprintf(out, size, "%.*f k", rate < 9.995e3 ? 2 : rate < 99.95e3 ? 1 : 0, rate / 1e3);
	else
		snprintf(out, size, "%.0f ", rate);
}

static void draw(struct cf_replay_progress *progress, double part, uint64_t events, double now)
{
	double spent = now - progress->begun_s;
	char text[TEXT_MAX], rate[16], left[16] = "?", bar[BAR_MAX + 1];
	int room, full;

	if (part > 0)
		print_left(left, sizeof(left), spent / part * (1 - part));
	print_rate(rate, sizeof(rate), (double)events / spent);
	room = columns() - 1 - snprintf(text, sizeof(text), " %3.0f %%  %sevents/s  %s left", part * 100, rate, left);
	room = room > BAR_MAX + 2 ? BAR_MAX : room - 2;
	full = (int)(part * room);
	for (int i = 0; i < room; i++)
		bar[i] = i < full ? '#' : '.';
	if (room > 0)
		fprintf(stderr, "\r[%.*s]%s\033[K", room, bar, text);
	else
		fprintf(stderr, "\r%3.0f %%\033[K", part * 100);
	progress->is_drawn = 1;
}

void cf_replay_progress_show(struct cf_replay_progress *progress, double part, uint64_t events)
{
	double now;

	if (!progress->is_on)
		return;
	now = cf_monotonic_seconds();
	if (now - progress->drawn_s < EVERY_S)
		return;
	progress->drawn_s = now;
	draw(progress, part, events, now);
}

void cf_replay_progress_end(struct cf_replay_progress *progress)
{
	if (progress->is_drawn)
		fputs("\r\033[K", stderr);
	progress->is_drawn = progress->is_on = 0;
}
