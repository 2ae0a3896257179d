"""The verification book: cases (run files with a table [case]), what runs and compares them, and the pages.

A case is `runs/verification/NAME.toml`. `dfx-homog verify` runs its command as children on its numbers of ranks
(`running`), takes the quantities out of their results (`quantities`), keeps them in docs/verification/results/LANE/
NAME.json (`store`), compares them with what the run file expects (`verdict`), and writes the pages from these
alone (`pages`, `summary`). A case that needs more than a command is a check in Python, here in a module of its own:

    def my_check(run: Run, comm: MPI.Intracomm) -> Outcome: ...

with `command = "module.my_check"` in its run file. Imports nothing of the solvers.
"""

from dfx_homog.verification.outcome import NotHere, Outcome, Table, lines, loglog

__all__ = ["NotHere", "Outcome", "Table", "lines", "loglog"]
