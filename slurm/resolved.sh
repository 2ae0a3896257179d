#!/usr/bin/env bash
# One long run in as many jobs as it takes: told to stop before its time limit, it writes a checkpoint and is queued again.
#   slurm/resolved.sh [WORDS …]            submits it; where there is no Slurm, runs it here
#   LOCAL=1 slurm/resolved.sh [WORDS …]    runs it here in any case
# WORDS go to dfx-homog, as: --set time.dt=0.005
set -a
FILE=${FILE:-runs/wavy-2d.toml}   # run file
COMMAND=${COMMAND:-resolved}      # or homogenised, convergence, rve, cell
OUT=${OUT:-runs/out/resolved}     # results
RANKS=${RANKS:-2}
NODES=${NODES:-1}
TIME=${TIME:-04:00:00}            # of one job
MINUTES=${MINUTES:-}              # without Slurm: of one piece, if it is to be run in pieces

DFX_TOP=${DFX_TOP:-${SLURM_SUBMIT_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)}} study=resolved
set +a
. "$DFX_TOP/slurm/common.sh"

compile() { compile_for "$COMMAND" "$FILE" "$@"; }

job_run() { until_done "$RANKS" "$OUT" "$COMMAND" "$FILE" "$@"; }

locally() { job_run "$@"; }

submit_all() {
    local job
    job=$(submit run "$RANKS" "$NODES" "$TIME" -- "$@") || return
    said "$job" "$COMMAND $FILE, log in $OUT/slurm"
}

main "$@"
