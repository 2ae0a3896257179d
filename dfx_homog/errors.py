"""The ways in which a run ends without a result; cli.py turns each into its exit status."""


class BadInput(Exception):
    """The input cannot be run: exit status 2.

    The message is one line that names the file, the key and what is allowed. In parallel it is raised on all
    ranks of the communicator, or on rank 0 before anything collective has begun.
    """


class SolverFailure(Exception):
    """The solver gave up: exit status 3. The message says at which time and step; histories are on disk up to there."""


class StoppedEarly(Exception):
    """A signal or the wall-time limit ended the run after a checkpoint: exit status 75. Raised on all ranks."""
