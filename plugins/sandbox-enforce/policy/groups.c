/* SPDX-License-Identifier: Apache-2.0 */
/* groups.c - the built-in groups. Order is that of `profile groups`. A path that is not there on a
 * machine is passed over in silence. */
#include "plugins/sandbox-enforce/policy/groups.h"

#include <string.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/networks.h"
#include "sdk/close.h"
#include "sdk/error.h"

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define DENIES(...) ((const struct group_deny[]){ __VA_ARGS__, { NULL, NULL } })

const struct group groups[] = {
    { .name = "deny_credentials",
      .summary = "Keys and tokens of services and clouds",
      .is_required = true,
      .deny = DENIES(
          { "~/.ssh", "SSH keys and configuration" }, { "~/.gnupg", "GnuPG keys" },
          { "~/.aws", "AWS credentials" }, { "~/.azure", "Azure credentials" },
          { "~/.config/gcloud", "Google Cloud credentials" },
          { "~/.gcloud", "Google Cloud credentials" }, { "~/.kube", "Kubernetes credentials" },
          { "~/.docker", "Docker credentials" }, { "~/.git-credentials", "Git credentials" },
          { "~/.config/git/credentials", "Git credentials" },
          { "~/.netrc", "passwords of network services" }, { "~/.npmrc", "npm tokens" },
          { "~/.vault-token", "Vault token" }, { "~/.credentials", "credentials" },
          { "~/.secrets", "secrets" }, { "~/.keys", "keys" }, { "~/.pki", "certificates and keys" },
          { "~/.terraform.d", "Terraform credentials" },
          { "~/.config/op", "1Password configuration" }) },
    { .name = "deny_keychains_linux",
      .summary = "Password managers and keyrings",
      .is_required = true,
      .deny = DENIES({ "~/.password-store", "pass passwords" },
                     { "~/.1password", "1Password data" }, { "~/.op", "1Password data" },
                     { "~/.local/share/keyrings", "desktop keyrings" }) },
    { .name = "deny_browser_data_linux",
      .summary = "Cookies, passwords and history of browsers",
      .is_required = true,
      .deny = DENIES(
          { "~/.config/google-chrome", "Chrome data" }, { "~/.config/chromium", "Chromium data" },
          { "~/.config/microsoft-edge", "Edge data" }, { "~/.config/BraveSoftware", "Brave data" },
          { "~/.config/vivaldi", "Vivaldi data" }, { "~/.config/opera", "Opera data" },
          { "~/.mozilla/firefox", "Firefox data" }) },
    { .name = "deny_shell_history",
      .summary = "What was typed into shells",
      .is_required = true,
      .deny =
          DENIES({ "~/.bash_history", "shell history" }, { "~/.zsh_history", "shell history" },
                 { "~/.history", "shell history" }, { "~/.python_history", "Python history" }) },
    { .name = "deny_shell_configs",
      .summary = "What shells run when they start, and .env of the home folder",
      .is_required = true,
      .deny = DENIES(
          { "~/.zshrc", "shell configuration" }, { "~/.zprofile", "shell configuration" },
          { "~/.zshenv", "shell configuration" }, { "~/.zlogin", "shell configuration" },
          { "~/.zlogout", "shell configuration" }, { "~/.bashrc", "shell configuration" },
          { "~/.bash_profile", "shell configuration" }, { "~/.bash_login", "shell configuration" },
          { "~/.bash_logout", "shell configuration" }, { "~/.profile", "shell configuration" },
          { "~/.config/fish", "shell configuration" }, { "~/.env", "environment with secrets" },
          { "~/.envrc", "environment with secrets" }) },
    { .name = "system_read_linux_core",
      .summary = "Programs, libraries and the settings that every program reads",
      .read = LIST(
          "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/lib", "/lib64",
          "/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64",
          "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/lib",
          "/usr/local/lib64", "/usr/share", "/usr/share/locale", "/usr/share/locale-langpack",
          "/usr/share/zoneinfo", "/usr/share/terminfo", "/usr/share/ca-certificates",
          "/lib/terminfo", "/etc/terminfo", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf",
          "/etc/gai.conf", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/crypto-policies",
          "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
          "/etc/timezone", "/etc/locale.conf", "/etc/locale.gen", "/etc/locale.alias",
          "/etc/alternatives", "/etc/os-release", "/etc/debian_version", "/etc/services",
          "/etc/passwd", "/etc/group", "/etc/fonts", "/etc/mime.types", "/etc/manpath.config",
          "/var/cache/man", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/full",
          "/dev/tty", "/dev/ptmx", "/dev/console", "/dev/stdin", "/dev/stdout", "/dev/stderr",
          "/dev/pts", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg",
          "/proc/version", "/proc/filesystems") },
    { .name = "system_write_linux",
      .summary = "Temporary files and devices without content",
      .write = LIST("/tmp", "$TMPDIR", "/dev/null", "/dev/zero", "/dev/full", "/dev/tty",
                    "/dev/ptmx", "/dev/stdout", "/dev/stderr", "/dev/pts") },
    { .name = "user_tools",
      .summary = "Programs that the user installed for himself",
      .read = LIST("~/.local/bin", "~/.local/share/applications", "~/.local/share/man",
                   "~/.local/share/bash-completion", "~/.local/share/zsh") },
    { .name = "homebrew_linux",
      .summary = "Homebrew on Linux",
      .read = LIST("/home/linuxbrew/.linuxbrew") },
    { .name = "dangerous_commands",
      .summary =
          "Programs that destroy, copy away or raise privileges (looked at when started only)",
      .commands = LIST("rm", "rmdir", "dd", "chmod", "chown", "chgrp", "mv", "cp", "truncate",
                       "scp", "rsync", "sftp", "ftp", "xargs", "sudo", "su", "doas", "pip", "npm",
                       "kill", "killall", "pkill", "shutdown", "reboot", "halt", "poweroff") },
    { .name = "dangerous_commands_linux",
      .summary = "The same for Linux: disks, services, package managers",
      .commands = LIST("shred", "mkfs", "mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "mkswap", "fdisk",
                       "parted", "gdisk", "wipefs", "chattr", "init", "systemctl", "apt", "apt-get",
                       "dpkg", "yum", "dnf", "pacman", "pkexec") },
    { .name = "linux_runtime_state",
      .summary = "State of the running system",
      .read = LIST("/run", "/var/run") },
    { .name = "linux_sysfs_read",
      .summary = "Devices and drivers as the kernel shows them",
      .read = LIST("/sys") },
    { .name = "linux_temp_read", .summary = "Temporary files of others", .read = LIST("/tmp") },
    { .name = "user_caches_linux", .summary = "Caches of the user", .both = LIST("~/.cache") },
    { .name = "claude_cache_linux",
      .summary = "Cache of Claude Code",
      .both = LIST("~/.cache/claude-cli-nodejs") },
    { .name = "node_runtime",
      .summary = "Node.js installed for the user",
      .read = LIST("~/.nvm", "~/.fnm", "~/.npm", "~/.node", "~/.local/share/fnm",
                   "/usr/local/lib/node_modules", "~/.local/share/pnpm") },
    { .name = "python_runtime",
      .summary = "Python installed for the user",
      .read = LIST("~/.pyenv", "~/.local/lib", "~/.local/share/uv", "~/.conda") },
    { .name = "c_development",
      .summary = "Headers of C and what describes libraries",
      .read = LIST("/usr/include", "/usr/local/include", "/usr/lib/pkgconfig",
                   "/usr/local/lib/pkgconfig") },
    { .name = "rust_runtime",
      .summary = "Rust installed for the user",
      .read = LIST("~/.cargo", "~/.rustup") },
    { .name = "go_runtime", .summary = "Go", .read = LIST("~/go", "/usr/local/go") },
    { .name = "go_runtime_linux",
      .summary = "Build cache of Go",
      .both = LIST("~/.cache/go-build") },
    { .name = "java_runtime",
      .summary = "Java, Maven and Gradle of the user",
      .read = LIST("~/.sdkman", "~/.m2/repository", "~/.m2/wrapper", "~/.gradle/caches",
                   "~/.gradle/wrapper") },
    { .name = "nix_runtime",
      .summary = "Nix",
      .read = LIST("~/.nix-profile", "~/.local/state/nix/profile", "~/.local/state/nix/profiles",
                   "~/.local/state/nix/defexpr", "~/.nix-defexpr", "/run/current-system/sw",
                   "/etc/profiles/per-user", "/nix/var/nix/profiles", "/nix/store") },
    { .name = "git_config",
      .summary = "Settings of Git",
      .read = LIST("/etc/gitconfig", "~/.gitconfig", "~/.gitignore_global", "~/.config/git/config",
                   "~/.config/git/ignore", "~/.config/git/attributes") },
    { .name = "claude_code_linux",
      .summary = "Claude Code as installed for the user",
      .read = LIST("~/.local/share/claude") },
    { .name = "opencode_linux",
      .summary = "OpenCode as installed for the user",
      .read = LIST("~/.opencode/bin") },
    { .name = "vscode_linux",
      .summary = "Visual Studio Code",
      .both = LIST("~/.vscode", "~/.config/Code") },
    { .name = "unlink_protection",
      .summary = "Without effect on Linux, where write access to a folder covers removing" },
};
const size_t group_count = sizeof(groups) / sizeof(groups[0]);

const struct group *group_find(const char *name)
{
    for (size_t i = 0; i < group_count; i++)
        if (strcmp(groups[i].name, name) == 0)
            return &groups[i];
    return NULL;
}

int group_fail(const char *where, const char *name, bool has_hosts, struct nt_error *reterr)
{
    struct nt_nearest near = { .typed = name };
    for (size_t i = 0; i < group_count; i++)
        nt_nearest_try(&near, groups[i].name);
    for (size_t i = 0; has_hosts && i < network_group_count; i++)
        nt_nearest_try(&near, network_groups[i].name);
    nt_fail(reterr, ENFORCE_E_PROFILE, "%s%sthere is no group %s", where, *where ? ": " : "", name);
    return nt_hint(reterr, "%s%s%s`profile groups` lists them", near.name ? "did you mean " : "",
                   near.name ? near.name : "", near.name ? "? " : "");
}
