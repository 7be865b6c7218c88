#!/usr/bin/env bash
# Kills ranks of a small job at random moments until there were enough, and compares every outcome with the job left
# alone. Longer than the suite's test of the same name; the figures in docs/reliability.md come from here.
#
# Usage: tests/fault/soak.sh [KILLS] [SEED]     (500 kills; the seed makes the dice repeatable)
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/lib.sh"

export TERCET_KILLS="${1:-500}" TERCET_SEED="${2:-$(date +%Y%m%d)}" PYTHONPATH="$project_root/tests/e2e"
program="$(build_folder)/tercet"
[[ -x $program ]] || fail 69 "tercet is not built yet (no $program); run launch/setup.sh"
say "$TERCET_KILLS kills, seed $TERCET_SEED, on $(cpu_count) CPUs"
exec python3 -B "$project_root/tests/fault/kill_matrix.py" "$program" mpirun --allow-run-as-root --oversubscribe --bind-to none
