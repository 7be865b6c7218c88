#!/usr/bin/env bash
# Starts a job: one process per GPU, or CPU ranks. Inside a Slurm allocation by `srun --mpi=pmix` (by mpirun, if
# TERCET_LAUNCHER=mpirun or Slurm has no PMIx), else by mpirun.
#
# Usage: launch/run.sh [--command NAME] CONFIG [ranks] [-- arguments of tercet]
#   CONFIG            configuration file; for `--command evaluate` and the like: the model, artifact or run
#   ranks             number of processes (default: the tasks of the Slurm job; else one per GPU; else one per
#                     NUMA domain, but two where there are two cores)
#   --command NAME    tercet's subcommand (compress)
#
# Examples: launch/run.sh configs/demo-compress.yaml 2
#           launch/run.sh my.yaml 4 -- --set training.tokens=1000000
#           launch/run.sh --command evaluate models/small 2 -- --data held-out.txt --json
#
# Ctrl-C, TERM and USR1 ask the job to save a checkpoint and stop (status 75: start it again and it goes on); a second
# Ctrl-C or TERM ends it at once. The exit status is tercet's: 0 passed, 3 a gate failed, 64 usage or configuration,
# 65 bad input, 70 internal error, 74 input or output failed, 75 stopped on request.
# OMP_NUM_THREADS (threads per rank), TERCET_PRESET (which build) and TERCET_MPIRUN_FLAGS are respected. TERCET_CPUS, set
# by `tercet family` and `tercet study`, says that the CPUs have been dealt out already: then nothing is bound.
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command_name='compress'
subject=""
ranks=""
extra=()
launcher=()
child=""
stop_requests=0

read_options() {
  while (($# > 0)); do
    case $1 in
      --command)
        (($# > 1)) || fail 64 "--command needs the name of a subcommand of tercet"
        command_name=$2
        shift 2
        ;;
      -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
      --)
        shift
        extra=("$@")
        break
        ;;
      -*) fail 64 "unknown option '$1' (arguments of tercet come after --); see launch/run.sh --help" ;;
      *)
        if [[ -z $subject ]]; then
          subject=$1
        elif [[ -z $ranks && $1 =~ ^[1-9][0-9]*$ ]]; then
          ranks=$1
        else
          fail 64 "'$1' is no number of ranks (arguments of tercet come after --); see launch/run.sh --help"
        fi
        shift
        ;;
    esac
  done
  [[ -n $subject ]] || fail 64 "no configuration file given; see launch/run.sh --help"
  [[ -e $subject ]] || fail 64 "'$subject' does not exist (in $PWD); give the path of a configuration file"
}

# GPUs count only where the program was built for them.
usable_gpus() {
  if grep -qs '^CMAKE_CUDA_COMPILER:.*nvcc' "$(build_folder)/CMakeCache.txt"; then
    gpu_count
  else
    echo 0
  fi
}

default_ranks() { # GPUS CORES
  local domains
  if (($1 > 0)); then
    echo "$1"
    return
  fi
  domains=$(lscpu -p=NODE 2>/dev/null | grep -v '^#' | sort -u | wc -l)
  ((domains >= 2)) || domains=2
  echo "$((domains < $2 ? domains : $2))"
}

use_slurm() {
  local cpus=${SLURM_CPUS_PER_TASK:-}
  ranks=${ranks:-$(allocated_tasks)}
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${cpus:-1}}"
  if [[ ${TERCET_LAUNCHER:-$(slurm_launcher)} == mpirun ]]; then
    allow_mpirun
    # The cores are those that Slurm gave the job on each node; ranks are not bound any further.
    # shellcheck disable=SC2206  # several flags in one variable
    launcher=(mpirun --quiet -n "$ranks" --bind-to none -x OMP_NUM_THREADS ${TERCET_MPIRUN_FLAGS:-})
    return
  fi
  launcher=(srun --mpi=pmix "--ntasks=$ranks")
  if [[ -n $cpus ]]; then
    # Slurm 22.05 and later no longer hand this from the batch job to its steps.
    launcher+=("--cpus-per-task=$cpus" --cpu-bind=cores)
  fi
  # Every rank sees all GPUs of its node and takes the one of its local number; a GPU per task would hide the others.
  [[ -z ${SLURM_GPUS_ON_NODE:-} ]] || launcher+=(--gpu-bind=none)
}

# srun hands a preempted job's notice to the ranks, and mpirun does not; but not every Slurm is built with PMIx.
slurm_launcher() {
  if srun --mpi=list 2>&1 | grep -q pmix; then
    echo srun
  else
    warn "this Slurm has no PMIx: starting the ranks by mpirun, which does not tell them when the job is preempted"
    echo mpirun
  fi
}

