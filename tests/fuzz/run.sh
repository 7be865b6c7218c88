#!/usr/bin/env bash
# Attacks the parsers: builds the libFuzzer targets with both sanitizers, makes seeds with our own writers, and lets each
# target run for a while, some at a time. Ends with 1 when something was found; what broke a parser lies in
# build/fuzz/findings/TARGET and belongs into tests/fuzz/regressions/TARGET once it is mended.
#
# Usage: tests/fuzz/run.sh [--at-once N] [seconds per target] [targets...]     (as many at once as CPUs; 60 seconds; all)
#
# Needs clang and its runtime: launch/setup.sh --fuzz installs them. What a run learns is kept in build/fuzz/corpus, so the
# next one begins where it ended.
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/lib.sh"

build="$project_root/build/fuzz"
seconds=60
at_once=$(cpu_count)
targets=()

read_arguments() {
  if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    usage "${BASH_SOURCE[0]}" && exit 0
  fi
  if [[ ${1:-} == --at-once ]]; then
    [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || fail 64 "--at-once needs a number; see tests/fuzz/run.sh --help"
    at_once=$2
    shift 2
  fi
  if [[ ${1:-} =~ ^[1-9][0-9]*$ ]]; then
    seconds=$1
    shift
  fi
  targets=("$@")
  if ((${#targets[@]} == 0)); then
    mapfile -t targets < <(cd "$project_root/tests/fuzz/targets" && printf '%s\n' *.cpp | sed 's/\.cpp$//')
  fi
}

build_targets() {
  local goals=()
  have clang++ || fail 69 "clang++ was not found; run launch/setup.sh --fuzz"
  for target in "${targets[@]}"; do
    [[ -f $project_root/tests/fuzz/targets/$target.cpp ]] || fail 64 "there is no target '$target' in tests/fuzz/targets"
    goals+=("fuzz_$target")
  done
  cd "$project_root"
  step fuzz-configure "configure (preset fuzz)" cmake --preset fuzz || fail 69 "the fuzz targets cannot be configured"
  step fuzz-build "build" cmake --build "$build" --parallel 2 --target "${goals[@]}" || fail 70 "the build failed"
}

# attack TARGET: one line about what came of it; status 1 for a finding.
attack() {
  local target=$1 status=0 program="$build/tests/fuzz/fuzz_$1" log="$build/logs/$1.log"
  local corpus="$build/corpus/$1" findings="$build/findings/$1" past="$project_root/tests/fuzz/regressions/$1"
  mkdir -p "$corpus" "$findings" "$build/logs"
  [[ -d $past ]] || past=$findings
  # HDF5 1.10 loops on some files; the program reads them in a process of its own, which is ended then (docs/security.md).
  local without_loops=() kinds=(! -name 'slow-unit-*')
  if [[ $target == run_file ]]; then
    without_loops=(-fork=1 -ignore_timeouts=1 -timeout=2)
    kinds+=(! -name 'timeout-*')
  fi
  "$program" --seeds "$build/seeds/$target" >"$log" 2>&1 || status=$?
  if ((status == 0)); then
    # LibTorch and HDF5 keep memory of their own for good, so leaks are left to the sanitized unit tests.
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_container_overflow=0 \
      UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=1 \
      "$program" -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=3072 -malloc_limit_mb=2048 \
      -print_final_stats=1 -artifact_prefix="$findings/" "${without_loops[@]}" "$corpus" "$build/seeds/$target" "$past" >"$log" 2>&1 || status=$?
  fi
  awk -v target="$target" -v status="$status" -v findings="$(find "$findings" -type f "${kinds[@]}" | wc -l)" '
    / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") coverage = $(i + 1) }
    /stat::number_of_executed_units/ { executions = $2 }
    /^#[0-9]+: cov: / { executions = substr($1, 2) + 0 }  # of -fork
    END { printf "%-16s %10d executions  %6d edges covered  %d findings%s\n", target, executions, coverage, findings,
                 status == 0 ? "" : "  (status " status ")" }' "$log"
  ((status == 0)) || { printf '    see %s\n' "$log" && return 1; }
}

main() {
  local failed=0 running=0 target
  read_arguments "$@"
  build_targets
  for target in "${targets[@]}"; do
    if ((running == at_once)); then
      wait -n || failed=1
      running=$((running - 1))
    fi
    attack "$target" &
    running=$((running + 1))
  done
  while ((running > 0)); do
    wait -n || failed=1
    running=$((running - 1))
  done
  return "$failed"
}

main "$@"
