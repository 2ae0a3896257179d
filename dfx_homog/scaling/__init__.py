"""`dfx-homog scaling`: a command on several numbers of ranks and sizes of its problem, and a model of its time.

growth     run files of larger problems
measuring  a run as a child, and what of its result counts
model      times and memory fitted and extrapolated
command    the command line, the study, its files

Nothing here starts MPI: runs are children of this process (dfx_homog/launch.py).
"""
