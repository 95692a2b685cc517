/* SPDX-License-Identifier: Apache-2.0 */
/* measure.c - what the server counts of itself; see measure.h. */
#include "measure.h"

#include <stddef.h>

const uint64_t measure_bounds_us[MEASURE_BUCKETS] = { 500,    1000,    2500,    5000,
                                                      10000,  25000,   50000,   100000,
                                                      250000, 1000000, 5000000, 30000000 };

struct measures measures;

void measure_request(const struct route *route, uint32_t status, uint64_t us)
{
    struct measure_route *row = NULL;
    for (uint32_t i = 0; i < measures.count && !row; i++)
        if (measures.routes[i].route == route)
            row = &measures.routes[i];
    if (!row) {
        if (measures.count == MEASURE_ROUTES)
            return;
        row = &measures.routes[measures.count++];
        row->route = route;
    }
    row->classes[status / 100 < 6 ? status / 100 : 5]++;
    measure_add(&row->took, us);
}
