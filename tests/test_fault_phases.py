"""What goes wrong on one rank of two, in any phase of any command: all ranks end within ENDS seconds, with one message
and the right status, no process is left, and what was saved is good for a restart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import LIMIT, command_line, dfx, environment, history, ranks_of
from small_runs import CALLS

FAULTY = str(Path(__file__).with_name("faulty.py"))
ENDS = 10.0
STUDIES = "dfx_homog.studies"
#: Exit status by kind of fault; None: any but those that mean something else.
STATUS = {"bug": 1, "exit": 1, "native": 1, "bad": 2, "memory": 3, "full": 3, "denied": 3, "solver": 3}
#: What the one message says.
SAYS = {
    "exit": "SystemExit",
    "memory": "out of memory",
    "full": "No space left",
    "denied": "Permission denied",
}
SAYS |= {"native": "incompatible function arguments", "segv": "Segmentation fault", "kill": "signal 9"}
SAYS |= {"abort": "Aborted"}


@dataclass(frozen=True)
class Fault:
    """What goes wrong, where and when; restart: in the call that goes on after a finished one."""

    call: str
    place: str
    number: int = 1
    kind: str = "bug"
    rank: int = 1
    restart: bool = False

    def __str__(self) -> str:
        where = self.place.rpartition(":")[2]
        return f"{self.call}-{where}-{self.kind}-on-{self.rank}"


PHASES = [
    Fault("resolved", "dfx_homog.cli:load", rank=0),  # reading
    Fault("resolved", "dfx_homog.io.lock:share"),
    Fault("resolved", "dfx_homog.studies.unit_cells:_make", kind="memory", rank=0),  # gmsh
    Fault("resolved", "dfx_homog.studies.unit_cells:_make", kind="native", rank=0),
    Fault("resolved", "dfx_homog.studies.unit_cells:_make", kind="exit", rank=0),
    Fault("resolved", "dfx_homog.models.resolved:tile_mesh"),  # tiling
    Fault("resolved", "dfx_homog.models.resolved:build_layout", kind="memory"),  # numbering
    Fault("resolved", "dfx_homog._compat:compile_form", 2),  # compilation of forms
    Fault(
        "resolved", "dfx_homog.models.resolved:BlockAssembly.assemble", 2, "memory"
    ),  # in a callback of PETSc
    Fault("resolved", "dfx_homog.solvers.border:BorderedPreconditioner.setUp", 1, "native"),
    Fault("resolved", "dfx_homog.solvers.border:BorderedPreconditioner.apply", 3, "exit"),
    Fault("resolved", "dfx_homog.solvers.border:BorderedPreconditioner.apply", 3, "segv"),
    Fault("resolved", "dfx_homog.solvers.border:BorderedPreconditioner.apply", 3, "abort"),
    Fault("resolved", "dfx_homog.solvers.border:BorderedPreconditioner.apply", 3, "kill"),
    Fault("resolved", "dfx_homog.io.history_file:HistoryFile._write", 2, "full", rank=0),
    Fault("resolved", "dfx_homog.io.history_file:HistoryFile._write", 2, "denied", rank=0),
    Fault("resolved", "dfx_homog.io.history_file:HistoryFile._write", 2, "bug", rank=0),
    Fault("resolved", "dfx_homog.io.fields:FieldWriter.write", 1, "full"),
    Fault("resolved", "dfx_homog.io.checkpoint:_write", 2, "denied"),
    Fault("resolved", "dfx_homog.io.checkpoint:_publish", 2, "full", rank=0),
    Fault("resolved", "dfx_homog.io.checkpoint:_publish", 2, "kill", rank=0),
    Fault("resolved", "dfx_homog.io.checkpoint:load", 1, restart=True),
    Fault("resolved", "dfx_homog.io.checkpoint:_digests", 1, "denied", restart=True),
    Fault("resolved", "dfx_homog.studies.simulate:pictures.resolved_mesh"),
    Fault("resolved", "dfx_homog.report:write_report", 1, "memory", rank=0),
    Fault("resolved", "dfx_homog.report:write_report", 1, "denied", rank=0),
    Fault("report", "dfx_homog.report:write_report", 1, rank=0),
    Fault("check", "dfx_homog.studies.check:describe", 1, rank=0),
    Fault("homogenised", "dfx_homog.models.particle_steps:_CondensedStep.evaluate", 3, "native"),
    Fault("homogenised", "dfx_homog.models.particle_steps:_CondensedStep.evaluate", 3, "memory"),
    Fault("homogenised", "dfx_homog.models.particle_steps:_CondensedStep.finish", 1),
    Fault("homogenised", "dfx_homog.models.cell_problem:CellProblem.solve", 2, "memory"),
    Fault("homogenised-2d", "dfx_homog.models.homogenised:build_layout", 1),
    Fault("wall-law", "dfx_homog.models.strip:_Strip.resistances", 1),
    Fault("cell", "dfx_homog.models.cell_problem:_System.solve", 1, "native"),
    Fault("cell", "dfx_homog.io.kept:save", -1),
    Fault("voxels", "dfx_homog.voxels.image:_gaussian_field", 1, "memory"),
    Fault("voxels", "dfx_homog.voxels.operators:VoxelOperator.apply", 2, "native"),
    Fault("voxels", "dfx_homog.voxels.multigrid:VoxelLevel.restrict", 1),
    Fault("rve", "dfx_homog.studies.rve_solve:sample_grid", 2, "memory"),
    Fault("rve", "dfx_homog.studies.rve_solve:solve_voxels", 2, "solver"),
    Fault("rve", "dfx_homog.studies.rve_ensemble:read_sample", 3, rank=0),
    Fault("rve-meshes", "dfx_homog.models.cell_problem:CellProblem.solve", 2),
    Fault("battery", "dfx_homog.models.battery.cells:observed", 1, "native"),
    Fault("battery", "dfx_homog.models.battery.heat:BatteryHeat.solve", 2, "memory"),
    Fault("convergence", "dfx_homog.studies.comparison:Comparison.errors", 1),
    Fault("convergence", "dfx_homog.studies.convergence:take_state", 2, "memory"),
    Fault("stacks", "dfx_homog.studies.stacks:temperature_errors", 1),
]
FAST = {
    "resolved-BorderedPreconditioner.apply-exit-on-1",
    "homogenised-_CondensedStep.evaluate-memory-on-1",
    "voxels-VoxelOperator.apply-native-on-1",
}


def words_of(fault: Fault, out: Path) -> list[str]:
    if fault.call in ("report", "check"):
        call = CALLS["resolved"](out)
        return ["check", call[1]] if fault.call == "check" else ["report", str(out)]
    return [*CALLS[fault.call](out), *(["--restart"] if fault.restart else [])]


def strike(fault: Fault, out: Path) -> tuple[subprocess.CompletedProcess[str], float]:
    """The call with the fault, and the seconds from the fault to its end."""
    moment = out.with_name("moment")
    if fault.restart or fault.call == "report":
        assert dfx(CALLS["resolved"](out), 2).returncode == 0
        for path in out.glob("checkpoint/step-000000002.*" if fault.restart else ""):
            path.unlink()
    line = ["exec", sys.executable, FAULTY, str(fault.rank), fault.place, str(fault.number), fault.kind]
    done = subprocess.run(
        command_line([*line, *words_of(fault, out)], 2),
        env=environment() | {"FAULT_TIME": str(moment)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LIMIT,
        check=False,
    )
    assert moment.exists(), done.stderr[-3000:]
    return done, time.time() - moment.stat().st_mtime


def check_message(fault: Fault, done: subprocess.CompletedProcess[str]) -> None:
    """One message, a line where it is no bug, and the status that belongs to it."""
    said = done.stderr
    if fault.kind in STATUS:
        assert done.returncode == STATUS[fault.kind], said[-3000:]
    else:
        assert done.returncode not in (0, 2, 3, 75), said[-3000:]
    text = SAYS.get(fault.kind, "injected")
    assert text in said, said[-3000:]
    errors = [line for line in said.splitlines() if text in line]
    assert len(errors) == (1 if fault.kind in STATUS else len(errors)), said[-3000:]
    if STATUS.get(fault.kind) in (2, 3):
        assert "Traceback" not in said, said[-3000:]


@pytest.mark.parametrize(
    "fault", [pytest.param(f, id=str(f), marks=() if str(f) in FAST else pytest.mark.slow) for f in PHASES]
)
def test_all_end_with_one_message(fault: Fault, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done, seconds = strike(fault, out)
    check_message(fault, done)
    assert seconds < ENDS
    assert not ranks_of(out)
    if not out.exists():
        return
    for path in out.glob("*.json"):  # whole or not there
        json.loads(path.read_text())
    if fault.call in ("report", "check"):
        return
    again = dfx([*CALLS[fault.call](out), "--restart"])  # on one rank
    assert (again.returncode, again.stderr) == (0, ""), again.stderr[-3000:]
    assert (out / "result.json").exists()
    if (out / "history.csv").exists():
        rows = history(out / "history.csv")
        assert [row["time"] for row in rows] == sorted({row["time"] for row in rows})


@pytest.mark.slow
def test_a_rank_that_hangs_says_where(tmp_path: Path) -> None:
    """Nothing ends it but a time limit from outside; until then SIGUSR2 shows where a rank is."""
    out, moment = tmp_path / "out", tmp_path / "moment"
    place = "dfx_homog.solvers.border:BorderedPreconditioner.apply"
    line = ["exec", sys.executable, FAULTY, "1", place, "3", "hang", *CALLS["resolved"](out)]
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(
            command_line(line, 2),
            env=environment() | {"FAULT_TIME": str(moment)},
            stderr=err,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + LIMIT
        while not moment.exists() and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(1.0)
        for rank in (0, 1):
            [number] = ranks_of(out, rank)
            os.kill(number, 12)  # SIGUSR2
        time.sleep(1.0)
        said = (tmp_path / "err").read_text()
        assert " in hang" in said and said.count("in solve") >= 2
    finally:
        process.terminate()  # becomes SIGUSR1, which no rank can answer
        time.sleep(0.5)
        process.terminate()  # and this ends them
        assert process.wait(timeout=60) != 0
    assert not ranks_of(out)
