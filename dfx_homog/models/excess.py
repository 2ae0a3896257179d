"""Excess resistances of separator and collector faces, and the wall laws that they are in a cell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

ROUNDING = 1e-9
FACES = ("r_e", "r_T", "r_c", "r_s")
SYMMETRIC = 1e-3  # |W_1| on a face below which a cell counts as mirror symmetric; its mesh need not be


@dataclass(frozen=True)
class StripResistances:
    """Excess resistances of the faces, each at the negative and at the positive side of the cell.

    r_e:   electrolyte, at the separator faces; lengths of the unit cell
    r_T:   heat, at the separator faces; over the unit of k
    r_c:   heat, at the cooled collector faces; over the unit of k
    r_s:   solid, at the collectors; over the unit of sigma_s
    cells: unit cells from a face to where the constants were read off
    truncation: estimate of the largest error that this distance leaves
    asymmetry: largest |W_1| on the faces z1 = 0 of the electrodes' unit cells, zero if they are mirror symmetric in z1
    dofs, iterations: of the largest problem
    """

    r_e: tuple[float, float]
    r_T: tuple[float, float]
    r_c: tuple[float, float]
    r_s: tuple[float, float]
    cells: int
    truncation: float
    asymmetry: float
    dofs: int
    iterations: int

    @property
    def symmetric(self) -> bool:
        """Whether the unit cells of both electrodes are mirror symmetric in z1, up to their meshes."""
        return self.asymmetry < SYMMETRIC

    def to_json(self) -> dict[str, Any]:
        """The entry of result.json; the cell's negative side comes first."""
        return {**asdict(self), "symmetric": self.symmetric}

    def lines(self) -> list[str]:
        """For the log."""
        pairs = (f"{name} = " + ", ".join(f"{visible(r):.6g}" for r in getattr(self, name)) for name in FACES)
        shape = "mirror symmetric in z1: second order in delta"
        if not self.symmetric:
            shape = f"not mirror symmetric in z1 (corrector on the faces {self.asymmetry:.2g}): second order in delta "
            shape += "is not to be expected"
        return [
            f"wall law: {'; '.join(pairs)} (negative side, positive side)",
            f"wall law: the unit cells are {shape}",
        ]


def visible(r: float) -> float:
    """A resistance without what the solver leaves of a zero."""
    return 0.0 if abs(r) < ROUNDING else r


@dataclass(frozen=True)
class WallLaws:
    """Excess resistances in cell thicknesses: delta times those of the strips, (negative side, positive side)."""

    electrolyte: tuple[float, float]
    heat: tuple[float, float]
    cooling: tuple[float, float]
    solid: tuple[float, float]


def wall_laws(strips: StripResistances, delta: float) -> WallLaws:
    """The wall laws of a cell with 1/delta unit cells through it."""

    def scaled(r: tuple[float, float]) -> tuple[float, float]:
        return delta * r[0], delta * r[1]

    return WallLaws(scaled(strips.r_e), scaled(strips.r_T), scaled(strips.r_c), scaled(strips.r_s))
