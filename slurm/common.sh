# Part of the submit scripts, which source it after their parameters. Each of them has the functions
#   compile      compiles what the study needs, before ranks start, so that none of them waits for a compiler
#   submit_all   submits its jobs: where there is Slurm
#   job_STAGE    what a job does
#   locally      the same study without Slurm
# and ends with `main "$@"`. Words of a script's command line are further words of dfx-homog, in every job.

set -u
here=${DFX_TOP:?}/slurm
set -a # the jobs get these variables too
. "$here/cluster.sh"
set +a
export OMP_NUM_THREADS=1
[ -z "$CACHE" ] || export XDG_CACHE_HOME=$CACHE

fail() { printf '%s: %s\n' "$study" "$2" >&2; exit "$1"; }

main() {
    case $LAUNCH in wrapper | srun | mpirun | apptainer) ;; *) fail 2 "LAUNCH=$LAUNCH (allowed: wrapper, srun, mpirun, apptainer)" ;; esac
    case $COMPILE in job | submit | no) ;; *) fail 2 "COMPILE=$COMPILE (allowed: job, submit, no)" ;; esac
    [ -e "$FILE" ] || fail 2 "FILE=$FILE: no such file (allowed: a run file)"
    if [ -n "${LOCAL:-}" ] || { [ -z "${SLURM_JOB_ID:-}" ] && ! command -v sbatch >/dev/null; }; then
        LOCAL=1
        eval "$SETUP"
        [ $COMPILE = no ] || compile "$@" || return
        locally "$@"
    elif [ -n "${SLURM_JOB_ID:-}" ]; then
        [ -n "${STAGE:-}" ] || fail 2 "call $here/$study.sh itself, it submits its jobs"
        eval "$SETUP"
        [ $COMPILE != job ] || compile "$@" || return
        "job_$STAGE" "$@"
    else
        mkdir -p "$OUT/slurm" || exit 2
        [ $COMPILE != submit ] || { eval "$SETUP"; compile "$@" || exit; }
        submit_all "$@"
    fi
}

# submit STAGE RANKS NODES TIME OPTIONS …: prints the number of the job. OPTIONS: of sbatch, then -- and words.
submit() {
    local stage=$1 ranks=$2 nodes=$3 time=$4 options=()
    shift 4
    [ "$LAUNCH" != wrapper ] || [ "$nodes" = 1 ] || fail 2 "NODES=$nodes with LAUNCH=wrapper (allowed: 1, or another LAUNCH)"
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    # word splitting of SBATCH_OPTIONS is meant
    # shellcheck disable=SC2086
    STAGE=$stage sbatch --parsable --export=ALL --job-name="$study-$stage" --ntasks="$ranks" --nodes="$nodes" --time="$time" \
        --requeue --open-mode=append --signal="B:USR1@$LEAVE" --kill-on-invalid-dep=yes --output="$OUT/slurm/%x-%j.log" \
        $SBATCH_OPTIONS "${options[@]}" "$here/$study.sh" "$@" | cut -d';' -f1
    return "${PIPESTATUS[0]}"
}

said() { printf 'job %s: %s\n' "$1" "$2"; }

# Becomes dfx-homog on so many ranks: homog RANKS WORDS …
homog() {
    local ranks=$1
    shift
    case $LAUNCH in
        wrapper) exec "$DFX_TOP/dfx" -n "$ranks" "$@" ;;
        srun) exec srun --mpi="$PMI" -n "$ranks" dfx-homog "$@" ;;
        mpirun) exec mpirun -n "$ranks" dfx-homog "$@" ;;
        apptainer) exec srun --mpi="$PMI" -n "$ranks" apptainer exec "$IMAGE" dfx-homog "$@" ;;
    esac
}

