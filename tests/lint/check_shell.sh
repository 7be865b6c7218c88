#!/usr/bin/env bash
# Shell scripts are clean under shellcheck.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if ! command -v shellcheck >/dev/null; then
  echo "skipped: no shellcheck here (launch/setup.sh brings it)"
  exit 77
fi
mapfile -d '' scripts < <(find launch slurm tests \( -name '*.sh' -o -name '*.sbatch' \) -print0)
shellcheck -x "${scripts[@]}" .ci/run
echo "${#scripts[@]} scripts are clean"
