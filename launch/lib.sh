# shellcheck shell=bash
# What the launch scripts share: lines that say what is done and how long it took, logs of noisy tools, and what this
# machine has. Sourced, never run; the caller has already said `set -euo pipefail`.

project_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
log_folder="$project_root/build/logs"
venv="$project_root/.venv"
# shellcheck disable=SC2034  # used by setup.sh
test_venv="$project_root/.venv-test"

# --- what a person sees -------------------------------------------------------------------------------------------

say() { printf '    %s\n' "$*"; }

warn() { printf '    warning: %s\n' "$*" >&2; }

# fail CODE MESSAGE...: ends the script; codes as in sysexits.h (64 usage, 69 something needed is missing).
fail() {
  local code=$1
  shift
  printf 'error: %s\n' "$*" >&2
  exit "$code"
}

# usage FILE: the comment at the head of a script is its help.
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$1"; }

step_begin() { # WHAT
  step_what=$1
  step_start=$SECONDS
  printf '==> %s ... ' "$step_what"
}

step_end() { # [WORD]
  printf '%s%d s\n' "${1:+$1 }" "$((SECONDS - step_start))"
}

step_log() { # NAME -> the log file of a step
  mkdir -p "$log_folder"
  printf '%s/%s.log' "$log_folder" "$1"
}

# The end of a log, and where the rest is.
show_log_end() { # LOG
  printf '%s\n' "--- the last lines of $1 ---" >&2
  tail -n 30 "$1" >&2
  printf '%s\n' "--- all of it: $1 ---" >&2
}

# step NAME WHAT COMMAND...: one line on the screen, the command's own output in build/logs/NAME.log.
# Returns the command's status; when that is not 0, the end of the log has been shown. COMMAND is one program, or a
# function whose last line decides: the shell suspends `set -e` inside it.
step() {
  local log status=0
  log=$(step_log "$1")
  step_begin "$2"
  shift 2
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if ((status == 0)); then
    step_end
    return 0
  fi
  step_end "failed (status $status) after"
  show_log_end "$log"
  return "$status"
}

# Ninja's lines on standard input become one line of progress now and then.
show_progress() {
  local line last=$SECONDS begun=$SECONDS
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
    if ((SECONDS - last >= 15)); then
      last=$SECONDS
      printf '\n      %3d %% (%d of %d files), %d s' "$((100 * BASH_REMATCH[1] / BASH_REMATCH[2]))" \
        "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "$((SECONDS - begun))"
    fi
  done
  ((last == begun)) || printf '\n      '
}

# step_with_progress NAME WHAT COMMAND...: like step, for a Ninja build.
step_with_progress() {
  local log status=0
  log=$(step_log "$1")
  step_begin "$2"
  shift 2
  # A pipe in the foreground, not a background job: Ctrl-C must reach the compiler.
  NINJA_STATUS='[%f/%t] ' "$@" 2>&1 </dev/null | tee "$log" | show_progress || status=$?
  if ((status == 0)); then
    step_end
    return 0
  fi
  step_end "failed (status $status) after"
  show_log_end "$log"
  return "$status"
}

# --- the machine --------------------------------------------------------------------------------------------------

have() { command -v "$1" >/dev/null 2>&1; }

# version_at_least HAVE WANTED
version_at_least() { [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]; }

# "debian 12", "ubuntu 22.04", or "other" where there is no apt.
operating_system() {
  if have apt-get && [[ -r /etc/os-release ]]; then
    # shellcheck disable=SC1091
    (. /etc/os-release && printf '%s %s\n' "${ID:-other}" "${VERSION_ID:-0}")
  else
    echo other
  fi
}

# How to become root: "" as root, "sudo" where sudo works (it may ask for a password on a terminal), else "no".
root_command() {
  if ((EUID == 0)); then
    echo ""
  elif have sudo && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
    echo sudo
  else
    echo no
  fi
}

# CPUs this process may use: affinity, and the quota of a container.
cpu_count() {
  local cpus quota period
  cpus=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
  if [[ -r /sys/fs/cgroup/cpu.max ]] && read -r quota period </sys/fs/cgroup/cpu.max && [[ $quota =~ ^[0-9]+$ ]]; then
    local granted=$(((quota + period - 1) / period))
    ((granted >= cpus)) || cpus=$granted
  fi
  echo "$((cpus > 0 ? cpus : 1))"
}

# Physical cores among them: two hardware threads of one core do not multiply matrices twice as fast.
core_count() {
  local cpus cores
  cpus=$(cpu_count)
  cores=$(lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l)
  echo "$((cores > 0 && cores < cpus ? cores : cpus))"
}

available_memory_mb() { awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo; }

# The CUDA compiler, if a toolkit is installed.
find_nvcc() {
  local candidate
  for candidate in "${CUDACXX:-}" "$(command -v nvcc || true)" "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc"; do
    if [[ -n $candidate && -x $candidate ]]; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

# GPUs that this process may use: 0 without a driver.
gpu_count() {
  local gpus
  gpus=$( (nvidia-smi -L 2>/dev/null || true) | grep -c '^GPU' || true)
  if ((gpus > 0)) && [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
    gpus=$(tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -cvE '^(-1)?$' || true)
  fi
  echo "$gpus"
}

# Tasks of this Slurm allocation; 1 where nobody asked for a number. SLURM_NTASKS stays as it was when a waiting job is
# made smaller (scontrol update NumNodes=1 NumTasks=2), so the tasks of each node are added up: "2(x3),1" is 7.
allocated_tasks() {
  local part total=0
  if [[ -z ${SLURM_NTASKS:-} || -z ${SLURM_TASKS_PER_NODE:-} ]]; then
    echo "${SLURM_NTASKS:-1}"
    return
  fi
  for part in ${SLURM_TASKS_PER_NODE//,/ }; do
    if [[ $part =~ ^([0-9]+)\(x([0-9]+)\)$ ]]; then
      total=$((total + BASH_REMATCH[1] * BASH_REMATCH[2]))
    else
      total=$((total + part))
    fi
  done
  echo "$total"
}

# hash_of TEXT...: a short fingerprint, for the names of marker files.
hash_of() { printf '%s\0' "$@" | sha256sum | cut -c 1-16; }

# The folder of packages of a virtual environment.
site_packages() { # VENV
  local folder
  for folder in "$1"/lib/python3*/site-packages; do
    if [[ -d $folder ]]; then
      echo "$folder"
      return 0
    fi
  done
  return 1
}

# Which of our builds the scripts use, and where.
preset="${TERCET_PRESET:-release}"
build_folder() { printf '%s/build/%s' "$project_root" "$preset"; }

# Where the system's CMake is too old, setup.sh has put a newer one (and Ninja) into the virtual environment.
if [[ -x $venv/bin/cmake ]]; then
  PATH="$venv/bin:$PATH"
fi
