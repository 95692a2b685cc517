/* SPDX-License-Identifier: Apache-2.0 */
/* paths.h - for tests: config_path (config.h) looks at the environment anew. What it gave before
 * changes in place. */
#ifndef NT_CORE_PATHS_H
#define NT_CORE_PATHS_H

void config_paths_reset(void);

#endif
