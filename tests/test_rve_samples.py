"""Which samples a study has, where they lie, who solves them, and what an interrupted study keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from dfx_homog.errors import BadInput, SolverFailure
from dfx_homog.runfile import Run
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.progress import Log
from dfx_homog.studies.rve_ensemble import Ensemble
from dfx_homog.studies.rve_samples import Sample, deal, derived_seed, digest, plan, stages, windows

RANDOM = {"geometry": "gaussian_field", "porosity": 0.4, "correlation_length": 2, "voxels": 12, "seed": 7}
LAYERS = {"geometry": "laminate", "dim": 2, "solid_fraction": 0.3, "normal": [1, 0], "mesh_size": 0.2}


def make_run(**changes: Any) -> Run:
    study = {"sizes": [1, 2], "realisations": 3, "conditions": ["periodic", "dirichlet"], **changes}
    return Run.model_validate({"microstructure": {"field": RANDOM, "layers": LAYERS}, "rve": study})


def overlap(a: Any, b: Any) -> bool:
    return all(x[0] < y[1] and y[0] < x[1] for x, y in zip(a, b, strict=True))


def test_windows_do_not_overlap_as_long_as_there_is_room() -> None:
    shape = (60, 40, 31)
    found = windows(shape, 1 / 3, 30, (0,))
    boxes = 3 * 3 * 3
    assert len(found) == len(set(found)) == 30
    assert not any(overlap(a, b) for a, b in combinations(found[:boxes], 2))
    for window in found:
        assert [b - a for a, b in window] == [20, 13, 10]
        assert all(a >= 0 and b <= n for (a, b), n in zip(window, shape, strict=True))
    assert (
        found == windows(shape, 1 / 3, 30, (0,)) and found[boxes:] != windows(shape, 1 / 3, 30, (1,))[boxes:]
    )


def test_first_windows_are_far_apart() -> None:
    two = windows((64, 64), 0.25, 2, (0,))
    assert two == [((0, 16), (0, 16)), ((48, 64), (48, 64))]
    assert windows((64, 64), 0.6, 1, (0,)) == [((13, 51), (13, 51))]  # in the middle
    assert windows((64, 48), 1.0, 5, (0,)) == [((0, 64), (0, 48))]


def test_seeds_agree_with_cell_and_differ_otherwise() -> None:
    samples, _ = plan(make_run(), {})
    seeds = [s.seed for s in samples if s.microstructure == "field"]
    assert seeds[0] == 7 and len(set(seeds)) == 6
    assert seeds[1] == derived_seed(7, 0, 1, own=False) == plan(make_run(), {})[0][1].seed


def test_a_periodic_structure_is_one_sample() -> None:
    samples, remarks = plan(make_run(), {})
    layers = [s for s in samples if s.microstructure == "layers"]
    assert [(s.size, s.realisation, s.seed) for s in layers] == [(1, 0, None), (2, 0, None)]
    assert len(remarks) == 2 and all("layers" in r and "only once" in r for r in remarks)
    assert len({s.file_name for s in samples}) == len(samples) == 8


def test_deal_balances_the_largest_first() -> None:
    hands = deal([1, 1, 1, 1, 4], 2)
    assert sorted(hands) == [[0, 1, 2, 3], [4]]
    assert sorted(p for hand in deal([3.0] * 7, 3) for p in hand) == list(range(7))


def some(count: int, cost: float) -> list[Sample]:
    return [Sample("a", 1.0, 0, i, 0, None, cost) for i in range(count)]


def test_ranks_of_a_sample() -> None:
    assert [(r, len(s)) for r, s in stages(some(8, 1e6), 4, 0)] == [(1, 8)]
    assert [(r, len(s)) for r, s in stages(some(2, 1e6), 8, 0)] == [(4, 2)]  # few samples share the ranks
    big, small = some(8, 125e6), some(8, 1e6)
    assert [(r, s[0].cost) for r, s in stages(big + small, 8, 0)] == [(6, 125e6), (1, 1e6)]
    assert [(r, len(s)) for r, s in stages(big + small, 8, 3)] == [(3, 16)]
    assert stages(big, 2, 5)[0][0] == 2 and stages([], 2, 0) == []


def test_digest_changes_with_everything_that_matters() -> None:
    run = make_run()
    sample, other = plan(run, {})[0][:2]
    base = digest(run, sample, ("periodic",), (), "")
    assert base == digest(make_run(sizes=[1, 4]), sample, ("periodic",), (), "")
    others = [
        digest(run, other, ("periodic",), (), ""),
        digest(run, sample, ("flux",), (), ""),
        digest(run, sample, ("periodic",), ("-x",), ""),
        digest(run, sample, ("periodic",), (), "1"),
        digest(make_run(quantity="B"), sample, ("periodic",), (), "1"),
        digest(
            Run.model_validate(
                {"microstructure": {"field": {**RANDOM, "porosity": 0.5}}, "rve": {"sizes": [1]}}
            ),
            sample,
            ("periodic",),
            (),
            "",
        ),
    ]
    assert base not in others and len(set(others)) == len(others) - 1  # B is the default


class Stub:
    """Solver of samples that are numbers; fails for one of them."""

    calls: list[str]

    def __init__(self, comm: MPI.Intracomm, calls: list[str], fail: int | None = None):
        self.comm, self.calls, self.fail = comm, calls, fail

    def records(self, sample: Sample) -> list[dict[str, Any]]:
        if self.comm.rank == 0:
            self.calls.append(sample.file_name)
        if sample.realisation == self.fail:
            raise SolverFailure("gave up")
        return [{"value": sample.realisation**2, "condition": c} for c in ("periodic", "flux")]


@pytest.fixture
def folder() -> Iterator[Path]:
    comm = MPI.COMM_WORLD
    out = Path(comm.bcast(mkdtemp() if comm.rank == 0 else ""))
    if comm.rank == 0:
        (out / "samples").mkdir()
    comm.barrier()
    yield out
    comm.barrier()
    if comm.rank == 0:
        rmtree(out)


def ensemble(out: Path, count: int, wanted: int, digest: str = "x") -> Ensemble:
    samples = some(count, 1.0)
    comm = MPI.COMM_WORLD
    digests = {s.file_name: digest for s in samples}
    log, interrupt = Log(comm, out, quiet=True), Interrupt(comm, RunOptions(out))
    return Ensemble(comm, out / "samples", samples, digests, wanted, log, interrupt)


def solved(comm: MPI.Intracomm, calls: list[str]) -> int:
    return len([name for part in comm.allgather(calls) for name in part])


@pytest.mark.mpi
@pytest.mark.mpi3
@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_every_sample_once_and_in_order(folder: Path, wanted: int) -> None:
    calls: list[str] = []
    records = ensemble(folder, 5, wanted).run(lambda group: Stub(group, calls))
    assert [r["value"] for r in records] == [0, 0, 1, 1, 4, 4, 9, 9, 16, 16]
    assert solved(MPI.COMM_WORLD, calls) == 5
    if MPI.COMM_WORLD.rank == 0:
        assert "5/5" in (folder / "log.txt").read_text()


@pytest.mark.mpi
@pytest.mark.mpi3
def test_restart_computes_what_is_missing_or_of_other_input(folder: Path) -> None:
    comm, calls = MPI.COMM_WORLD, []
    first = ensemble(folder, 5, 1).run(lambda group: Stub(group, []))
    if comm.rank == 0:
        files = sorted((folder / "samples").glob("*.json"))
        files[1].unlink()
        files[2].write_text(files[2].read_text()[:20])  # cut off
        data = json.loads(files[4].read_text())
        files[4].write_text(json.dumps(data | {"digest": "y"}))
    comm.barrier()
    assert ensemble(folder, 5, 1).run(lambda group: Stub(group, calls)) == first
    names = {name for part in comm.allgather(calls) for name in part}
    assert names == {f"a-00-0000{i}.json" for i in (1, 2, 4)}


@pytest.mark.mpi
@pytest.mark.mpi3
def test_failure_of_one_sample_ends_all_and_keeps_the_others(folder: Path) -> None:
    comm = MPI.COMM_WORLD
    with pytest.raises(SolverFailure, match=r"a, size 1, realisation 2: gave up"):
        ensemble(folder, 3, 1).run(lambda group: Stub(group, [], fail=2))
    calls: list[str] = []
    comm.barrier()
    before = len(list((folder / "samples").glob("*.json")))
    assert comm.bcast(before) < 3
    comm.barrier()
    records = ensemble(folder, 3, 1).run(lambda group: Stub(group, calls))
    assert [r["value"] for r in records][::2] == [0, 1, 4]
    assert solved(comm, calls) == 3 - comm.bcast(before)


@pytest.mark.mpi
def test_bad_input_of_a_sample_names_it(folder: Path) -> None:
    class Refuse(Stub):
        def records(self, sample: Sample) -> list[dict[str, Any]]:
            raise BadInput("voxels: too many")

    with pytest.raises(BadInput, match="a, size 1, realisation 0: voxels"):
        ensemble(folder, 1, 0).run(lambda group: Refuse(group, []))


def test_lattice_of_windows_covers_edges() -> None:
    """Boxes are spread over the whole edge, not packed at its start."""
    found = np.array(windows((100,), 0.3, 3, (0,)))
    assert sorted(found[:, 0, 0].tolist()) == [0, 35, 70]
