/* SPDX-License-Identifier: MIT
 *
 * IP addresses as text and back: cf_address_text and cf_address_parse, declared in api.h. The text is what
 * inet_ntop(3) writes (RFC 5952; IPv4-mapped and IPv4-compatible addresses end in dotted form), without its cost.
 */
#ifndef CF_ADDRESS_H
#define CF_ADDRESS_H
#include "api.h"
#endif
