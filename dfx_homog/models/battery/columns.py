"""Columns of the history that only a battery has, in their order, and kinds of its fields."""

from __future__ import annotations

#: Columns and their kinds. Extremes of current, voltage and state of charge over the groups; mean heat per volume of
#: the battery; temperature difference within a cell that conduction leaves (MODEL section 6); largest gradient of T and
#: its part along the stacking direction; place of the largest T; iterations of the coupling, and the relative change
#: that the last one made.
KINDS = {
    "current_min": "current",
    "current_max": "current",
    "voltage_min": "voltage",
    "voltage_max": "voltage",
    "soc_n_min": "number",
    "soc_n_max": "number",
    "heat": "source",
    "T_within_cell": "difference",
    "T_gradient_max": "gradient",
    "T_gradient_through": "gradient",
    "hot_spot_x1": "length",
    "hot_spot_x2": "length",
    "hot_spot_x3": "length",
    "coupling": "number",
    "coupling_error": "number",
}
#: Kinds of what a battery has at its nodes besides T.
FIELD_KINDS = {"heat": "source", "current": "current", "soc_n": "number"}
