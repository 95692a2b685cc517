# SPDX-License-Identifier: Apache-2.0
# lib.sh - what packaging/quickstart and packaging/test share: saying what is done, and installing packages.

umask 022 # what others could write is not trusted as a plugin

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# The checkout must be one that this user can build in, and git may read.
check_checkout() {
    local answer
    [ -w "$root" ] || die "$root cannot be written by $(id -un 2>/dev/null || id -u): build in a clone of your own"
    answer=$(git -C "$root" rev-parse --verify HEAD 2>&1) && return
    case $answer in
    *"dubious ownership"*)
        die "git does not trust $root, as it belongs to $(stat -c %U "$root"): be that user, or say
    git config --global --add safe.directory $root" ;;
    *) die "$root is no checkout of git: ${answer##*fatal: }" ;;
    esac
}

# Names of the packages of the groups given ("build", "deb", "test"), from packaging/packages.
packages_of() {
    awk -v wanted=" $* " '/^#/ || /^$/ { next }
        /^(build|deb|test)$/ { on = index(wanted, " " $0 " "); next } on' "$root/packaging/packages"
}

# Installs the packages of the groups given that are not there yet.
install_packages() {
    local missing=() name sudo=()
    for name in $(packages_of "$@"); do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && { say "packages: all there"; return; }
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "these packages are missing and sudo is not there: ${missing[*]}"
        # without a terminal there is nobody to type a password
        [ -t 0 ] || sudo -n true 2>/dev/null || die "these packages are missing and sudo is not allowed: ${missing[*]}"
        sudo=(sudo)
    fi
    say "packages: installing ${missing[*]}"
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
