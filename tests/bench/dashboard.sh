#!/usr/bin/env bash
# Measures the dashboard on this machine's loopback with 100 finished runs, 3 running ones and a journal of 1 GB: how long
# its pages take, and how much memory the server has. Prints a table in Markdown; docs/dashboard.md explains the figures.
#
# Usage: tests/bench/dashboard.sh [finished runs]       (100)
# TERCET_PRESET names another build than release.
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/lib.sh"

case ${1:-} in
  -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
esac

build=$(build_folder)
cmake --build "$build" --target tercet >/dev/null
export PYTHONPATH="$project_root/tests/e2e"
exec python3 -B "$project_root/tests/bench/dashboard_load.py" "${1:-100}" "$build/tercet" mpirun --oversubscribe
