"""One row of history.csv, and the conservation errors that it carries."""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = (
    "time",
    "current",
    "voltage",
    "T_mean",
    "T_max",
    "T_min",
    "c_e_min",
    "c_e_max",
    "soc_n",
    "soc_p",
    "lithium_error",
    "charge_error",
    "energy_error",
    "newton",
    "krylov",
    "seconds",
)
#: Columns of a ledger that come after those of the model.
MORE_COLUMNS = ("charge_error_run",)
Row = dict[str, float]
#: Kind of each column, as parameters/units.py has them; those of the interface are in interface_statistics.py.
KINDS = {
    **dict.fromkeys(("soc_n", "soc_p", "lithium_error", "charge_error", "energy_error"), "number"),
    **dict.fromkeys(
        ("newton", "krylov", "seconds", *MORE_COLUMNS), "number"
    ),  # seconds of wall time stay as they are
    "time": "time",
    "current": "current",
    "voltage": "voltage",
    **dict.fromkeys(("T_mean", "T_max", "T_min"), "temperature"),
    **dict.fromkeys(("c_e_min", "c_e_max"), "concentration"),
}


@dataclass
class Balance:
    """What one model state says about conservation, per unit area of the collector.

    lithium:   inventories int c_s (both electrodes), int c_e (three regions)
    interface: total current through Gamma out of the solid, negative and positive electrode
    heating:   terms of the energy identity (MODEL section 7), which sum to zero:
               d/dt int rho cp T, sum h (T - T_ambient), lambda i_app V, lambda int delta G g (U - Pi),
               lambda int delta G C D d_t D
    """

    lithium: tuple[float, float]
    interface: tuple[float, float]
    heating: tuple[float, ...]


class Ledger:
    """Conservation errors as history.csv defines them, from the first state on.

    lithium: inventories (solid, electrolyte) of the first state; isothermal: the energy identity does not apply;
    largest_term, largest_current: of the energy identity and |i_app| so far, for a run that goes on from a checkpoint
    """

    def __init__(
        self,
        lithium: tuple[float, float],
        *,
        isothermal: bool,
        largest_term: float = 0.0,
        largest_current: float = 0.0,
    ):
        self.start, self._isothermal = lithium, isothermal
        self.largest_term, self.largest_current = largest_term, largest_current

    def largest(self) -> dict[str, float]:
        """The largest terms so far."""
        return {"largest_term": self.largest_term, "largest_current": self.largest_current}

    def first(self, current: float) -> Row:
        """Errors of the first state, with its applied current: nothing has happened yet."""
        self.largest_current = max(self.largest_current, abs(current))
        return self._row(0.0, 0.0, 0.0, 0.0)

    def errors(self, balance: Balance, current: float) -> Row:
        """Errors of a state after a step with the given applied current.

        charge_error is relative to that current, charge_error_run, which has a meaning in a rest too, to the largest
        one so far.
        """
        drift = [abs(now - then) / abs(then) for now, then in zip(balance.lithium, self.start, strict=True)]
        n, p = balance.interface
        charge = max(abs(n - current), abs(p + current))
        self.largest_current = max(self.largest_current, abs(current))
        self.largest_term = max(self.largest_term, *(abs(t) for t in balance.heating))
        energy = abs(sum(balance.heating)) / max(self.largest_term, 1e-300)
        return self._row(
            max(drift), charge / max(abs(current), 1e-12), energy, charge / max(self.largest_current, 1e-12)
        )

    def _row(self, lithium: float, charge: float, energy: float, charge_run: float) -> Row:
        return {
            "lithium_error": lithium,
            "charge_error": charge,
            "energy_error": float("nan") if self._isothermal else energy,
            "charge_error_run": charge_run,
        }