# The same on one rank, without MPI's launcher.
alone() {
    case $LAUNCH in
        wrapper) "$DFX_TOP/dfx" "$@" ;;
        apptainer) apptainer exec "$IMAGE" dfx-homog "$@" ;;
        *) dfx-homog "$@" ;;
    esac
}

compile_for() { alone "$1" "$2" --compile-only "${@:3}"; }

# Seconds until Slurm ends the job; empty without a limit.
seconds_left() {
    local end=${SLURM_JOB_END_TIME:-} text # Slurm 23.11 and later say it
    if [ -z "$end" ] && [ -n "${SLURM_JOB_ID:-}" ]; then
        text=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e 2>/dev/null)
        end=$(date -d "$text" +%s 2>/dev/null)
    fi
    [ -z "$end" ] || echo $((end - EPOCHSECONDS))
}

# Words that end a run in time, should the signal not reach it: a fifth of LEAVE before the limit.
wall_time() {
    local left
    left=$(seconds_left)
    if [ -z "${LOCAL:-}" ] && [ -n "$left" ]; then
        awk -v left="$left" -v leave="$LEAVE" 'BEGIN { m = (left - leave / 5) / 60; print "--wall-time\n" (m > 0.1 ? m : 0.1) }'
    elif [ -n "${MINUTES:-}" ]; then
        printf '%s\n' --wall-time "$MINUTES"
    fi
}

# stoppable RANKS OUT COMMAND FILE WORDS …: one piece of a run, which goes on from the one before. Status 75: it was stopped.
# A signal that asks for the end goes to it as SIGUSR1. Sets cancelled where that was SIGTERM (scancel, preemption).
stoppable() {
    local ranks=$1 out=$2 command=$3 file=$4 pid status again='' limit
    shift 4
    mapfile -t limit < <(wall_time)
    (homog "$ranks" "$command" "$file" --out "$out" --restart "${limit[@]}" "$@") &
    pid=$!
    trap 'again=1; kill -USR1 $pid 2>/dev/null' USR1
    trap 'again=1 cancelled=1; kill -USR1 $pid 2>/dev/null' TERM INT
    while :; do
        wait $pid; status=$?
        [ -n "$again" ] || break
        again=''
    done
    trap - USR1 TERM INT
    return $status
}

# until_done RANKS OUT COMMAND FILE WORDS …: a run in as many pieces as it takes. On a workstation one after the other;
# under Slurm the job is queued again. Two pieces without anything new on disk end it: its time limit is too short.
until_done() {
    local out=$2 status stamp idle=0 cancelled=''
    while :; do
        stamp=$(mktemp) || return 1
        stoppable "$@"; status=$?
        if [ -n "$(finished_since "$stamp" "$out")" ]; then idle=0; else idle=$((idle + 1)); fi
        rm -f "$stamp"
        [ $status = 75 ] && [ -z "$cancelled" ] || return $status
        [ -n "${LOCAL:-}" ] || requeue "$out" "$idle"
        [ "$idle" -lt 2 ] || fail 1 "two pieces have brought $out no further: the time limit is too short"
    done
}

# A file that a piece has left behind for the next one.
finished_since() {
    find "$2" -newer "$1" \( \
        -path '*/checkpoint/step-*' -o -path '*/samples/*.json' -o -path '*/points/*.json' -o -name '*.kept' \) -print -quit 2>/dev/null
}

requeue() {
    local marks=$1/slurm/idle-$SLURM_JOB_ID
    if [ "$2" = 0 ]; then
        rm -f "$marks"
    elif [ -e "$marks" ]; then
        fail 1 "two jobs have brought $1 no further: the time limit is too short"
    else
        mkdir -p "$1/slurm" && touch "$marks"
    fi
    echo "$study: job $SLURM_JOB_ID goes on when it is started again"
    scontrol requeue "$SLURM_JOB_ID" || fail 75 "job $SLURM_JOB_ID cannot be queued again; submit it again, it goes on from there"
    sleep 60 # Slurm ends this job now
    exit 75
}
