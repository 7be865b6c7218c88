#!/usr/bin/env bash
# The packed kernels on this machine's GPU beside cuBLAS (docs/benchmarks/gpu.md). Prints a table in Markdown.
#
# Usage: tests/bench/gpu.sh [rounds]
set -euo pipefail
cd "$(dirname "$0")/../.."
cmake --build "${TERCET_BUILD:-build/release}" --target gpu_bench -- -j2 >&2
exec "${TERCET_BUILD:-build/release}/tests/gpu_bench" "${1:-20}"
