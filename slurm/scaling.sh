#!/usr/bin/env bash
# A scaling study: one job of the largest size, inside which every point is a run of its own on its number of ranks.
#   slurm/scaling.sh [WORDS …]            submits it; where there is no Slurm, runs it here
#   LOCAL=1 slurm/scaling.sh [WORDS …]    runs it here in any case
# WORDS go to dfx-homog, as: --set scaling.repetitions=3
set -a
FILE=${FILE:-runs/scaling/resolved.toml} # run file with a table [scaling]
COMMAND=${COMMAND:-resolved}      # the one that the table names: its forms are compiled before
OUT=${OUT:-runs/out/scaling}      # results
RANKS=${RANKS:-2}                 # the most that the table names
NODES=${NODES:-1}
TIME=${TIME:-02:00:00}            # of one job; SBATCH_OPTIONS=--exclusive keeps other jobs off its nodes

DFX_TOP=${DFX_TOP:-${SLURM_SUBMIT_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)}} study=scaling
set +a
. "$DFX_TOP/slurm/common.sh"

compile() { compile_for "$COMMAND" "$FILE" "$@"; }

# The command starts ranks itself, and has no time limit of its own: points that are not measured are left to the next job.
homog() {
    shift
    case $LAUNCH in
        wrapper) exec "$DFX_TOP/dfx" "$@" ;;
        *) exec dfx-homog "$@" ;;
    esac
}

wall_time() { :; }

job_run() {
    local launcher=()
    case $LAUNCH in
        srun) launcher=(--launcher "srun --mpi=$PMI -n {ranks}") ;;
        mpirun) launcher=(--launcher 'mpirun -n {ranks}') ;;
        apptainer) fail 2 "LAUNCH=apptainer: not for this study (allowed: wrapper, srun, mpirun)" ;;
    esac
    until_done "$RANKS" "$OUT" scaling "$FILE" "${launcher[@]}" "$@"
}

locally() { job_run "$@"; }

submit_all() {
    local job
    job=$(submit run "$RANKS" "$NODES" "$TIME" -- "$@") || return
    said "$job" "scaling $FILE, log in $OUT/slurm"
}

main "$@"
