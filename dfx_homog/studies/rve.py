"""`dfx-homog rve`: apparent tensors of samples of growing size under several conditions.

What is left behind, besides the log: samples/ with a file for each sample (all conditions), from which --restart goes
on; result.json with

    samples     [{microstructure, size, realisation, condition, tensor, phi_e, phi_e_transporting, hill_mandel,
                iterations, dofs, seconds, and seed | window, shape, discretisations where they apply}]
    summary     [{microstructure, size, condition, n, mean, std, ci95, phi_e}]
    order       [{microstructure, size, realisation, worst, holds}], order_holds, order_worst: SUBC <= PBC <= KUBC
    rve_size    [{microstructure, condition, accuracy, alpha, alpha_error, factor, integral_range, size, size_alpha_1,
                extrapolated, limit, boundary_effect, size_bias, realisations, reason}], see rve_statistics.estimate
    statistics  {NAME: {size, realisation, periodic, porosity, a_faceted, a_corrected, electrolyte: {share,
                mean_chord}, solid: {…}}}

tensors as nested lists, null where not defined; phi_e is the share of all electrolyte, phi_e_transporting that of the
part that current can reach under the condition; a_faceted, a_corrected the interface per volume in 1/unit-cell
length; mean_chord by direction, null where the phase meets no interface.

fields.npz has, for the first sample of the largest size of each microstructure on voxels, D = 1, 2, 3 and PHASE =
electrolyte, solid:

    s2_NAME_lags_D, s2_NAME_PHASE_D              distances (unit-cell lengths of the sample) and S2 along direction D
    s2_NAME_lags_radial, s2_NAME_PHASE_radial    the same over all directions; only of periodic samples
    chords_NAME_PHASE_D                          number of chords of 0, 1, 2, … voxels along direction D
    chords_NAME_spacing                          (dim,) length of a voxel

and the slices and unit cells of studies/pictures.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from dfx_homog.io.disk import below, make_folder
from dfx_homog.io.results import write_arrays, write_result
from dfx_homog.models.medium import check_coefficients
from dfx_homog.runfile import Run
from dfx_homog.runfile.identity import file_digest
from dfx_homog.runoptions import RunOptions
from dfx_homog.studies import pictures
from dfx_homog.studies.interrupt import Interrupt
from dfx_homog.studies.progress import Log, begin, finish
from dfx_homog.studies.results import RveResult
from dfx_homog.studies.rve_ensemble import Ensemble
from dfx_homog.studies.rve_samples import Sample, deal, digest, plan
from dfx_homog.studies.rve_solve import SampleSolver, sample_grid
from dfx_homog.studies.rve_statistics import check_order, estimate, summary
from dfx_homog.studies.setup import Problem
from dfx_homog.together import agreed
from dfx_homog.voxels.grid import VoxelGrid
from dfx_homog.voxels.image import load_image
from dfx_homog.voxels.statistics import chords, porosity, share, two_point
from dfx_homog.voxels.surface import specific_surface

Json = dict[str, Any]


def run_rve(
    run: Run, out: Path | None, opts: RunOptions, comm: MPI.Intracomm = MPI.COMM_WORLD
) -> RveResult | None:
    """Solve all samples; result.json and fields.npz as above. Collective.

    With opts.share it is that share of the samples only, and no result: once the samples of all shares lie in one
    out/samples, the same call without it, but with `restart`, evaluates them.
    Raises BadInput, SolverFailure or StoppedEarly on all ranks; finished samples stay in out/samples.
    """
    with Interrupt(comm, opts) as interrupt:
        cells = Problem(comm, run, opts.petsc).unit_cells(out, tiled=False)
        shapes, panels = _images(comm, run)
        samples, remarks = plan(run, shapes)
        contents = comm.bcast(agreed(comm, lambda: _file_digests(comm, run)))
        digests = {
            s.file_name: digest(run, s, run.rve.conditions, opts.petsc, contents.get(s.microstructure, ""))
            for s in samples
        }
        with begin(run, out, opts, comm) as log:
            for remark in remarks:
                log.say(remark)
            if opts.share:
                number, count = opts.share
                mine = sorted(deal([s.cost for s in samples], count)[number - 1])
                log.say(f"share {number} of {count}: {len(mine)} of {len(samples)} samples")
                samples = [samples[position] for position in mine]
            folder = below(out, "samples")
            make_folder(folder, comm)
            ensemble = Ensemble(comm, folder, samples, digests, run.rve.ranks_per_sample, log, interrupt)
            records = ensemble.run(lambda group: SampleSolver(group, run, cells, opts.petsc))
            if opts.share:
                return None
            result = evaluate(run, records)
            arrays, statistics = _pictures(comm, run, samples)
            _tell(log, run, result)
            write_arrays(below(out, "fields.npz"), lambda: arrays | pictures.unit_cells(cells) | panels, comm)
            found = {"ranks": comm.size, **result, "statistics": statistics}
            outcome = RveResult.of(write_result(out, found, comm))
            finish(run, out, comm, log)
    return outcome


def evaluate(run: Run, records: list[Json]) -> Json:
    """What the samples say together, but for the statistics of their phases."""
    order = check_order(records)
    sizes: list[Json] = []
    for name, spec in run.microstructure.items():
        own = [r for r in records if r["microstructure"] == name]
        sizes += estimate(own, run.rve.accuracy, _contrast(run.rve.quantity, spec))
    return {
        "quantity": run.rve.quantity,
        "samples": records,
        "summary": summary(records),
        "order": order,
        "order_holds": all(row["holds"] for row in order) if order else None,
        "order_worst": min((row["worst"] for row in order), default=None),
        "rve_size": sizes,
    }


def _contrast(quantity: str, spec: Any) -> tuple[float, float] | None:
    """Coefficients of electrolyte and solid, None unless both are numbers."""
    solid = {"S": getattr(spec, "sigma_s", None), "B": 0.0, "K": getattr(spec, "k_s", None)}[quantity]
    electrolyte = {"S": 0.0, "B": 1.0, "K": spec.k_e}[quantity]
    if isinstance(solid, int | float) and isinstance(electrolyte, int | float):
        return float(electrolyte), float(solid)
    return None


def _images(comm: MPI.Intracomm, run: Run) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Voxels of the images as cropped, and pictures of their segmentation.

    Reads them once as a whole, so that a bad file is refused before anything is solved. Collective. Raises BadInput.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    panels: dict[str, Any] = {}
    for name, spec in run.images().items():
        if spec.geometry == "image":
            grid, shown = load_image(comm, name, spec, run.folder)
            check_coefficients(grid, spec)
            shapes[name] = tuple(grid.shape[axis] for axis in grid.axes)
            panels |= pictures.segmentation(name, shown or {})
    return shapes, panels


def _file_digests(comm: MPI.Intracomm, run: Run) -> dict[str, str]:
    """On rank 0, digests of the files that microstructures are read from. Raises OSError."""
    found: dict[str, str] = {}
    for name, spec in run.microstructure.items() if comm.rank == 0 else ():
        file = getattr(spec, "file", None)
        if file is not None:
            path = Path(file)
            if not path.is_absolute() and (run.folder / path).exists():
                path = run.folder / path
            found[name] = file_digest(path)
    return found


def _tell(log: Log, run: Run, result: Json) -> None:
    """The means, the order and the sizes in the log."""
    for row in result["summary"]:
        diagonal = [row["mean"][i][i] for i in range(len(row["mean"]))]
        half = [row["ci95"][i][i] for i in range(len(row["ci95"]))]
        text = ", ".join(
            f"{m:.6g}" if h is None else f"{m:.6g} ± {h:.2g}" for m, h in zip(diagonal, half, strict=True)
        )
        log.say(
            f"{row['microstructure']}, size {row['size']:g}, {row['condition']} ({row['n']}): "
            f"{run.rve.quantity}_ii = {text}"
        )
    for row in result["order"]:
        if not row["holds"]:
            log.say(
                f"warning: {row['microstructure']}, size {row['size']:g}, realisation {row['realisation']}: the order "
                f"flux <= periodic <= dirichlet is violated by {-row['worst']:.1e} of the largest eigenvalue"
            )
    for row in result["rve_size"]:
        what = f"{row['microstructure']}, {row['condition']}"
        if row["size_bias"] is not None and row["size_bias"] > min(run.rve.sizes):
            log.say(
                f"{what}: means tend to {row['limit']:.6g} of infinite size, the faces matter less than "
                f"{100 * row['accuracy']:g} % from size {row['size_bias']:.3g} on"
            )
        if row["reason"]:
            log.say(f"{what}: no size of a representative volume: {row['reason']}")
        elif row["size"] is not None:
            log.say(
                f"{what}: one sample of size {row['size']:.3g}{' (extrapolated)' if row['extrapolated'] else ''} "
                f"scatters within {100 * row['accuracy']:g} % (95 %), variance ~ volume^{-row['alpha']:.2f} "
                f"± {row['alpha_error']:.2f}"
            )


def _surface(grid: VoxelGrid, periodic: bool) -> Json:
    """Specific surface of an image on all ranks. Collective."""
    found: Json = {}
    part = grid.busy()
    if part is not None:
        area = specific_surface(part, periodic)
        found = {"a_faceted": area.faceted, "a_corrected": area.corrected}
        if part.comm is not grid.comm:
            part.comm.Free()
    found = grid.comm.bcast(found)
    return found


def _pictures(comm: MPI.Intracomm, run: Run, samples: list[Sample]) -> tuple[dict[str, Any], Json]:
    """Arrays for the report, and numbers of the phases, of the first sample of the largest size. Collective."""
    arrays: dict[str, Any] = {}
    statistics: Json = {}
    for name in run.images():
        own = [s for s in samples if s.microstructure == name and s.realisation == 0]
        sample = max(own, key=lambda s: s.size)
        grid = sample_grid(comm, run, sample)
        periodic = sample.window is None
        arrays |= pictures.voxel_slices(grid)
        entry: Json = {
            "size": sample.size,
            "realisation": 0,
            "periodic": periodic,
            "porosity": porosity(grid),
            **_surface(grid, periodic),
        }
        for phase, inside in (("electrolyte", ~grid.is_solid), ("solid", grid.is_solid)):
            curves = two_point(grid, inside, periodic=periodic)
            found = chords(grid, inside, periodic=periodic)
            for d, (lags, values, counts) in enumerate(
                zip(curves.lags, curves.values, found.counts, strict=True), start=1
            ):
                arrays[f"s2_{name}_lags_{d}"], arrays[f"s2_{name}_{phase}_{d}"] = lags, values
                arrays[f"chords_{name}_{phase}_{d}"] = counts
            if len(curves.radial_values):
                arrays[f"s2_{name}_lags_radial"] = curves.radial_lags
                arrays[f"s2_{name}_{phase}_radial"] = curves.radial_values
            arrays[f"chords_{name}_spacing"] = found.spacing
            mean = [float(m) if np.isfinite(m) else None for m in found.mean]
            entry[phase] = {"share": share(grid, inside), "mean_chord": mean}
        statistics[name] = entry
    return arrays, statistics
