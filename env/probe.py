"""Is this Python's DOLFINx one that dfx_homog can use? Prints its version, or says on one line why not."""

import importlib.util
import sys


def main() -> str:
    if importlib.util.find_spec("dolfinx") is None:
        sys.exit("no DOLFINx")
    if sys.version_info < (3, 11):  # noqa: UP036 (this file meets any Python)
        sys.exit("Python is older than 3.11")
    import dolfinx
    from petsc4py import PETSc

    version = tuple(int(part) for part in dolfinx.__version__.split(".")[:2])
    if not (0, 9) <= version < (0, 12):
        sys.exit(f"DOLFINx is {dolfinx.__version__}, not 0.9 to 0.11")
    if issubclass(PETSc.ScalarType, complex):
        sys.exit("PETSc has complex scalars, not real ones")
    for name in ("gmsh", "mpi4py", "pip"):
        if importlib.util.find_spec(name) is None:
            sys.exit(f"there is no Python module {name}")
    return dolfinx.__version__


print(main())
