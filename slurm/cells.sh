#!/usr/bin/env bash
# Effective tensors of many images: a job array, one job an image.
#   slurm/cells.sh [WORDS …]            submits it; where there is no Slurm, runs it here, one image after the other
#   LOCAL=1 slurm/cells.sh [WORDS …]    runs it here in any case
# WORDS go to dfx-homog, as: --set microstructure.electrode.invert=true
set -a
IMAGES=${IMAGES:-images/*.tif}    # file names or patterns
FILE=${FILE:-runs/image-2d.toml}  # run file: all but the image
NAME=${NAME:-graphite}            # the microstructure in it whose image is replaced
OUT=${OUT:-runs/out/cells}        # results, in a folder for each image
RANKS=${RANKS:-2}                 # of one image
NODES=${NODES:-1}
TIME=${TIME:-01:00:00}            # of one job
AT_ONCE=${AT_ONCE:-20}            # jobs that run at the same time at most
MINUTES=${MINUTES:-}              # without Slurm: of one piece, if it is to be run in pieces

DFX_TOP=${DFX_TOP:-${SLURM_SUBMIT_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)}} study=cells
set +a
. "$DFX_TOP/slurm/common.sh"

# Sets images, in an order that does not depend on the machine.
find_images() {
    shopt -s nullglob
    local LC_ALL=C
    # patterns are meant to be expanded
    # shellcheck disable=SC2206
    images=($IMAGES)
    [ ${#images[@]} -gt 0 ] || fail 2 "IMAGES=$IMAGES: no such files"
}

# one NUMBER WORDS …
one() {
    local image=${images[$1]} stem
    shift
    [ -e "$image" ] || fail 2 "$image: no such file"
    stem=$(basename "$image")
    until_done "$RANKS" "$OUT/${stem%.*}" cell "$FILE" --set "microstructure.$NAME.file=\"$(realpath "$image")\"" "$@"
}

compile() { compile_for cell "$FILE" --set "microstructure.$NAME.file=\"$(realpath "${images[0]}")\"" "$@"; }

job_run() { one "${SLURM_ARRAY_TASK_ID:?}" "$@"; }

# An image that fails does not keep the others from being solved.
locally() {
    local number status=0
    for number in "${!images[@]}"; do one "$number" "$@" || status=$?; done
    return $status
}

submit_all() {
    local job
    job=$(submit run "$RANKS" "$NODES" "$TIME" --array="0-$((${#images[@]} - 1))%$AT_ONCE" \
        --output="$OUT/slurm/%x-%A_%a.log" -- "$@") || return
    said "$job" "${#images[@]} images, logs in $OUT/slurm"
}

find_images
main "$@"
