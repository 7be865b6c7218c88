#!/usr/bin/env bash
# Submits a night of a family (docs/families.md) to Slurm: an array with one job an element, and a job that sums up.
#
# Usage: slurm/nightly.sh [options] FAMILY.yaml [-- options of sbatch for the elements]
#   --night NAME     name of the night's folders (today's date); with that of an earlier night, it goes on
#   --at-once K      most elements at the same time (4)
#   --anyway         although jobs of this family are still waiting or running
#   --dry-run        say what would be submitted
#
# In scrontab, or in the crontab of a login node:
#   30 22 * * *  cd /srv/tercet && slurm/nightly.sh nightly.yaml -- --partition=cpu --time=02:00:00
#
# Prints the numbers of the jobs. The night's logs and its summary are in <output>/nights/<night>/.
# Exit status: 0 submitted; 64 usage or family file; 69 Slurm does not answer, does not take the jobs, or the last night
# is still under way.
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../launch/lib.sh"

family=""
night=$(date +%F)
at_once=4
anyway=0
dry_run=0
for_elements=()

read_options() {
  while (($# > 0)); do
    case $1 in
      --night | --at-once)
        (($# > 1)) || fail 64 "$1 needs a value; see slurm/nightly.sh --help"
        if [[ $1 == --night ]]; then night=$2; else at_once=$2; fi
        shift 2
        ;;
      --anyway) anyway=1 && shift ;;
      --dry-run) dry_run=1 && shift ;;
      -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
      --)
        shift
        for_elements=("$@")
        break
        ;;
      -*) fail 64 "unknown option '$1' (options of sbatch come after --); see slurm/nightly.sh --help" ;;
      *)
        [[ -z $family ]] || fail 64 "one family file at a time; see slurm/nightly.sh --help"
        family=$1
        shift
        ;;
    esac
  done
  [[ -n $family ]] || fail 64 "no family file given; see slurm/nightly.sh --help"
  [[ -f $family ]] || fail 64 "'$family' does not exist (in $PWD)"
  [[ $at_once =~ ^[1-9][0-9]*$ ]] || fail 64 "--at-once '$at_once' is no number of elements"
  family=$(realpath "$family")
}

# Two families may have files of the same name; jobs are told apart by the whole path.
job_name() {
  local stem=${family##*/}
  printf 'tercet-%s-%s' "${stem%.*}" "$(hash_of "$family" | cut -c 1-6)"
}

refuse_while_under_way() {
  local jobs
  jobs=$(squeue --me --noheader --name "$(job_name)" --format '%i %T') || fail 69 "Slurm does not answer"
  if [[ -n $jobs ]] && ((anyway == 0)); then
    fail 69 "jobs of this family are still there (--anyway submits more): $(tr '\n' ';' <<<"$jobs")"
  fi
}

# submit COMMAND...: the number of the job.
submit() {
  local number
  number=$("$@") || fail 69 "Slurm does not take the job: $*"
  echo "${number%%;*}" # after a ; comes the cluster's name
}

main() {
  local count folder elements=() summary=() array last
  read_options "$@"
  PATH="$(build_folder):$PATH"
  have tercet || fail 69 "tercet is not built yet (no $(build_folder)/tercet); run launch/setup.sh"
  count=$(tercet family "$family" --count)
  # The run folder of the first element is <output>/runs/<night>/<element>.
  folder=$(tercet family "$family" --list --night "$night" | awk -F '\t' 'NR == 1 { print $3 }')
  folder="${folder%/runs/*}/nights/$night"
  export TERCET_HOME="$project_root"
  elements=(sbatch --parsable "--job-name=$(job_name)" "--array=0-$((count - 1))%$at_once" "--output=$folder/slurm-%a.log"
    "${for_elements[@]}" "$project_root/slurm/family.sbatch" "$family" "$night")
  summary=(sbatch --parsable "--job-name=$(job_name)" "--output=$folder/slurm-summary.log")
  say "night $night, $count elements, at most $at_once at once; logs and summary in $folder"
  if ((dry_run)); then
    say "${elements[*]}"
    say "${summary[*]} --dependency=afterany:<elements> $project_root/slurm/summary.sbatch $family $night"
    return
  fi
  refuse_while_under_way
  mkdir -p "$folder"
  array=$(submit "${elements[@]}")
  say "elements: job $array"
  last=$(submit "${summary[@]}" "--dependency=afterany:$array" "$project_root/slurm/summary.sbatch" "$family" "$night")
  say "summary: job $last"
}

main "$@"
