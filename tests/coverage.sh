#!/usr/bin/env bash
# How many lines of src/ the tests execute: builds with counters, runs the tests, prints a table and two totals.
#
# Usage: tests/coverage.sh [arguments of ctest]      default: -L 'unit|mpi|e2e|fault|parity'
#        tests/coverage.sh --report                  the tables again, from the counts of the last run
# A run with arguments adds to the counts of earlier ones; without, it starts from zero.
set -euo pipefail
project="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
build="$project/build/coverage"
# What can run only where there are GPUs, and so never here.
without_gpu='src/comm/nccl_.*'
cd "$project"

if [[ ${1:-} != --report ]]; then
  if (($# == 0)); then
    set -- -L 'unit|mpi|e2e|fault|parity'
    [[ ! -d $build ]] || find "$build" -name '*.gcda' -delete
  fi
  # Failures are shown by ctest, and the lines executed up to them still count.
  TERCET_PRESET=coverage launch/test.sh "$@" || echo "some tests failed" >&2
fi

if [[ ! -x $build/gcovr/bin/gcovr ]]; then
  python3 -m venv "$build/gcovr"
  "$build/gcovr/bin/pip" install --quiet --disable-pip-version-check gcovr==8.3
fi
# Counts of ranks that were killed in the middle of writing them may be damaged; the lines were counted elsewhere.
report=("$build/gcovr/bin/gcovr" --root "$project" --filter 'src/'
  --gcov-ignore-parse-errors=all --gcov-ignore-errors=all --merge-mode-functions=merge-use-line-max)
"${report[@]}" -j "$(nproc)" --json "$build/coverage.json" "$build" >/dev/null
"${report[@]}" --add-tracefile "$build/coverage.json" --sort uncovered-number
printf 'without the files that need a GPU:\n'
"${report[@]}" --add-tracefile "$build/coverage.json" --exclude "$without_gpu" --print-summary 2>/dev/null |
  grep -E '^lines:'
