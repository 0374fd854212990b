#!/bin/bash
# What a SLURM job runs on the node, outside the container:
#   in_job.sh MAX_REQUEUES COMMAND...
# COMMAND is python, or Apptainer with python. It is told of SIGUSR2 (the time limit is near) and
# SIGTERM (preemption, scancel); when it leaves with 75 (state saved, not done), the job goes back
# to the queue, at most MAX_REQUEUES times. Any other exit code becomes the job's own; 6 means that
# it was not run, having been requeued too often.
set -u
max_requeues=$1
shift
stopped_with_state_saved=75
requeued_too_often=6

job=$SLURM_JOB_ID
[[ -z ${SLURM_ARRAY_JOB_ID:-} ]] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
restarts=${SLURM_RESTART_COUNT:-0}
# SLURM's own requeues (a lost node, a preemption without grace) never come by the end of this
# script: without this line a task that ends its node would go round for ever.
if ((restarts > max_requeues)); then
  echo "gansfer: $job was requeued $restarts times, more than max_requeues ($max_requeues) allows"
  exit "$requeued_too_often"
fi

threads=${SLURM_CPUS_PER_TASK:-1}
export OMP_NUM_THREADS=$threads MKL_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads
export ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=$threads
# Shards are only read, and many shared file systems cannot lock.
export HDF5_USE_FILE_LOCKING=FALSE
# The code is what is installed, not what lies in the folder that was submitted from.
export PYTHONSAFEPATH=1
# Figures are files. A notebook's terminal names its own backend, which no node has.
export MPLBACKEND=Agg

# Caches and settings go to the node's own disk, never to $HOME, and a container is to see that
# disk, also where the command is Singularity.
# A TMPDIR of the login node (pam_tmpdir's, /run/user/...) comes along with the job and need not be
# there on the node; the last resort is the folder of the jobs, which every node sees.
scratch=
for local in "${SLURM_TMPDIR:-}" "${TMPDIR:-}" /tmp "$(dirname "$0")"; do
  [[ -n $local ]] || continue
  scratch=$(mktemp -d "$local/gansfer.XXXXXX" 2>/dev/null) && break
  echo "gansfer: no folder can be made in $local on $(uname -n); temporary files go elsewhere"
done
if [[ -z $scratch ]]; then
  echo "gansfer: nowhere to put caches on $(uname -n)"
  exit 1
fi
export TMPDIR=$local
[[ -z ${SLURM_TMPDIR:-} ]] || export SLURM_TMPDIR=$local
binds=${APPTAINER_BIND:-${SINGULARITY_BIND:-}}
[[ $local == /tmp ]] || binds=${binds:+$binds,}$local
[[ -z $binds ]] || export APPTAINER_BIND=$binds SINGULARITY_BIND=$binds
export APPTAINER_CONFIGDIR=$scratch/container
export XDG_CACHE_HOME=$scratch/cache MPLCONFIGDIR=$scratch/matplotlib
export CUDA_CACHE_PATH=$scratch/cuda TRITON_CACHE_DIR=$scratch/triton
export TORCHINDUCTOR_CACHE_DIR=$scratch/inductor

# Both signals start out ignored. Otherwise they would end a python that has not yet set its
# handlers, and the helper through which Apptainer mounts the image where it has no privileges:
# scancel and preemption signal every process of the job.
(
  trap '' USR2 TERM
  exec "$@"
) &
child=$!

# Told again every 5 s until it leaves: a signal that came before its handlers was ignored.
asked=
trap 'asked=USR2' USR2
trap 'asked=TERM' TERM
trap : ALRM
(
  trap '' USR2 TERM
  while sleep 5 && kill -ALRM $$ 2>/dev/null; do :; done
) &
ticker=$!
disown "$ticker" # no word in the log when it is ended
while kill -0 "$child" 2>/dev/null; do
  [[ -z $asked ]] || kill -s "$asked" "$child" 2>/dev/null
  wait "$child"
done
wait "$child"
code=$?
kill -KILL "$ticker" 2>/dev/null
rm -rf "$scratch"

# A container may die of the signal that its python was to handle, or of a bus error where that
# signal has ended the mount of its image: what was saved before counts. Any other death (KILL for
# memory, a segmentation fault) would only come again.
if [[ -n $asked && $code -gt 128 ]]; then
  case $(kill -l $((code - 128)) 2>/dev/null) in
    USR2 | TERM | BUS) code=$stopped_with_state_saved ;;
  esac
fi
[[ $code == "$stopped_with_state_saved" ]] || exit "$code"

trap '' USR2 TERM
if ((restarts >= max_requeues)); then
  what=stopped
  [[ $asked != USR2 ]] || what="met its time limit"
  echo "gansfer: $job $what after $restarts requeues, the most that max_requeues allows"
  exit "$code"
fi
for _ in 1 2 3 4 5; do
  # Where SLURM itself ends the job (scancel, or a preemption that requeues), or has started it
  # elsewhere since (this node was lost), its state says so, and what comes next is not ours to say.
  now=$(scontrol -o show job "$job" 2>/dev/null)
  if [[ -n $now && ! ("$now " == *" JobState=RUNNING "* && "$now " == *" Restarts=$restarts "*) ]]; then
    break
  fi
  if scontrol requeue "$job"; then
    echo "gansfer: $job requeued, $((restarts + 1)) of at most $max_requeues times"
    sleep 60 # SLURM ends this script meanwhile
    exit "$code"
  fi
  sleep 10
done
exit "$code"
