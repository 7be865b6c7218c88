# shellcheck shell=bash
# What the batch scripts share: one attempt at a run, and whether the job is queued again after it. Sourced after
# launch/lib.sh. The script sets `run_folder` and calls `attempt_and_settle COMMAND...`, which ends it.
#
# Exit status 0, 3, 64, 65, 69, 70 and 74 are final. 75, or that of a crash or a hang, may queue the job again; see settle
# below.

max_restarts="${TERCET_MAX_RESTARTS:-20}"
restarts="${SLURM_RESTART_COUNT:-0}"
run_folder=""
child=""
status_file_counts=1 # what the run has written down comes before the command's status
told_to_leave=0 # Slurm has sent the signal of --signal

# --- what Slurm says ----------------------------------------------------------------------------------------------

# An element of an array by both its numbers: the number of the array alone would mean all elements.
job_id() { echo "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"; }

job_field() { # NAME -> its value in `scontrol show job`, or nothing
  scontrol show job --oneliner "$(job_id)" 2>/dev/null | sed -n "s/.* $1=\([^ ]*\).*/\1/p" | head -n 1
}

preempted() {
  local time
  time=$(job_field PreemptTime)
  [[ ${time:-None} != None ]]
}

# scancel, or preemption without grace, after which Slurm queues the job again itself. A job that is cancelled could
# still be queued again, so this has to be asked.
ended_by_slurm() { [[ $(job_field JobState) != RUNNING && $(job_field Reason) != TimeLimit ]]; }

# Slurm signals up to a minute early, and a program may stop before that by its own reckoning.
end_is_near() {
  local end
  end=$(date -d "$(job_field EndTime)" +%s 2>/dev/null) || return 1
  ((end - $(date +%s) < 300))
}

# --- what the run says --------------------------------------------------------------------------------------------

# A field of status.json; nothing if it is null, or this attempt has not written the file.
status_field() { # NAME
  local file="$run_folder/status.json"
  if [[ -n $run_folder && -e $file && $file -nt $start_mark ]]; then
    sed -n "s/^ *\"$1\": *\"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" "$file" | sed '/^null$/d' | head -n 1
  fi
}

# srun returns the highest status of any task, which a killed neighbour hides; what rank 0 wrote down comes first.
final_status() { # STATUS_OF_LAUNCHER
  local written
  written=$(status_field exit_code)
  echo "${written:-$1}"
}

# How far the run has come: its newest checkpoint, and the bytes of finished work that it has written down. The first
# line of a log of work is its head, which comes back with each attempt.
progress() {
  local file bytes=0
  [[ -n $run_folder ]] || return 0
  for file in "$run_folder"/{,rounds/*/}work/*.log; do
    [[ ! -f $file ]] || bytes=$((bytes + $(stat -c %s "$file") - $(head -n 1 "$file" | wc -c)))
  done
  { find "$run_folder/checkpoints" "$run_folder/rounds" -path '*/step-*/manifest.json' 2>/dev/null || true; } |
    sort -V | tail -n 1
  echo "$bytes"
}

has_progressed() { [[ $(progress) != "$progress_at_start" ]]; }

# --- the attempt --------------------------------------------------------------------------------------------------

# shellcheck disable=SC2317  # called by traps
ask_to_save() { # SIGNAL
  if [[ $1 == USR1 ]]; then
    told_to_leave=1
    say "Slurm will end this attempt soon: telling the ranks to save"
  else
    say "$1: telling the ranks to save and stop"
  fi
  [[ -z $child ]] || kill -USR1 "$child" 2>/dev/null || true
}

# Runs the command to its end; `wait` returns early for each signal, so it is asked until the job is really over.
attempt() { # COMMAND...
  local status=0
  "$@" &
  child=$!
  wait "$child" || status=$?
  while kill -0 "$child" 2>/dev/null; do
    wait "$child" || true
  done
  # The shell remembers the status of a job that has ended; a first `wait` that a signal ended has not seen it.
  if ((status > 128)); then
    status=0
    wait "$child" || status=$?
  fi
  return "$status"
}

# --- what follows -------------------------------------------------------------------------------------------------

queue_again() { # WHY
  if ((restarts >= max_restarts)); then
    warn "$1, but this was restart $restarts of at most $max_restarts: not queued again"
    return
  fi
  say "$1: queued again (restart $((restarts + 1)) of at most $max_restarts)"
  # Where this works, Slurm ends the script here.
  scontrol requeue "$(job_id)" || warn "Slurm does not queue it again; submit the same job again to go on"
}

# Stopped, and can go on: by itself if it was Slurm that needed the nodes.
settle_stopped() {
  local reason
  reason=$(status_field stop_reason)
  if [[ $reason == request ]]; then
    say "stopped on request; submit the same job again to go on"
  elif ended_by_slurm; then
    say "saved; Slurm has ended this job. Unless it queues it again itself, submit it again to go on"
  elif preempted; then
    queue_again "saved, because another job needs the nodes"
  elif ((told_to_leave)) || [[ $reason == time ]] || { [[ -z $reason ]] && end_is_near; }; then
    if has_progressed; then
      queue_again "saved before the time limit"
    else
      warn "the time limit came before anything was finished: not queued again; --time is too short for this job"
    fi
  else
    say "stopped on request; submit the same job again to go on"
  fi
}

settle_crashed() { # STATUS
  if ended_by_slurm; then
    say "Slurm has ended this job (status $1)"
  elif preempted; then
    queue_again "ended (status $1), because another job needs the nodes"
  elif has_progressed; then
    queue_again "ended abnormally (status $1) after some progress"
  else
    say "ended abnormally (status $1) no further than it began: not queued again"
  fi
}

settle() { # STATUS
  if [[ $1 == 70 && $(status_field stop_reason) == hang ]]; then
    settle_crashed 70 # perhaps the node's fault, or the network's
    return
  fi
  case $1 in
    0) say "finished, every gate passed: $run_folder" ;;
    3) say "finished, a gate failed: $run_folder/status.json says which" ;;
    64 | 65 | 69 | 70 | 74) say "ended with status $1; the log above says why. Not queued again: it would end the same" ;;
    75) settle_stopped ;;
    *) settle_crashed "$1" ;;
  esac
}

attempt_and_settle() { # COMMAND...
  local status=0
  # Slurm queues a job again by itself after preemption without grace, or when a node fails.
  ((restarts <= max_restarts)) || fail 75 "restart $restarts, and at most $max_restarts are allowed (TERCET_MAX_RESTARTS)"
  start_mark=$(mktemp)
  # shellcheck disable=SC2064  # this file, whatever the name means later
  trap "rm -f '$start_mark'" EXIT
  progress_at_start=$(progress)
  trap 'ask_to_save USR1' USR1
  trap 'ask_to_save TERM' TERM
  say "job $(job_id), attempt $((restarts + 1)), on ${SLURM_JOB_NODELIST:-this machine}"
  attempt "$@" || status=$?
  ((status_file_counts == 0)) || status=$(final_status "$status")
  settle "$status"
  exit "$status"
}
