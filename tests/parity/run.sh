#!/usr/bin/env bash
# run.sh PYTHON SCRIPT PROGRAM MAKER: one parity test; "skipped" (status 77) where the tests' Python, which the command
# MAKER makes, is not set up.
set -euo pipefail
if [[ ! -x $1 ]]; then
  echo "skipped: no '$1' ($4 makes it)"
  exit 77
fi
# What Python has compiled is kept, outside of the sources: transformers takes 11 s of processor time without, 3 with.
unset PYTHONDONTWRITEBYTECODE
PYTHONPYCACHEPREFIX="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/pycache"
export PYTHONPYCACHEPREFIX
exec "$1" "$2" "$3"
