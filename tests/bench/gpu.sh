#!/usr/bin/env bash
# Measures the packed kernels on this machine's GPU beside cuBLAS and prints a table in Markdown (docs/benchmarks/gpu.md).
#
# Usage: tests/bench/gpu.sh [rounds]       (20)
# TERCET_PRESET names another build than release.
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/lib.sh"

case ${1:-} in
  -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
esac

build=$(build_folder)
cmake -S "$project_root" -B "$build" >/dev/null
cmake --build "$build" --target gpu_bench >/dev/null
exec "$build/tests/gpu_bench" "${1:-20}"
