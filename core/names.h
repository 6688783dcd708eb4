/* SPDX-License-Identifier: MIT
 *
 * The words for the numbers of event.h and api.h, as records and policies write them: the one table of each.
 * The lookups are declared in api.h. A number without a word gives NULL: what is not known is left out, never named.
 */
#ifndef CF_NAMES_H
#define CF_NAMES_H
#include "api.h"
#endif
