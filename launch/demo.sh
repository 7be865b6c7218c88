#!/usr/bin/env bash
# The whole of Tercet in one command: sets up what is missing, trains a small language model from the text that is on
# this machine, and compresses it to ternary weights on two MPI ranks, with a table of every quality gate at the end.
#
# Usage: launch/demo.sh [--fresh] [ranks]
#   --fresh    throw away runs/demo first (else what is finished is kept, and what was cut off goes on)
#   ranks      MPI ranks (2)
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

demo="$project_root/runs/demo"
fresh=0
ranks=2

read_options() {
  while (($# > 0)); do
    case $1 in
      --fresh) fresh=1 ;;
      -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
      *)
        [[ $1 =~ ^[1-9][0-9]*$ ]] || fail 64 "'$1' is no number of ranks; see launch/demo.sh --help"
        ranks=$1
        ;;
    esac
    shift
  done
}

# stage COMMAND CONFIG WHAT: says what is done and how long it took; the job's own lines come between.
stage() {
  local status=0 begun=$SECONDS outcome="finished"
  printf '\n==> %s\n' "$3"
  "$project_root/launch/run.sh" --command "$1" "$project_root/$2" "$ranks" || status=$?
  ((status == 0)) || outcome="ended with status $status"
  printf '==> %s: %s after %d s\n' "$3" "$outcome" "$((SECONDS - begun))"
  ((status == 0)) || exit "$status"
}

main() {
  read_options "$@"
  cd "$project_root"
  "$project_root/launch/setup.sh" --no-tests
  if ((fresh)) && [[ -e $demo ]]; then
    step_begin "remove the results of the last demo"
    rm -rf "$demo"
    step_end
  fi
  stage pretrain configs/demo-pretrain.yaml "train a small language model on $ranks ranks"
  stage compress configs/demo-compress.yaml "compress it to ternary weights on $ranks ranks"
  printf '\nThe files are in %s (%s). Read on in README.md: your own model and data.\n' "$demo" \
    "$(du -sh "$demo" | cut -f 1)"
  printf 'The whole took %d min %d s.\n' "$((SECONDS / 60))" "$((SECONDS % 60))"
}

main "$@"
