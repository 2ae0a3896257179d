#!/usr/bin/env bash
# Part of dfx, run inside the environment: mpirun.sh RANKS COMMAND … on this machine.
# No binding: two runs at once would be bound to the same cores. Ranks that wait leave their core to others.
ranks=$1
shift
export OMPI_MCA_mpi_yield_when_idle=1
exec mpirun -n "$ranks" --oversubscribe --bind-to none "$@"
