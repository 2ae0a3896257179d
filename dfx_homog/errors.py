"""The ways in which a run ends without a result; cli.py turns each into its exit status."""


def printable(text: str) -> str:
    """`text` with what a terminal would obey or hide (escapes, marks of direction) spelt out, and all in UTF-8."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """`text` on one line, printable."""
    return printable(" ".join(text.split()))


def unreadable(error: Exception) -> str:
    """Why a parser did not take a text."""
    return "nested too deeply" if isinstance(error, RecursionError) else one_line(str(error))


class BadInput(Exception):
    """The input cannot be run: exit status 2.

    The message is one printable line that names the file, the key and what is allowed. In parallel it is raised on
    all ranks of the communicator, or on rank 0 before anything collective has begun.
    """

    def __init__(self, message: str):
        super().__init__(one_line(message))


class SolverFailure(Exception):
    """The solver gave up: exit status 3. The message says at which time and step; histories are on disk up to there."""


class StoppedEarly(Exception):
    """A signal or the wall-time limit ended the run after a checkpoint: exit status 75. Raised on all ranks."""
