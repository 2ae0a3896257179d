"""Fields on an interface, for the writer of fields: a battery has none, its cell models have theirs."""

from __future__ import annotations

from dfx_homog._compat import FloatArray
from dfx_homog.models.history import Row


class NoInterface:
    """See `interface_statistics.Interface`: nothing."""

    columns: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    def row(self) -> Row:
        """Nothing."""
        return {}

    def nodal(self) -> dict[str, FloatArray]:
        """Nothing."""
        return {}
