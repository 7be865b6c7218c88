#!/usr/bin/env bash
# Measures the packed kernels beside LibTorch on this machine, and how fast a matrix becomes packed trits, and prints tables
# for each number of threads: microseconds (best and median of the repetitions), bandwidth, and how many times slower than
# Tercet each contender is.
# docs/benchmarks/kernels.md explains the figures.
#
# Usage: tests/bench/kernels.sh [repetitions] [threads...]       (7 repetitions; 1 and 2 threads)
# TERCET_PRESET names another build than release.
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/lib.sh"

case ${1:-} in
  -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
esac

repetitions=${1:-7}
shift || true
(($# > 0)) || set -- 1 2
build=$(build_folder)
pkg-config --exists benchmark || fail 69 "Google Benchmark is not here: apt-get install libbenchmark-dev"
cmake -S "$project_root" -B "$build" >/dev/null
cmake --build "$build" --target kernels_bench ternarize_bench >/dev/null
figures=$(mktemp)
trap 'rm -f "$figures"' EXIT

measure() { # program, threads and its other arguments
  OMP_NUM_THREADS=$2 "$build/tests/$1" "${@:2}" --benchmark_min_time=0.2 --benchmark_repetitions="$repetitions" \
    --benchmark_enable_random_interleaving=true --benchmark_out="$figures" --benchmark_out_format=json >/dev/null
  python3 -B "$project_root/tests/bench/kernels_table.py" "$figures"
}

for threads in "$@"; do
  measure kernels_bench "$threads" 4096 4096 1
  measure kernels_bench "$threads" 11008 4096 1
  measure kernels_bench "$threads" 4096 4096 128
  measure ternarize_bench "$threads" 4096 4096
done
