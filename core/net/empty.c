/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/net.h"
typedef int net_empty;
