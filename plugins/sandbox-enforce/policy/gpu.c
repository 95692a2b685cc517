/* SPDX-License-Identifier: Apache-2.0 */
/* gpu.c - --allow-gpu: the devices that compute, what describes them, and nothing that shows a
 * screen. */
#include "plugins/sandbox-enforce/policy/make.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

static void closedirp(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text);
}

static bool is_compute_node(const char *folder, const char *name)
{
    static const char *const nvidia[] = { "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "kfd",
                                          "dxg" };
    if (strcmp(folder, "/dev/dri") == 0)
        return strncmp(name, "renderD", 7) == 0 && is_number(name + 7);
    if (strcmp(folder, "/dev/nvidia-caps") == 0)
        return strncmp(name, "nvidia-cap", 10) == 0 && is_number(name + 10);
    for (size_t i = 0; i < sizeof(nvidia) / sizeof(nvidia[0]); i++)
        if (strcmp(nvidia[i], name) == 0)
            return true;
    return strncmp(name, "nvidia", 6) == 0 && is_number(name + 6);
}

int make_gpu(struct maker *k, struct nt_error *reterr)
{
    static const char *const folders[] = { "/dev", "/dev/dri", "/dev/nvidia-caps" };
    static const char *const about[] = {
        "/usr/share/vulkan", "/etc/vulkan",        "/usr/share/glvnd", "/etc/OpenCL",
        "/sys/class/drm",    "/sys/dev/char",      "/sys/devices",     "/proc/driver/nvidia",
        "/sys/class/kfd",    "/sys/module/nvidia", "/usr/lib/wsl"
    };
    if (!k->request->allow_gpu)
        return 0;
    if (k->policy->profile && !(k->profile.flags & PROFILE_ALLOW_GPU))
        return nt_fail(reterr, NT_E_USAGE,
                       "--allow-gpu: the profile %s does not agree; it needs \"allow_gpu\": true",
                       k->policy->profile);
    size_t before = k->policy->grant_count;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        nt_auto(closedirp) DIR *folder = opendir(folders[i]);
        const struct dirent *entry;
        while (folder && (entry = readdir(folder))) {
            if (!is_compute_node(folders[i], entry->d_name))
                continue;
            const char *path = memory_format(k->m, "%s/%s", folders[i], entry->d_name);
            if (!path)
                return memory_fail(k->m, reterr);
            if (add_grant(k->owned, AT_FDCWD, path, path, POLICY_BOTH, "system", GRANT_FILE, NULL,
                          reterr)
                < 0)
                return -1;
        }
    }
    if (k->policy->grant_count == before)
        return nt_fail(reterr, NT_E_NOT_FOUND,
                       "--allow-gpu: this machine shows no GPU to compute on");
    for (size_t i = 0; i < sizeof(about) / sizeof(about[0]); i++)
        if (add_grant(k->owned, AT_FDCWD, about[i], about[i], POLICY_READ, "system", GRANT_ANY,
                      NULL, reterr)
            < 0)
            return -1;
    return 0;
}
