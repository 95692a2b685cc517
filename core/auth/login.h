/* SPDX-License-Identifier: Apache-2.0 */
/* login.h - opening a page in the user's browser. */
#ifndef NT_CORE_AUTH_LOGIN_H
#define NT_CORE_AUTH_LOGIN_H

#include <stdbool.h>

/* Starts $BROWSER or xdg-open with the URL, and does not wait for it; without a screen only
 * $BROWSER. False: there is nothing to start. */
bool login_open_browser(const char *url);

#endif
