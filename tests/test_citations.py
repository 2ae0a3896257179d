"""What `citations` prints for a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mpi4py import MPI

from dfx_homog import citations, cli
from dfx_homog.io.provenance import write_run_toml
from dfx_homog.runfile import load

RUNS = Path(__file__).resolve().parents[1] / "runs"
WORKS = [value for value in vars(citations).values() if isinstance(value, citations.Work)]


def keys(name: str, *overrides: str) -> set[str]:
    """Keys of the works that a shipped run file rests on."""
    return {citation.work.key for citation in citations.cited(load(RUNS / name, overrides))}


def test_works_are_told_apart() -> None:
    assert len({work.key for work in WORKS}) == len({work.doi for work in WORKS}) == len(WORKS)


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.key)
def test_entry(work: citations.Work) -> None:
    """Every author, a registrant's DOI, the year in the key, and a BibTeX entry with all its braces."""
    assert re.fullmatch(r"10\.\d{4,5}/\S+", work.doi)
    assert work.key.endswith(str(work.year))
    assert work.bibtex.count("{") == work.bibtex.count("}")
    for author in work.authors.split(" and "):
        assert author.split()[-1] in work.line


def test_what_a_run_uses_decides() -> None:
    study = keys("quickstart.toml")
    assert {"hunt2020", "geuzaine2009", "hashin1962", "baratta2023", "henson2002"} <= study
    assert not {"kanit2003", "amestoy2001", "doyle1993"} & study
    assert "amestoy2001" in keys("quickstart.toml", "solver.preset=direct")
    spheres = keys("dfn-lgm50.toml")
    assert "doyle1993" in spheres
    assert not {"geuzaine2009", "hashin1962"} & spheres
    assert "chen2020" in keys("chen2020.toml")
    assert {"ecker2015", "ecker2-2015"} <= keys("ecker2015.toml")
    samples = keys("rve-gaussian.toml")
    assert "kanit2003" in samples
    assert "geuzaine2009" not in samples


@pytest.mark.mpi
def test_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """List and BibTeX once, by rank 0."""
    comm = MPI.COMM_WORLD
    folder = comm.bcast(tmp_path, root=0)
    write_run_toml(load(RUNS / "quickstart.toml"), folder, comm)
    assert cli.main(["citations", str(folder)]) == 0
    text = capfd.readouterr().out
    if comm.rank == 0:
        assert text.count("doi:10.1007/s10665-020-10045-8") == 1
        assert text.count("@article{hunt2020,") == 1
    else:
        assert text == ""
