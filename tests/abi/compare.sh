#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compares OLD with NEW, then proves that the comparison works: GROWN must pass, each BROKEN must not. Without GROWN: the first
# alone.
set -eu
old=$1 new=$2 grown=${3:-}
shift "$(($# < 3 ? $# : 3))"
command -v abidiff >/dev/null || { echo "skipped: abidiff is not installed (package abigail-tools)"; exit 77; }
report=$(mktemp)
trap 'rm -f "$report"' EXIT

# Status 4 says that something changed; whether it only grew stands in the report. Members appended at the end of a struct
# are what the rules allow: no member moves, changes its type or goes, no function takes or gives something else.
grew_at_most() {
    status=0
    abidiff --harmless "$old" "$1" >"$report" 2>&1 || status=$?
    [ "$status" -eq 0 ] && return 0
    [ "$status" -eq 4 ] || return 1
    ! grep -E 'entity changed|offset changed|deletion|name changed|was added|was removed|return type changed|\[[DA]\]' \
        "$report" >/dev/null
}

grew_at_most "$new" || { cat "$report"; echo "the public ABI was changed"; exit 1; }
[ -n "$grown" ] || exit 0
if abidiff "$old" "$grown" >/dev/null; then echo "abidiff does not see an appended member at all"; exit 1; fi
grew_at_most "$grown" || { cat "$report"; echo "an appended member counts as a break"; exit 1; }
for broken in "$@"; do
    if grew_at_most "$broken"; then cat "$report"; echo "the break in $broken was not noticed"; exit 1; fi
done
