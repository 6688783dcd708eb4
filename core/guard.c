/* SPDX-License-Identifier: MIT
 * What ends a verb that hangs in its policy: see guard.h. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include "api.h"
#include "guard.h"

static struct {
	char text[CF_GUARD_TEXT_MAX];
	size_t len;
	int fd;
	int code;
} last_words;

static void end(int signal_number)
{
	(void)signal_number;
	for (size_t done = 0; done < last_words.len;) {
		ssize_t written = write(last_words.fd, last_words.text + done, last_words.len - done);

		if (written <= 0)
			break;
		done += (size_t)written;
	}
	_exit(last_words.code);
}

/* Processor time, so that a machine with better things to do is nobody's fault. */
static void set_timer(uint32_t seconds)
{
	const struct itimerval once = { .it_value.tv_sec = seconds };

	setitimer(ITIMER_PROF, &once, NULL);
}

void cf_guard_begin(uint32_t seconds, int32_t code, int32_t fd, const char *text, size_t len)
{
	const struct sigaction action = { .sa_handler = end, .sa_flags = SA_RESTART };

	set_timer(0);
	last_words.len = len < sizeof(last_words.text) ? len : sizeof(last_words.text);
	memcpy(last_words.text, text, last_words.len);
	last_words.fd = fd;
	last_words.code = code;
	sigaction(SIGPROF, &action, NULL);
	set_timer(seconds);
}

void cf_guard_finish(void)
{
	set_timer(0);
}

void cf_guard_load_text(const char *path, char *text, unsigned long size)
{
	snprintf(text, size, "%s: still being read after %d s (does it loop, or make very long texts?)", path,
		 CF_GUARD_LOAD_S);
}

void cf_guard_load(const char *path, const char *text)
{
	char what[8192], line[sizeof(what) + 32];
	int len;

	if (text) {
		cf_guard_begin(CF_GUARD_LOAD_S, 3, STDOUT_FILENO, text, strlen(text));
		return;
	}
	cf_guard_load_text(path, what, sizeof(what));
	len = snprintf(line, sizeof(line), "cellflow: error: %s\n", what);
	cf_guard_begin(CF_GUARD_LOAD_S, 3, STDERR_FILENO, line, (size_t)len);
}
