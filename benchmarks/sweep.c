/* Many Adam runs on Rosenbrock's function, each with a learning rate of its own; only the final points are kept.
 *
 * What a careful hand writes in C: single precision, runs in blocks that stay in the first cache and that the compiler
 * turns into vector instructions, one half of the runs for each of two threads.
 */
#include <math.h>
#include <pthread.h>

enum { BLOCK = 256, THREADS = 2 };

typedef struct {
  long first, last, steps;
  const float *lr;
  float *x, *y; /* in: where each run starts; out: where it ends */
} Part;

static void descend(const Part *part, long from, int count) {
  float x[BLOCK], y[BLOCK], mx[BLOCK] = {0}, my[BLOCK] = {0}, vx[BLOCK] = {0}, vy[BLOCK] = {0}, lr[BLOCK];
  for (int i = 0; i < count; i++) x[i] = part->x[from + i], y[i] = part->y[from + i], lr[i] = part->lr[from + i];
  for (int i = count; i < BLOCK; i++) x[i] = y[i] = lr[i] = 0; /* a last block that is not full */
  const float b1 = 0.9f, b2 = 0.999f, eps = 1e-8f;
  double p1 = 1, p2 = 1;
  for (long t = 0; t < part->steps; t++) {
    p1 *= b1, p2 *= b2;
    const float c1 = (float)(1 / (1 - p1)), c2 = (float)(1 / (1 - p2));
    for (int i = 0; i < BLOCK; i++) {
      const float bend = y[i] - x[i] * x[i];
      const float gx = -2 * (1 - x[i]) - 400 * x[i] * bend, gy = 200 * bend;
      mx[i] = b1 * mx[i] + (1 - b1) * gx;
      my[i] = b1 * my[i] + (1 - b1) * gy;
      vx[i] = b2 * vx[i] + (1 - b2) * gx * gx;
      vy[i] = b2 * vy[i] + (1 - b2) * gy * gy;
      x[i] -= lr[i] * (mx[i] * c1) / (sqrtf(vx[i] * c2) + eps);
      y[i] -= lr[i] * (my[i] * c1) / (sqrtf(vy[i] * c2) + eps);
    }
  }
  for (int i = 0; i < count; i++) part->x[from + i] = x[i], part->y[from + i] = y[i];
}

static void *descend_part(void *given) {
  const Part *part = given;
  for (long from = part->first; from < part->last; from += BLOCK)
    descend(part, from, part->last - from < BLOCK ? (int)(part->last - from) : BLOCK);
  return 0;
}

int sweep(long runs, long steps, const float *lr, float *x, float *y) {
  pthread_t threads[THREADS];
  Part parts[THREADS];
  for (int i = 0; i < THREADS; i++) {
    parts[i] = (Part){runs * i / THREADS, runs * (i + 1) / THREADS, steps, lr, x, y};
    if (pthread_create(&threads[i], 0, descend_part, &parts[i])) return 1;
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], 0);
  return 0;
}
