#!/usr/bin/env bash
# run.sh PYTHON SCRIPT PROGRAM: one parity test; "skipped" (status 77) where the tests' Python is not set up.
set -euo pipefail
if [[ ! -x $1 ]]; then
  echo "skipped: no '$1' (launch/setup.sh --test-python makes it)"
  exit 77
fi
exec "$1" -B "$2" "$3"
