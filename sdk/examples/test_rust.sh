#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# test_rust.sh NANOTERM WORDS.SO: the example in Rust is a good plugin, and its command runs, confined as that of any third party.
set -eu
nanoterm=$1 words=$2
[ -e "$words" ] || { echo "skipped: there is no cargo that works (packages cargo, rustc)"; exit 77; }
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir -p "$home/.nanoterm/plugins"
cp "$words" "$home/.nanoterm/plugins/"
export HOME="$home" NANOTERM_NO_UPDATE_CHECK=1
cd "$home"

"$nanoterm" plugin check "$home/.nanoterm/plugins/words.so"
status=0
"$nanoterm" --json words count one "drei" "zażółć" >rows || status=$?
if [ "$status" -eq 8 ]; then echo "skipped: this kernel has no Landlock"; exit 77; fi
[ "$status" -eq 0 ]
got=$(tr -d ' \n' <rows)
wanted='[{"word":"one","letters":3},{"word":"drei","letters":4},{"word":"zażółć","letters":6}]'
[ "$got" = "$wanted" ] || { echo "got $got"; exit 1; }
status=0
"$nanoterm" --json words count "$(printf '\377')" 2>error || status=$?
[ "$status" -ne 0 ] && ! grep -q crashed error
