/* SPDX-License-Identifier: MIT
 * An allow-list as a policy in Lua and as a ruleset of nftables, each rule with its evidence as a comment. */
#ifndef CF_ALLOW_TEXT_H
#define CF_ALLOW_TEXT_H
#include <stdio.h>
#include "allow_list.h"

/* 0; -1: `to` took not all of it. The list is sorted. */
int cf_allow_text_lua(const struct cf_allow_list *list, FILE *to);
int cf_allow_text_nft(const struct cf_allow_list *list, FILE *to);
#endif
