/* SPDX-License-Identifier: Apache-2.0 */
/* measure.h - what the server counts of itself: requests by route, and how long they and the
 * database took. Written by api/metrics.c in the text form of Prometheus. */
#ifndef NT_SERVE_MEASURE_H
#define NT_SERVE_MEASURE_H

#include <stdatomic.h>
#include <stdint.h>

#define MEASURE_BUCKETS 12u

/* Upper bounds in microseconds; what is slower counts in the sum and the count alone. */
extern const uint64_t measure_bounds_us[MEASURE_BUCKETS];

/* Counts by bucket (not cumulated). Written by one thread, read by another. */
struct measure {
    _Atomic uint64_t buckets[MEASURE_BUCKETS];
    _Atomic uint64_t count, sum_us;
};

static inline void measure_add(struct measure *m, uint64_t us)
{
    for (unsigned i = 0; i < MEASURE_BUCKETS; i++)
        if (us <= measure_bounds_us[i]) {
            atomic_fetch_add_explicit(&m->buckets[i], 1, memory_order_relaxed);
            break;
        }
    atomic_fetch_add_explicit(&m->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->sum_us, us, memory_order_relaxed);
}

struct route;

/* One row of a table of routes: answers by class, 1xx (a connection that was handed on) to 5xx, and
 * how long they took. */
struct measure_route {
    const struct route *route; /* NULL: no route was found */
    uint64_t classes[6];       /* by the first digit of the status */
    struct measure took;
};

#define MEASURE_ROUTES 256u
struct measures {
    struct measure_route routes[MEASURE_ROUTES];
    uint32_t count;
};
/* The counters of this process; loop's thread. */
extern struct measures measures;
void measure_request(const struct route *route, uint32_t status, uint64_t us);

#endif
