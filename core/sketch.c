/* SPDX-License-Identifier: MIT
 * HyperLogLog: see sketch.h. The estimator is algorithm 6 of O. Ertl, "New cardinality estimation algorithms for
 * HyperLogLog sketches" (arXiv:1702.01284). */
#include <math.h>
#include "sketch.h"

enum { RANKS = 64 }; /* more than 64 - bits + 2 values are never there */

void cf_sketch_add(uint8_t *registers, int bits, uint64_t hash)
{
	uint8_t *place = &registers[hash >> (64 - bits)];
	uint64_t rest = hash << bits;
	uint8_t rank = (uint8_t)(rest ? __builtin_clzll(rest) + 1 : 64 - bits + 1);

	if (rank > *place)
		*place = rank;
}

static double sigma(double x)
{
	double y = 1, z = x, before;

	if (x >= 1)
		return INFINITY;
	do {
		x *= x;
		before = z;
		z += x * y;
		y += y;
	} while (z > before);
	return z;
}

static double tau(double x)
{
	double y = 1, z = 1 - x, before;

	if (x <= 0 || x >= 1)
		return 0;
	do {
		x = sqrt(x);
		before = z;
		y *= 0.5;
		z -= (1 - x) * (1 - x) * y;
	} while (z < before);
	return z / 3;
}

double cf_sketch_estimate(const uint8_t *registers, int bits)
{
	double m = (double)(1U << bits);
	int most = 64 - bits + 1;
	uint32_t count[RANKS] = { 0 };
	double z, estimate;

	for (uint32_t i = 0; i < 1U << bits; i++)
		count[registers[i] < most ? registers[i] : most]++;
	z = m * tau(1 - count[most] / m);
	for (int rank = most - 1; rank > 0; rank--)
		z = 0.5 * (z + count[rank]);
	z += m * sigma(count[0] / m);
	estimate = m * m / (2 * M_LN2 * z);
	return estimate < 0x1p64 ? estimate : 0x1p64;
}

double cf_sketch_error(int bits)
{
	return 1.04 / sqrt((double)(1U << bits));
}
