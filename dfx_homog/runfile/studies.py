"""Tables of the run file on what is computed and how: solver, meso model, studies, checkpoints."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, field_validator

from dfx_homog.runfile.base import Table
from dfx_homog.runfile.types import (
    Accuracy,
    Conditions,
    Count,
    Flag,
    Grading,
    LateralElements,
    Levels,
    MesoDimension,
    MesoOrder,
    Positive,
    Preset,
    Quantity,
    Ranks,
    Sizes,
    VoxelMethod,
)
from dfx_homog.runfile.types_cells import MeshFileName


class Solver(Table):
    """[solver]"""

    preset: Preset = Field(
        default="iterative", description="Krylov method with multigrid, or a direct factorisation"
    )
    voxels: VoxelMethod = Field(
        default="multigrid",
        description="cell problems on voxels: matrix-free multigrid, or algebraic multigrid on the assembled matrix, "
        "slower and larger, to compare",
    )


class Homogenised(Table):
    """[homogenised]"""

    elements: Count = Field(default=20, description="meso elements per region")
    dim: MesoDimension | None = Field(
        default=None,
        description="meso dimensions; default: 1 where that is exact, else those of the unit cells",
    )
    order: MesoOrder | None = Field(
        default=None, description="polynomial order of the meso elements; default: 2, on a mesh file 1"
    )
    lateral_elements: LateralElements | None = Field(
        default=None,
        description="meso elements across, one entry for each lateral direction; default: 10 each",
    )
    lateral_grading: Grading = Field(
        default=1.0, description="longest element across over those at the ends of tabs"
    )
    mesh: MeshFileName | None = Field(
        default=None,
        description="a mesh file of gmsh in place of a box, with physical groups negative, separator, positive, "
        "negative_tab, positive_tab",
    )
    wall_law: Flag = Field(
        default=False,
        description="excess resistances of separator and collector faces from strip problems; needs unit cells in all "
        "regions, dim = 1",
    )


class Convergence(Table):
    """[convergence]"""

    periods: Levels = Field(description="cell.periods of each level, coarse to fine")

    @field_validator("periods")
    @classmethod
    def _halves(cls, levels: tuple[tuple[int, int, int], ...]) -> tuple[tuple[int, int, int], ...]:
        if len(levels) < 2:
            raise ValueError("one level has no order of convergence")
        for coarse, fine in pairwise(levels):
            if fine != tuple(2 * n for n in coarse):
                raise ValueError(
                    f"{list(fine)} is not twice {list(coarse)}: delta must halve, the ratio stay"
                )
        return levels


class Rve(Table):
    """[rve]: apparent tensors against sample size, under several boundary conditions, over an ensemble."""

    quantity: Quantity = Field(default="B", description="the tensor")
    sizes: Sizes = Field(
        description="edges of the samples: fractions of an image's edge; unit cells of a mesh; multiples of the "
        "edge of a random medium"
    )
    realisations: Count = Field(
        default=1, description="samples of each size: places in an image, seeds of a random medium"
    )
    conditions: Conditions = Field(
        default=("periodic",),
        description="conditions on the samples' faces: PBC, KUBC (potential), SUBC (flux), fixed ends with "
        "insulated sides",
    )
    accuracy: Accuracy = Field(
        default=0.05, description="relative error of one sample for which the RVE size is estimated"
    )
    ranks_per_sample: Ranks = Field(default=0, description="ranks that solve one sample together; 0: chosen")


class Checkpoint(Table):
    """[checkpoint]: when the state is written; a run that is stopped or ends writes it in any case."""

    every: Count | None = Field(default=None, description="time steps between checkpoints")
    wall_minutes: Positive = Field(default=10.0, description="minutes between checkpoints at most")
