# What is the same for all studies on one cluster; the submit scripts read it. A variable of the environment goes before its
# value here, so nothing need be edited: LAUNCH=srun slurm/resolved.sh
#
# How dfx-homog is started (LAUNCH), and what is needed for it:
#   wrapper    ./dfx -n RANKS, which makes its own environment; one node
#   srun       srun --mpi=PMI dfx-homog, of an environment that SETUP activates; any number of nodes
#   mpirun     mpirun -n RANKS dfx-homog, likewise
#   apptainer  srun --mpi=PMI apptainer exec IMAGE dfx-homog; any number of nodes
# Tried with Slurm: wrapper, mpirun and srun with Open MPI 5 and pmix on one node. Not tried: apptainer, MPICH, several nodes.
LAUNCH=${LAUNCH:-wrapper}
PMI=${PMI:-pmix}                       # srun --mpi=list has them: pmix for Open MPI, pmi2 (cray_shasta, …) for MPICH
IMAGE=${IMAGE:-dfx_homog.sif}          # LAUNCH=apptainer: made from env/apptainer.def
SETUP=${SETUP:-}                       # done first in every job, as 'module load …' or '. ~/conda/bin/activate dfx_homog'
SBATCH_OPTIONS=${SBATCH_OPTIONS:-}     # of all jobs, as '--account=A --partition=P --mem-per-cpu=4G'
CACHE=${CACHE:-}                       # folder that all nodes see for compiled forms; default: as the program has it
COMPILE=${COMPILE:-job}                # forms are compiled before the ranks start: job: there; submit: where the script
                                       # is called, for compute nodes without a compiler; no: by the ranks
LEAVE=${LEAVE:-300}                    # seconds before the time limit at which a run is told to stop
