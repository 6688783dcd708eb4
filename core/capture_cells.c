/* SPDX-License-Identifier: MIT
 * Where the cells of a capture are: options to networks and addresses, and packets to cells. See capture.h. */
#include <stdlib.h>
#include <string.h>
#include "address.h"
#include "capture_cells.h"
#include "options.h"

enum {
	MAC_LEN = 6,
	NO_CELL = -1,
};

/* The index of the cell of this name, made on first sight; NO_CELL: there are too many. */
static int find_cell(struct cf_capture_options *options, const char *name, size_t len)
{
	for (uint32_t i = 0; i < options->cell_count; i++)
		if (strlen(options->cells[i]) == len && memcmp(options->cells[i], name, len) == 0)
			return (int)i;
	if (options->cell_count == CF_CAPTURE_SIDES)
		return NO_CELL;
	memcpy(options->cells[options->cell_count], name, len);
	options->cells[options->cell_count][len] = '\0';
	return (int)options->cell_count++;
}

/* The next side, its cell filled in, and *rest behind the name. */
static struct cf_capture_side *add_side(struct cf_capture_options *options, const char *option, const char *text,
					const char **rest, struct cf_error *error)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : 0;
	struct cf_capture_side *side = &options->sides[options->side_count];
	int cell;

	*rest = equals ? equals + 1 : text;
	if (options->side_count == CF_CAPTURE_SIDES) {
		cf_fail(error, CF_FAIL_USAGE, 0, "%s: more than %d are given", option, CF_CAPTURE_SIDES);
		return NULL;
	}
	if ((equals && !len) || len >= CF_NAME_LEN) {
		cf_fail(error, CF_FAIL_USAGE, 0, "%s: \"%s\": a cell's name has 1 to %d bytes", option, text,
			CF_NAME_LEN - 1);
		return NULL;
	}
	cell = find_cell(options, text, len);
	if (cell == NO_CELL) {
		cf_fail(error, CF_FAIL_USAGE, 0, "%s: more than %d cells are named", option, CF_CAPTURE_SIDES);
		return NULL;
	}
	memset(side, 0, sizeof(*side));
	side->cell = (uint32_t)cell;
	return side;
}

static int parse_bits(const char *text, uint32_t max, uint32_t *bits)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return -1;
	value = strtoul(text, &end, 10);
	if (*end || value > max)
		return -1;
	*bits = (uint32_t)value;
	return 0;
}

int cf_capture_add_net(struct cf_capture_options *options, const char *text, struct cf_error *error)
{
	const char *rest, *slash;
	struct cf_capture_side *side = add_side(options, "--cell-net", text, &rest, error);
	uint32_t max;

	if (!side)
		return -1;
	slash = strchr(rest, '/');
	side->family = cf_address_parse(rest, slash ? (size_t)(slash - rest) : strlen(rest), side->address);
	max = side->family == CF_FAMILY_IPV4 ? 32 : 128;
	side->bits = max;
	if (!side->family || (slash && parse_bits(slash + 1, max, &side->bits) < 0))
		return cf_fail(error, CF_FAIL_USAGE, 0, "--cell-net: \"%s\": want [NAME=]ADDRESS[/BITS]", text);
	options->side_count++;
	return 0;
}

static int hex(char digit)
{
	return digit >= '0' && digit <= '9'   ? digit - '0'
	       : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
	       : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
					      : -1;
}

static int parse_mac(const char *text, uint8_t *mac)
{
	if (strlen(text) != 3 * MAC_LEN - 1)
		return -1;
	for (int i = 0; i < MAC_LEN; i++, text += 3) {
		int high = hex(text[0]), low = hex(text[1]);

		if (high < 0 || low < 0 || (i < MAC_LEN - 1 && text[2] != ':'))
			return -1;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

int cf_capture_add_mac(struct cf_capture_options *options, const char *text, struct cf_error *error)
{
	const char *rest;
	struct cf_capture_side *side = add_side(options, "--cell-mac", text, &rest, error);

	if (!side)
		return -1;
	if (parse_mac(rest, side->address) < 0)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--cell-mac: \"%s\": want [NAME=]xx:xx:xx:xx:xx:xx", text);
	options->side_count++;
	return 0;
}

int cf_capture_name_cell(struct cf_capture_options *options, const char *name, struct cf_error *error)
{
	size_t len = strlen(name);

	if (!len || len >= CF_NAME_LEN)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--cell-name: \"%s\": a cell's name has 1 to %d bytes", name,
			       CF_NAME_LEN - 1);
	for (uint32_t i = 0; i < options->cell_count; i++)
		if (!options->cells[i][0]) {
			strcpy(options->cells[i], name);
			return 0;
		}
	if (options->cell_count)
		return cf_fail(error, CF_FAIL_USAGE, 0,
			       "--cell-name: each --cell-net and --cell-mac has a name of its own");
	return find_cell(options, name, len) == NO_CELL ? -1 : 0;
}

