#!/usr/bin/env bash
# Measures checkpoints on this machine: bandwidth on 1 and 2 ranks against the plain disk, then what they cost a small
# training run, written beside training and not. docs/benchmarks/checkpoints.md explains the figures.
#
# Usage: tests/bench/checkpoint.sh [folder on the disk to measure] [megabytes] [rounds]
# TERCET_PRESET names another build than release.
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/lib.sh"

case ${1:-} in
  -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
esac

folder=${1:-$(mktemp -d)}
megabytes=${2:-512}
rounds=${3:-9}
build=$(build_folder)
work=$(mktemp -d "$folder/tercet-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 OMP_NUM_THREADS=1

ranks_of() { # ranks, then the program and its arguments
  local ranks=$1
  shift
  mpirun --oversubscribe --bind-to none -n "$ranks" "$@"
}

cmake --build "$build" --target checkpoint_bench tercet >"$work/build.log"
for ranks in 1 2; do
  ranks_of "$ranks" "$build/tests/checkpoint_bench" "$work" "$megabytes" "$rounds"
done

# The demo's model and text; 60 steps with a checkpoint every 10, one run after the other.
train() { # true or false, ranks
  ranks_of "$2" "$build/tercet" pretrain "$project_root/configs/demo-pretrain.yaml" --json \
    --set "output=$work/model-$1-$2" --set "data.cache=$work/tokens" --set training.tokens=245760 \
    --set checkpoint.every_steps=10 --set "checkpoint.asynchronous=$1" 2>"$work/train.log" || cat "$work/train.log" >&2
}
summary='
import json, statistics, sys
run = json.loads(sys.stdin.read())
step = run["seconds"] / run["steps"]
stalls = run["checkpoint_stall_seconds"][:-1]  # nothing is left to do beside the last one
stall = statistics.median(stalls)
print(f"  asynchronous {sys.argv[1]:5}  step {1000 * step:.0f} ms, median stall of {len(stalls)} checkpoints {1000 * stall:.1f} ms = {stall / step:.3f} steps")
'
for ranks in 1 2; do
  printf '%s rank(s), training the demo'"'"'s model\n' "$ranks"
  for asynchronous in true false; do
    train "$asynchronous" "$ranks" | python3 -c "$summary" "$asynchronous"
  done
done
