/* SPDX-License-Identifier: MIT
 *
 * Descriptors as such: how many the supervisor may have open (each cell takes some, and the usual soft limit of 1024 is
 * made for programs that use select(2)), and which ones a child process keeps. Who opens them is not known here.
 */
#ifndef CF_DESCRIPTORS_H
#define CF_DESCRIPTORS_H
#include <stddef.h>

/* Raise the soft limit to the hard one. */
void cf_descriptors_raise(void);
/* " (limit of N open files; ...)", to stand behind the words of EMFILE; empty when the limit cannot be had. */
void cf_descriptors_advice(char *text, size_t size);
/* For a child process: close everything but standard error and `keep` (which it sorts), put standard input and output
 * onto /dev/null, and block all signals: a terminal's Ctrl-C reaches the whole process group, and ending is the
 * supervisor's to order. */
void cf_descriptors_detach(int *keep, int count);
#endif
