#!/usr/bin/env bash
# Runs test files on the Windows build of Node under Wine and prints the summary.
#
#   test/windows/run.sh                          the whole Windows suite
#   test/windows/run.sh test/platform/win32.test.ts -t 'a title'
#
# Exit code: that of vitest. The full output stays in .wine/last-run.log.
set -euo pipefail
source "$(dirname "$0")/wine-environment.sh"

if [ ! -e "$cache/prefix-is-ready" ]; then
  echo 'run: Wine is not prepared; run test/windows/prepare-wine.sh first' >&2
  exit 2
fi

# One suite at a time: they share the prefix.
exec 9>"$cache/lock"
flock 9

# A copy, so that modules resolve to the Windows packages beside it and not to those of this machine.
for part in bin docs src platform native-bindings test vitest.config.ts; do
  [ -e "$root/$part" ] || continue
  rm -rf "${project:?}/$part"
  cp -r "$root/$part" "$project/$part"
done
rm -rf "$project/dist/suite"
"$root/node_modules/.bin/node" --disable-warning=ExperimentalWarning "$root/test/windows/bundle.ts" "$project/dist/suite"
x86_64-w64-mingw32-gcc -Os -nostdlib -mwindows -Wl,--entry,start,--file-alignment,4096 \
  -o "$project/dist/exit-with.exe" "$root/test/windows/fixtures/exit-with.c" -lkernel32

# Whatever a failed test left running ends with us; only this prefix is meant. A new start must not meet the old server.
end_wine() {
  stop_wine -k 9>&-
  stop_wine -w 9>&-
}
trap end_wine EXIT

log=$cache/last-run.log
cd "$project"
status=0
windows_node --disable-warning=ExperimentalWarning node_modules/vitest/vitest.mjs run --config test/windows/vitest.config.ts --configLoader native \
  --reporter=verbose "$@" </dev/null >"$log" 2>&1 9>&- || status=$?
grep -av -e 'ExperimentalWarning: WASI' -e 'node --trace-warnings' "$log" || true
exit "$status"
