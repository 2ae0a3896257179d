#!/usr/bin/env bash
# An ensemble of samples for representative volumes: a job array, each job a share of the samples, and a job that puts
# them together.
#   slurm/rve.sh [WORDS …]            submits it; where there is no Slurm, runs it here, one share after the other
#   LOCAL=1 slurm/rve.sh [WORDS …]    runs it here in any case
# WORDS go to dfx-homog, as: --set rve.realisations=40
set -a
FILE=${FILE:-runs/rve-gaussian.toml} # run file
OUT=${OUT:-runs/out/rve}             # results
SHARES=${SHARES:-4}                  # jobs that the samples are dealt out to
RANKS=${RANKS:-2}                    # of one share
NODES=${NODES:-1}
TIME=${TIME:-02:00:00}               # of one job
AT_ONCE=${AT_ONCE:-20}               # jobs that run at the same time at most
MINUTES=${MINUTES:-}                 # without Slurm: of one piece, if it is to be run in pieces

DFX_TOP=${DFX_TOP:-${SLURM_SUBMIT_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)}} study=rve
set +a
. "$DFX_TOP/slurm/common.sh"

# one NUMBER WORDS …
one() {
    local number=$1
    shift
    until_done "$RANKS" "$OUT/share-$number" rve "$FILE" --share "$number/$SHARES" "$@"
}

compile() { compile_for rve "$FILE" "$@"; }

job_run() { one "${SLURM_ARRAY_TASK_ID:?}" "$@"; }

# All samples are there: they are evaluated together.
job_merge() {
    mkdir -p "$OUT/samples" && cp "$OUT"/share-*/samples/*.json "$OUT/samples/" || return
    until_done 1 "$OUT" rve "$FILE" "$@"
}

locally() {
    local number
    for ((number = 1; number <= SHARES; number++)); do one "$number" "$@" || return; done
    job_merge "$@"
}

submit_all() {
    local job merge
    job=$(submit run "$RANKS" "$NODES" "$TIME" --array="1-$SHARES%$AT_ONCE" --output="$OUT/slurm/%x-%A_%a.log" -- "$@") || return
    said "$job" "$SHARES shares of the samples, logs in $OUT/slurm"
    merge=$(submit merge 1 1 "$TIME" --dependency="afterok:$job" -- "$@") || return
    said "$merge" "puts them together"
}

main "$@"
