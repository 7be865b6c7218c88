#!/usr/bin/env bash
# run.sh PYTHON SCRIPT PROGRAM MAKER: one parity test; "skipped" (status 77) where the tests' Python, which the command
# MAKER makes, is not set up.
set -euo pipefail
if [[ ! -x $1 ]]; then
  echo "skipped: no '$1' ($4 makes it)"
  exit 77
fi
exec "$1" -B "$2" "$3"
