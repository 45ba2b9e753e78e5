/* What the processor allows: an arithmetic Asian call under geometric Brownian motion, price and likelihood-ratio delta,
   vega and rho with their standard errors, in one pass of hand-written C for one contract and nothing else.

   Counter-based Philox4x32-10 (Salmon et al. 2011), 52-bit uniforms, Box and Muller's normals, log and exp from libmvec.
   Every loop over lanes is meant to become vector instructions. Compile with
   gcc -O3 -march=native -mprefer-vector-width=512 -ffast-math -fopenmp-simd gbm_asian_lr.c -lmvec -lm
   and run with: paths dates repeats. It prints one line of JSON; seconds are the processor's, the least of the repeats. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LANES = 512, GREEKS = 4 };

static const double SPOT = 100.0, STRIKE = 100.0, RATE = 0.05, DIVIDEND = 0.02, VOL = 0.2, EXPIRY = 1.0;

typedef struct {
  double level[LANES];   /* log of the spot */
  double sum[LANES];     /* of spots so far */
  double first[LANES];   /* normal of the first date */
  double walk[LANES];    /* sum of normals */
  double squares[LANES]; /* sum of (normal^2 - 1) */
  double z[2][LANES];    /* normals of two dates */
} Block;

typedef struct {
  double sum[GREEKS], squares[GREEKS];
} Moments;

static inline double midpoint(uint32_t high, uint32_t low) {
  uint64_t bits = 0x3FF0000000000000ull | ((((uint64_t)high << 32) | low) >> 12);
  double one_to_two;
  memcpy(&one_to_two, &bits, sizeof bits);
  return one_to_two - (1.0 - 0x1p-53);
}

/* cos and sin of 2 pi u: the nearest quarter turn, then Taylor polynomials within an eighth of one */
static inline void turn(double u, double *cosine, double *sine) {
  double quarters = floor(4.0 * u + 0.5), y = (4.0 * u - quarters) * 1.57079632679489661923, w = y * y;
  double s = y + y * w * (-1.0 / 6 + w * (1.0 / 120 + w * (-1.0 / 5040 + w * (1.0 / 362880 + w * (-1.0 / 39916800 + w / 6227020800.0)))));
  double c = 1.0 + w * (-0.5 + w * (1.0 / 24 + w * (-1.0 / 720 + w * (1.0 / 40320 + w * (-1.0 / 3628800 + w / 479001600.0)))));
  int q = (int)quarters;
  double along = (q & 1) ? s : c, across = (q & 1) ? c : s;
  *cosine = ((q + 1) & 2) ? -along : along;
  *sine = (q & 2) ? -across : across;
}

/* normals of the dates 2 * pair and 2 * pair + 1 of consecutive paths */
static void draw(Block *block, uint64_t first_path, uint32_t pair, uint32_t key) {
#pragma omp simd
  for (int lane = 0; lane < LANES; lane++) {
    uint64_t path = first_path + (uint64_t)lane;
    uint32_t a = (uint32_t)path, b = (uint32_t)(path >> 32), c = pair, d = 0, k = key, l = 0;
    for (int round = 0; round < 10; round++) {
      uint64_t p = (uint64_t)0xD2511F53u * a, q = (uint64_t)0xCD9E8D57u * c;
      a = (uint32_t)(q >> 32) ^ b ^ k;
      b = (uint32_t)q;
      c = (uint32_t)(p >> 32) ^ d ^ l;
      d = (uint32_t)p;
      k += 0x9E3779B9u;
      l += 0xBB67AE85u;
    }
    double radius = sqrt(-2.0 * log(midpoint(a, b))), cosine, sine;
    turn(midpoint(c, d), &cosine, &sine);
    block->z[0][lane] = radius * cosine;
    block->z[1][lane] = radius * sine;
  }
}

static void start(Block *block) {
  for (int lane = 0; lane < LANES; lane++) {
    block->level[lane] = log(SPOT);
    block->sum[lane] = block->walk[lane] = block->squares[lane] = 0.0;
  }
}

static void step(Block *block, const double *z, double drift, double scale) {
#pragma omp simd
  for (int lane = 0; lane < LANES; lane++) {
    double level = block->level[lane] + drift + scale * z[lane];
    block->level[lane] = level;
    block->sum[lane] += exp(level);
    block->walk[lane] += z[lane];
    block->squares[lane] += z[lane] * z[lane] - 1.0;
  }
}

static void collect(const Block *block, int dates, double root, Moments *moments) {
  double discount = exp(-RATE * EXPIRY), s[GREEKS] = {0}, q[GREEKS] = {0};
#pragma omp simd reduction(+ : s[:GREEKS], q[:GREEKS])
  for (int lane = 0; lane < LANES; lane++) {
    double gain = block->sum[lane] / dates - STRIKE, value = discount * (gain > 0.0 ? gain : 0.0);
    double walk = root * block->walk[lane];
    double delta = value * block->first[lane] / (SPOT * VOL * root);
    double vega = value * (block->squares[lane] / VOL - walk);
    double rho = value * (walk / VOL - EXPIRY);
    s[0] += value, q[0] += value * value;
    s[1] += delta, q[1] += delta * delta;
    s[2] += vega, q[2] += vega * vega;
    s[3] += rho, q[3] += rho * rho;
  }
  for (int g = 0; g < GREEKS; g++) moments->sum[g] += s[g], moments->squares[g] += q[g];
}

static Moments simulate(uint64_t paths, int dates, uint32_t key) {
  static Block block;
  double dt = EXPIRY / dates, root = sqrt(dt), drift = (RATE - DIVIDEND - 0.5 * VOL * VOL) * dt;
  Moments moments = {{0}, {0}};
  for (uint64_t path = 0; path < paths; path += LANES) {
    start(&block);
    for (int date = 0; date < dates; date += 2) {
      draw(&block, path, (uint32_t)date / 2, key);
      if (date == 0) memcpy(block.first, block.z[0], sizeof block.first);
      step(&block, block.z[0], drift, VOL * root);
      if (date + 1 < dates) step(&block, block.z[1], drift, VOL * root);
    }
    collect(&block, dates, root, &moments);
  }
  return moments;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int count, char **words) {
  static const char *names[GREEKS] = {"price", "delta", "vega", "rho"};
  uint64_t paths = (count > 1 ? strtoull(words[1], NULL, 10) : 524288) / LANES * LANES;
  int dates = count > 2 ? atoi(words[2]) : 52, repeats = count > 3 ? atoi(words[3]) : 1;
  double least = INFINITY;
  Moments moments = {{0}, {0}};
  for (int r = 0; r < repeats; r++) {
    double begin = seconds();
    moments = simulate(paths, dates, 1);
    double taken = seconds() - begin;
    if (taken < least) least = taken;
  }
  printf("{\"paths\": %llu, \"seconds\": %.9f", (unsigned long long)paths, least);
  for (int g = 0; g < GREEKS; g++) {
    double mean = moments.sum[g] / (double)paths, variance = moments.squares[g] / (double)paths - mean * mean;
    printf(", \"%s\": [%.9f, %.9f]", names[g], mean, sqrt(variance / (double)paths));
  }
  puts("}");
  return 0;
}
