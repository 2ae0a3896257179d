"""`dfx-homog citations`: the works that a run rests on, with the reason why, as text and as BibTeX."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dfx_homog.errors import BadInput
from dfx_homog.runfile import Run, load

WIDTH = 14  # of the column of keys


@dataclass(frozen=True)
class Work:
    """A publication. key: of its BibTeX entry; authors: separated by " and "; place: journal, volume, pages."""

    key: str
    authors: str
    title: str
    place: str
    year: int
    doi: str

    @property
    def line(self) -> str:
        """For a reader."""
        names = self.authors.split(" and ")
        by = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        return f"{by}: {self.title}. {self.place} ({self.year}), doi:{self.doi}"

    @property
    def bibtex(self) -> str:
        """For a bibliography; the place stands in `journal` as it is printed."""
        fields = {
            "author": self.authors,
            "title": f"{{{self.title}}}",
            "journal": self.place,
            "year": str(self.year),
            "doi": self.doi,
        }
        body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        return f"@article{{{self.key},\n{body}\n}}"


HUNT = Work(
    "hunt2020",
    "M. J. Hunt and F. Brosa Planella and F. Theil and W. D. Widanage",
    "Derivation of an effective thermal electrochemical model for porous electrode batteries using asymptotic "
    "homogenisation",
    "Journal of Engineering Mathematics 122, 31-57",
    2020,
    "10.1007/s10665-020-10045-8",
)
DOYLE = Work(
    "doyle1993",
    "M. Doyle and T. F. Fuller and J. Newman",
    "Modeling of galvanostatic charge and discharge of the lithium/polymer/insertion cell",
    "Journal of the Electrochemical Society 140, 1526-1533",
    1993,
    "10.1149/1.2221597",
)
DOLFINX = Work(
    "baratta2023",
    "I. A. Baratta and J. P. Dean and J. S. Dokken and M. Habera and J. S. Hale and C. N. Richardson and "
    "M. E. Rognes and M. W. Scroggs and N. Sime and G. N. Wells",
    "DOLFINx: the next generation FEniCS problem solving environment",
    "Zenodo",
    2023,
    "10.5281/zenodo.10447666",
)
UFL = Work(
    "alnaes2014",
    "M. S. Alnaes and A. Logg and K. B. Oelgaard and M. E. Rognes and G. N. Wells",
    "Unified form language: a domain-specific language for weak formulations of partial differential equations",
    "ACM Transactions on Mathematical Software 40, 9",
    2014,
    "10.1145/2566630",
)
PETSC = Work(
    "dalcin2011",
    "L. D. Dalcin and R. R. Paz and P. A. Kler and A. Cosimo",
    "Parallel distributed computing using Python",
    "Advances in Water Resources 34, 1124-1139",
    2011,
    "10.1016/j.advwatres.2011.04.013",
)
HYPRE = Work(
    "henson2002",
    "V. E. Henson and U. M. Yang",
    "BoomerAMG: a parallel algebraic multigrid solver and preconditioner",
    "Applied Numerical Mathematics 41, 155-177",
    2002,
    "10.1016/S0168-9274(01)00115-5",
)
MUMPS = Work(
    "amestoy2001",
    "P. R. Amestoy and I. S. Duff and J.-Y. L'Excellent and J. Koster",
    "A fully asynchronous multifrontal solver using distributed dynamic scheduling",
    "SIAM Journal on Matrix Analysis and Applications 23, 15-41",
    2001,
    "10.1137/S0895479899358194",
)
MPI4PY = Work(
    "dalcin2021",
    "L. Dalcin and Y.-L. L. Fang",
    "mpi4py: status update after 12 years of development",
    "Computing in Science & Engineering 23, 47-54",
    2021,
    "10.1109/MCSE.2021.3083216",
)
GMSH = Work(
    "geuzaine2009",
    "C. Geuzaine and J.-F. Remacle",
    "Gmsh: a 3-D finite element mesh generator with built-in pre- and post-processing facilities",
    "International Journal for Numerical Methods in Engineering 79, 1309-1331",
    2009,
    "10.1002/nme.2579",
)
HASHIN = Work(
    "hashin1962",
    "Z. Hashin and S. Shtrikman",
    "A variational approach to the theory of the effective magnetic permeability of multiphase materials",
    "Journal of Applied Physics 33, 3125-3131",
    1962,
    "10.1063/1.1728579",
)
KANIT = Work(
    "kanit2003",
    "T. Kanit and S. Forest and I. Galliet and V. Mounoury and D. Jeulin",
    "Determination of the size of the representative volume element for random composites: statistical and "
    "numerical approach",
    "International Journal of Solids and Structures 40, 3647-3679",
    2003,
    "10.1016/S0020-7683(03)00143-4",
)

CHEN = Work(
    "chen2020",
    "C.-H. Chen and F. Brosa Planella and K. O'Regan and D. Gastol and W. D. Widanage and E. Kendrick",
    "Development of experimental techniques for parameterization of multi-scale lithium-ion battery models",
    "Journal of the Electrochemical Society 167, 080534",
    2020,
    "10.1149/1945-7111/ab9050",
)
ECKER_I = Work(
    "ecker2015",
    "M. Ecker and T. K. D. Tran and P. Dechent and S. Käbitz and A. Warnecke and D. U. Sauer",
    "Parameterization of a physico-chemical model of a lithium-ion battery: I. Determination of parameters",
    "Journal of the Electrochemical Society 162, A1836-A1848",
    2015,
    "10.1149/2.0551509jes",
)
ECKER_II = Work(
    "ecker2-2015",
    "M. Ecker and S. Käbitz and I. Laresgoiti and D. U. Sauer",
    "Parameterization of a physico-chemical model of a lithium-ion battery: II. Model validation",
    "Journal of the Electrochemical Society 162, A1849-A1857",
    2015,
    "10.1149/2.0541509jes",
)
MARQUIS = Work(
    "marquis2019",
    "S. G. Marquis and V. Sulzer and R. Timms and C. P. Please and S. J. Chapman",
    "An asymptotic derivation of a single particle model with electrolyte",
    "Journal of the Electrochemical Society 166, A3693-A3706",
    2019,
    "10.1149/2.0341915jes",
)
#: By the name of the parameter set, which is the `origin` of a run's parameters.
SOURCES = {"chen2020": (CHEN,), "ecker2015": (ECKER_I, ECKER_II), "marquis2019": (MARQUIS,)}


@dataclass(frozen=True)
class Citation:
    """A work, and the reason why a run cites it."""

    work: Work
    reason: str

    @property
    def bibtex(self) -> str:
        """Entry for a bibliography."""
        return self.work.bibtex


def cited(run: Run) -> Iterator[Citation]:
    """The works that a run rests on, each with the reason."""
    return (Citation(work, reason) for work, reason in _reasons(run))


def _reasons(run: Run) -> Iterator[tuple[Work, str]]:
    specs = run.microstructure.values()
    if run.parameters is not None:
        yield HUNT, "the equations, resolved and homogenised"
        if any(spec.geometry == "particle" for spec in specs):
            yield DOYLE, "porous electrodes with spherical particles, which `particle` describes"
    elif not all(spec.is_given for spec in specs):
        yield HUNT, "the cell problems and effective tensors"
    if not all(spec.is_given for spec in specs):
        yield HASHIN, "the bounds of the effective tensors"
    for work in SOURCES.get(str(getattr(run.parameters, "origin", None)), ()):
        yield work, "the parameters"
    if run.rve is not None:
        yield KANIT, "size of representative volumes"
    if run.meshes():
        yield GMSH, "meshes of the unit cells"
    yield DOLFINX, "finite elements"
    yield UFL, "weak forms and their derivatives"
    yield PETSC, "PETSc through petsc4py: linear solvers (the PETSc manual lists what to cite for each)"
    if run.solver.preset == "direct":
        yield MUMPS, "direct solver"
    else:
        yield HYPRE, "algebraic multigrid"
    yield MPI4PY, "message passing"


def recorded_run(folder: Path) -> Run:
    """The run whose results are in a folder. Raises BadInput if there is no run.toml that this version reads."""
    if not (folder / "run.toml").is_file():
        raise BadInput(f"{folder}: no run.toml there (allowed: a directory of results)")
    return load(folder / "run.toml")


def describe(run: Run) -> str:
    """What to cite for a run: a list with reasons, then BibTeX."""
    works = list(cited(run))
    lines = [f"{c.work.key:{WIDTH}} {c.reason}\n{'':{WIDTH}} {c.work.line}" for c in works]
    own = "dfx_homog itself: CITATION.cff at the top of its sources"
    return "\n".join([own, *lines, "", *(c.bibtex for c in works)])
