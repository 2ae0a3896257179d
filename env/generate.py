"""Writes Dockerfile, apptainer.def and environment.yml from packages.txt and pypi.txt: python3 env/generate.py"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
NOTE = (
    "# Made by env/generate.py from env/packages.txt and env/pypi.txt. Do not edit. "
    "Not run by our tests (docs/install.md)."
)
VARIABLES = {"OMP_NUM_THREADS": "1", "OMPI_MCA_btl": "self,sm"}


class Package(NamedTuple):
    debian: str
    conda: str | None
    reason: str


def read_packages() -> list[Package]:
    """The package list, in its order."""
    packages = []
    for line in (HERE / "packages.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            debian, conda, reason = line.split(maxsplit=2)
            packages.append(Package(debian, None if conda == "-" else conda, reason))
    return packages


def read_pypi() -> list[str]:
    """The pinned requirements from PyPI."""
    lines = (HERE / "pypi.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def install_command(packages: list[Package], line_end: str) -> str:
    names = f" {line_end}\n".join(f"        {package.debian}" for package in packages)
    return (
        f"apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {line_end}\n"
        f"{names} {line_end}\n"
        "    && rm -rf /var/lib/apt/lists/*"
    )


def dockerfile(packages: list[Package]) -> str:
    variables = " ".join(f"{name}={value}" for name, value in VARIABLES.items())
    return f"""{NOTE}
# docker build -t dfx_homog -f env/Dockerfile . && docker run --shm-size=1g -v "$PWD:$PWD" -w "$PWD" dfx_homog --help
FROM debian:trixie-slim
RUN {install_command(packages, chr(92))}
ENV {variables} OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
RUN python3 -m venv --system-site-packages /opt/dfx_homog
ENV PATH=/opt/dfx_homog/bin:$PATH
COPY . /src
RUN python3 -m pip install --no-build-isolation --no-deps {" ".join(read_pypi())} /src && rm -rf /src
ENTRYPOINT ["dfx-homog"]
"""


def apptainer(packages: list[Package]) -> str:
    variables = "\n".join(f"    export {name}={value}" for name, value in VARIABLES.items())
    return f"""Bootstrap: docker
From: debian:trixie-slim

{NOTE}
# apptainer build dfx_homog.sif env/apptainer.def && apptainer exec dfx_homog.sif mpirun -n 2 dfx-homog --help

%files
    . /src

%post
    {install_command(packages, chr(92))}
    python3 -m venv --system-site-packages /opt/dfx_homog
    /opt/dfx_homog/bin/python -m pip install --no-build-isolation --no-deps {" ".join(read_pypi())} /src
    rm -rf /src

%environment
    export PATH=/opt/dfx_homog/bin:$PATH
{variables}

%runscript
    exec dfx-homog "$@"
"""


def conda(packages: list[Package]) -> str:
    names = "\n".join(f"  - {package.conda}" for package in packages if package.conda)
    names += "\n  - pip:\n" + "\n".join(f"      - {requirement}" for requirement in read_pypi())
    # DOLFINx and PETSc must be the builds with one and the same MPI, and PETSc with real scalars.
    names = names.replace("- python\n", "- python >=3.11\n")
    names = names.replace("- fenics-dolfinx\n", "- fenics-dolfinx >=0.9,<0.12\n")
    names = names.replace("- petsc4py\n", "- petsc4py\n  - petsc =*=real*\n")
    return f"""{NOTE}
# conda env create -f env/environment.yml && conda activate dfx_homog && pip install --no-build-isolation --no-deps .
name: dfx_homog
channels:
  - conda-forge
dependencies:
{names}
"""


def recipes() -> dict[str, str]:
    """File name in env/ and what it must hold."""
    packages = read_packages()
    return {
        "Dockerfile": dockerfile(packages),
        "apptainer.def": apptainer(packages),
        "environment.yml": conda(packages),
    }


if __name__ == "__main__":
    for name, text in recipes().items():
        (HERE / name).write_text(text, encoding="utf-8")
