#!/usr/bin/env bash
# A delta study as a chain of jobs: the homogenised run, a job for each level, a job for comparison and report. A job starts
# when the one before has succeeded; after a failure none does.
#   slurm/delta.sh [WORDS …]            submits it; where there is no Slurm, runs it here
#   LOCAL=1 slurm/delta.sh [WORDS …]    runs it here in any case
# WORDS go to dfx-homog, as: --set solver.preset=direct
set -a
FILE=${FILE:-runs/wavy-2d.toml}   # run file
OUT=${OUT:-runs/out/delta}        # results
LEVELS=${LEVELS:-3}               # levels of the run file: entries of convergence.periods
# Of the homogenised run, of each level, and of the report; where there are fewer entries, the last counts for the rest.
RANKS=${RANKS:-1 1 2}
NODES=${NODES:-1}
TIME=${TIME:-01:00:00}
MINUTES=${MINUTES:-}              # without Slurm: of one piece, if it is to be run in pieces

DFX_TOP=${DFX_TOP:-${SLURM_SUBMIT_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)}} study=delta
set +a
. "$DFX_TOP/slurm/common.sh"

# entry NUMBER LIST …: of the list, its last where it is shorter
entry() {
    local number=$1
    shift
    [ "$number" -lt $# ] || number=$(($# - 1))
    shift "$number"
    echo "$1"
}

# The lists are meant to be split.
# shellcheck disable=SC2086
ranks_of() { entry "$1" $RANKS; }

# level NUMBER WORDS …: the homogenised run (0) and the levels up to this one, of which those before are there
level() {
    local number=$1
    shift
    until_done "$(ranks_of "$number")" "$OUT" convergence "$FILE" --levels "$number" "$@"
}

compile() { compile_for convergence "$FILE" "$@"; }

job_level() { level "$LEVEL" "$@"; }

# All levels are there: what is left is to compare and to report.
job_report() {
    until_done "$(ranks_of $((LEVELS + 1)))" "$OUT" convergence "$FILE" --levels "$LEVELS" "$@" || return
    [ -e "$OUT/result.json" ] || fail 2 "LEVELS=$LEVELS, but $FILE has more (allowed: their number)"
}

locally() {
    local number
    for ((number = 0; number <= LEVELS; number++)); do level "$number" "$@" || return; done
    job_report "$@"
}

submit_all() {
    local number job='' after=()
    for ((number = 0; number <= LEVELS; number++)); do
        # shellcheck disable=SC2086
        job=$(LEVEL=$number submit level "$(ranks_of $number)" "$(entry $number $NODES)" "$(entry $number $TIME)" \
            "${after[@]}" --job-name="delta-$number" -- "$@") || return
        said "$job" "$([ $number = 0 ] && echo "the homogenised run" || echo "level $number"), log in $OUT/slurm"
        after=(--dependency="afterok:$job")
    done
    # shellcheck disable=SC2086
    job=$(submit report "$(ranks_of $number)" "$(entry $number $NODES)" "$(entry $number $TIME)" "${after[@]}" -- "$@") || return
    said "$job" "comparison and report"
}

main "$@"