allow_mpirun() {
  have mpirun || fail 69 "mpirun was not found; run launch/setup.sh, or load the module of your MPI"
  # Root is usual in containers; absent network cards are no fault on one machine.
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_base_warn_component_unused=0
}

use_mpirun() {
  local cores cpus gpus flags=()
  allow_mpirun
  cores=$(core_count)
  cpus=$(cpu_count)
  gpus=$(usable_gpus)
  ranks=${ranks:-$(default_ranks "$gpus" "$cores")}
  if [[ -n ${TERCET_CPUS:-} ]]; then
    # `tercet family` or `study` has dealt out the CPUs, and this script may use no others: mpirun itself would bind every job's
    # ranks from the machine's first core on.
    flags=(--oversubscribe --bind-to none)
    ((ranks <= cpus)) || export OMPI_MCA_mpi_yield_when_idle=1
  elif ((ranks <= cores)); then
    flags=(--map-by "slot:PE=$((cores / ranks))" --bind-to core)
  elif ((ranks <= cpus)); then
    flags=(--use-hwthread-cpus --map-by slot --bind-to hwthread)
  else
    flags=(--oversubscribe --bind-to none)
    # Ranks that share a core must give it away while they wait.
    export OMPI_MCA_mpi_yield_when_idle=1
    warn "$ranks ranks on $cpus CPUs: they will take turns"
  fi
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((ranks < cores ? cores / ranks : 1))}"
  # A missing ssh client is no fault on one machine.
  have ssh || export OMPI_MCA_plm=isolated
  # --quiet: tercet says itself why it ended; mpirun's page of text would hide that.
  # shellcheck disable=SC2206  # several flags in one variable
  launcher=(mpirun --quiet -n "$ranks" "${flags[@]}" ${TERCET_MPIRUN_FLAGS:-})
}

# mpirun gives its ranks two seconds after TERM, which is too short to save; USR1 is handed on to all ranks.
# shellcheck disable=SC2317  # called by traps
request_stop() { # SIGNAL
  stop_requests=$((stop_requests + 1))
  [[ -n $child ]] || exit 75
  if ((stop_requests == 1)) || [[ $1 == USR1 ]]; then
    say "stop requested ($1): the ranks save and end; once more ends them at once" >&2
    kill -USR1 "$child" 2>/dev/null || true
  else
    kill -TERM "$child" 2>/dev/null || true
  fi
}

# Runs the command so that signals come to this script first, and waits for its end. Should this script be killed
# outright, the launcher is told to end too.
supervise() {
  local status=0 signal
  for signal in INT TERM HUP USR1; do
    # shellcheck disable=SC2064  # the name is meant to be fixed now
    trap "request_stop $signal" "$signal"
  done
  set -m
  setpriv --pdeathsig TERM "$@" </dev/null &
  child=$!
  set +m
  wait "$child" || status=$?
  # A trapped signal ends `wait` early, with the job still there.
  while kill -0 "$child" 2>/dev/null; do
    wait "$child" || true
  done
  # The shell remembers the status of a job that has ended.
  if ((stop_requests > 0)); then
    status=0
    wait "$child" || status=$?
  fi
  return "$status"
}

explain_signal() { # NUMBER SECONDS
  local hint=""
  (($1 != 9)) || hint=" (by hand, or because memory ran out)"
  warn "a rank was ended by signal $1, $(kill -l "$1")$hint, after $2 s." \
    "Started again, the job goes on from its newest checkpoint."
}

main() {
  local status=0 started=$SECONDS
  read_options "$@"
  PATH="$(build_folder):$PATH"
  have tercet || fail 69 "tercet is not built yet (no $(build_folder)/tercet); run launch/setup.sh"
  if [[ -n ${SLURM_JOB_ID:-} ]]; then
    use_slurm
  else
    use_mpirun
  fi
  # The ranks' output goes through the launcher, so they cannot see themselves whether a person watches.
  if [[ -t 2 && ${TERM:-dumb} != dumb ]]; then
    export TERCET_TERMINAL="${TERCET_TERMINAL:-1}"
  fi
  printf '==> tercet %s %s: %s ranks by %s, %s threads each\n' "$command_name" "$subject" "$ranks" "${launcher[0]}" \
    "$OMP_NUM_THREADS" >&2
  supervise "${launcher[@]}" "$(command -v tercet)" "$command_name" "$subject" "${extra[@]}" || status=$?
  if ((stop_requests > 0 && status == 128 + $(kill -l USR1))); then
    say "the request came before the ranks had begun" >&2
    status=75
  fi
  if ((status > 128 && status < 160)); then
    explain_signal "$((status - 128))" "$((SECONDS - started))"
  fi
  exit "$status"
}

main "$@"