int cf_capture_events(struct cf_capture_options *options, const char *text, struct cf_error *error)
{
	static const char *const names[] = { "opened", "updated", "closed" };
	uint32_t bits = 0;

	if (cf_option_choices(text, names, 3, "--events", &bits, error) < 0)
		return -1;
	options->events = bits << CF_KIND_OPENED;
	return 0;
}

static int has_prefix(const uint8_t *address, const struct cf_capture_side *side)
{
	uint32_t whole = side->bits / 8, rest = side->bits % 8;

	if (memcmp(address, side->address, whole) != 0)
		return 0;
	return !rest || (address[whole] ^ side->address[whole]) >> (8 - rest) == 0;
}

/* By the longest prefix; a MAC address is as long as any. */
static int find_side(const struct cf_capture_options *options, const struct cf_flow_key *key, int end,
		     const uint8_t *mac)
{
	const struct cf_capture_side *best = NULL;

	for (uint32_t i = 0; i < options->side_count; i++) {
		const struct cf_capture_side *side = &options->sides[i];

		if (!side->family) {
			if (mac && memcmp(mac, side->address, MAC_LEN) == 0)
				return (int)side->cell;
		} else if (side->family == key->family && has_prefix(key->addr[end], side) &&
			   (!best || side->bits > best->bits)) {
			best = side;
		}
	}
	return best ? (int)best->cell : NO_CELL;
}

/* Frames to a group, and what a cooked capture's host was sent, arrive at the cell that is known by its MAC address:
 * when there is one such cell. */
static int find_mac_cell(const struct cf_capture_options *options, const struct cf_link *link)
{
	int cell = NO_CELL;

	if (!(link->to_mac ? link->to_mac[0] & 1 : link->way == CF_LINK_CAME))
		return NO_CELL;
	for (uint32_t i = 0; i < options->side_count; i++) {
		if (options->sides[i].family)
			continue;
		if (cell != NO_CELL && cell != (int)options->sides[i].cell)
			return NO_CELL;
		cell = (int)options->sides[i].cell;
	}
	return cell;
}

static void add(struct cf_capture_place *place, int cell, uint32_t way)
{
	place->of[place->count].cell = (uint32_t)cell;
	place->of[place->count++].way = way;
}

void cf_capture_locate(const struct cf_capture_options *options, const struct cf_flow_key *key,
		       const struct cf_link *link, int use_way, struct cf_capture_place *place)
{
	int from, to;

	place->count = 0;
	if (!options->side_count) {
		add(place, 0,
		    !use_way			? CF_CAPTURE_BY_ORIGIN
		    : link->way == CF_LINK_LEFT ? CF_FLOW_EGRESS
						: CF_FLOW_INGRESS);
		return;
	}
	from = find_side(options, key, 0, link->from_mac);
	to = find_side(options, key, 1, link->to_mac);
	if (to == NO_CELL)
		to = find_mac_cell(options, link);
	if (to == from && from != NO_CELL && link->to_mac && (link->to_mac[0] & 1))
		to = NO_CELL; /* nobody is sent his own broadcast */
	if (from != NO_CELL && from == to) {
		add(place, from, CF_CAPTURE_BY_ORIGIN);
		return;
	}
	if (from != NO_CELL)
		add(place, from, CF_FLOW_EGRESS);
	if (to != NO_CELL)
		add(place, to, CF_FLOW_INGRESS);
}
