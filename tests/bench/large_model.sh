#!/usr/bin/env bash
# Measures a ternary Llama of 1.03 billion parameters on this machine: how fast it generates, packed and dequantized to fp32
# and bf16, on each number of threads, and what loading takes with and without its kernels.safetensors. The model is random
# and made here; it takes 0.7 GB of disk in the temporary folder, and measuring 8 GB of memory.
# docs/benchmarks/kernels.md explains the figures.
#
# Usage: tests/bench/large_model.sh [repetitions] [threads...]       (5 repetitions; 1 and 2 threads)
# TERCET_PRESET names another build than release, TMPDIR another place for the model.
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/lib.sh"

case ${1:-} in
  -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
esac

repetitions=${1:-5}
shift || true
(($# > 0)) || set -- 1 2
build=$(build_folder)
cmake -S "$project_root" -B "$build" >/dev/null
cmake --build "$build" --target large_model tercet >/dev/null
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 CUDA_VISIBLE_DEVICES=

"$build/tests/large_model" "$work/model"
ls -l --block-size=1 "$work/model"
for threads in "$@"; do
  printf '\n'
  OMP_NUM_THREADS=$threads "$build/tercet" bench "$work/model" --repetitions "$repetitions"
done
export OMP_NUM_THREADS=1
python3 -B "$project_root/tests/bench/load_table.py" "$build/tercet" "$work/model" "$repetitions"
