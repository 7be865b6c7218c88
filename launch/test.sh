#!/usr/bin/env bash
# Sets up what is missing and runs the whole test suite. Arguments are handed to ctest.
#
# Usage: launch/test.sh [arguments of ctest]
# Examples: launch/test.sh                    everything (gpu tests only where there is a GPU)
#           launch/test.sh -L unit            one label: unit, mpi, parity, e2e, browser, fault, slurm, lint or gpu
#           launch/test.sh -R tokenizer       tests by name
#           TERCET_PRESET=asan launch/test.sh -L unit     another build
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
  -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
esac

"$project_root/launch/setup.sh" --preset "$preset" --test-python

# Two more than there are cores: some tests wait most of the time, for a batch system or a timeout.
arguments=(--output-on-failure --no-tests=error --parallel "$(($(cpu_count) + 2))")
if (($(gpu_count) == 0)); then
  say "no GPU here: tests with the label gpu are left out"
  arguments+=(--label-exclude '^gpu$')
fi
# Real models and texts for some of the tests; those skip themselves where the folder is absent.
export TERCET_SHARED="${TERCET_SHARED:-$project_root/../shared}"
if [[ ! -d $TERCET_SHARED ]]; then
  say "no folder '$TERCET_SHARED': tests on real models and texts will say that they are skipped"
  unset TERCET_SHARED
fi
printf '==> tests\n'
# ctest has the last word: its closing lines are the summary.
exec ctest --test-dir "$(build_folder)" "${arguments[@]}" "$@"
