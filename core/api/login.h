/* SPDX-License-Identifier: Apache-2.0 */
/* login.h - a credential by way of a browser: `auth login`. */
#ifndef NT_CORE_LOGIN_H
#define NT_CORE_LOGIN_H

#include "core/api/api.h"

#define LOGIN_WAIT_MS 300000
#define LOGIN_KEY_MAX 256

struct api_login {
    const char *machine; /* its name, as the page shows it */
    /* The page to open; called once, when the listener is there. */
    void (*show)(void *data, const char *url);
    void *data;
};

/* Shows the API's page /cli-auth, waits (5 minutes at most) for the browser on a port of loopback,
 * and asks for the key. The API in force is http or https. *Waits.* */
int api_login(struct api *api, const struct api_login *login, char ret_key[LOGIN_KEY_MAX],
              struct nt_error *reterr);

#endif
