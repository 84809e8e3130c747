#!/usr/bin/env bash
# Makes the Windows executable on the Node that Wine runs, for test/windows/executable.test.ts. Run prepare-wine.sh first.
set -euo pipefail
source "$(dirname "$0")/wine-environment.sh"

# A cache of its own: .ci/run makes the executables of all targets at the same time.
"$root/node_modules/.bin/node" --disable-warning=ExperimentalWarning "$root/build/executables.ts" --target win-x64 \
  --runtime "$windows_program" --maker "$(find_wine) $windows_program" --cache "$cache/packages" --out "$project/dist"
stop_wine -k
stop_wine -w
