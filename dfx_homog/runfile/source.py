"""[parameters] set or bpx: parameters from a named set or a BPX file, merged under what the user writes.

This works on the tables as TOML has them, before they are checked as a whole: the user's keys win, one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, PlainValidator, ValidationError, ValidationInfo, model_validator

from dfx_homog.errors import BadInput
from dfx_homog.parameters.expression import Expression
from dfx_homog.parameters.sets import SETS, ParameterSet
from dfx_homog.runfile.base import Table, wrong
from dfx_homog.runfile.given import Particle
from dfx_homog.runfile.messages import allowed
from dfx_homog.runfile.models import ELECTRODES, REGIONS
from dfx_homog.runfile.types import Allowed, number_in, one_of
from dfx_homog.runfile.types_cells import existing_file

Data = dict[str, Any]
MARGIN = 1e-3  # V between the initial voltage and a limit, so that a rest does not end the run

SetName = Annotated[str, Allowed(", ".join(f'"{name}"' for name in SETS)), one_of(SETS)]


def _bpx_file(value: Any, info: ValidationInfo) -> str:
    return existing_file(value, info, (".json",))


class Source(Table):
    """[parameters]: parameters that are not written out.

    The tables [microstructure] of the three regions, [cell] thickness and [parameters] come from the set or file, in
    SI; every key that the run file gives wins over them, one by one. A microstructure of another geometry is the run
    file's alone, and with `periods` in [cell] there is no thickness. Radii alone keep the share of active material.
    `isothermal` is true unless the run file says false (heat capacity and conduction are then needed, from the BPX file
    or the run file). v_min and v_max are those of the source, unless the run file gives them or the run starts there.
    D_L and D_A are those with the source's D_e and t+ at c_e0 and T0, constant in c_e; the conductivity of the
    electrolyte follows from them. The log says it, with what was not used, and how large 1C is.
    """

    set: SetName | None = Field(default=None, description="a named set of parameters, of a published cell")
    bpx: Annotated[str, Allowed("name of a BPX file, .json"), PlainValidator(_bpx_file)] | None = Field(
        default=None, description="a file in the Battery Parameter eXchange format 1.x, in place of `set`"
    )
    soc: (
        Annotated[
            float,
            Allowed("a number from 0 to 1"),
            PlainValidator(lambda v: number_in(v, least=0.0, most=1.0)),
        ]
        | None
    ) = Field(
        default=None,
        description="with `bpx`: initial state of charge between the file's stoichiometry limits; default: the file's, "
        "or 1",
    )

    @model_validator(mode="after")
    def _one(self) -> Source:
        if self.set is not None and self.bpx is not None:
            raise wrong("bpx", "not together with set (allowed: one of the two)")
        if self.soc is not None and self.bpx is None:
            raise wrong("soc", "only with bpx (allowed: c_s0 of each electrode instead)")
        return self


class Completed(NamedTuple):
    """Tables of a run file, what to tell the user, and the set or file that went under them."""

    data: Data
    notes: tuple[str, ...] = ()
    given: ParameterSet | None = None


def complete(data: Data, folder: Path) -> Completed:
    """The tables of a run file with those of its set or BPX file under them.

    folder: of the run file. In place of `set`, `bpx` and `soc` there is `origin`: the tables stand for themselves.
    Raises BadInput with "key: reason".
    """
    table = data.get("parameters")
    if not isinstance(table, Mapping) or not Source.model_fields.keys() & table.keys():
        return Completed(data)
    source = _read({key: table[key] for key in Source.model_fields if key in table}, folder)
    name, given = _chosen(source)
    if table.get("units", "SI") != "SI":
        raise BadInput(f'parameters.units: what {name} gives is in SI (allowed: "SI", or leave it out)')
    own = {key: value for key, value in table.items() if key not in Source.model_fields}
    found = {
        **data,
        "microstructure": _microstructures(given, data.get("microstructure", {})),
        "cell": _cell(given, data.get("cell", {})),
        "parameters": {"origin": name, **_merged(given.tables["parameters"], own)},
    }
    if not given.thermal and own.get("isothermal") is False:
        _require_heat(name, found["microstructure"], data.get("microstructure", {}))
    notes = [f"1C is {given.capacity:.6g} A/m2", *given.notes]
    if not {"D_L", "D_A", "c_e0", "T0"} & own.keys():
        notes.append(f"electrolyte: {given.electrolyte}")
    if isinstance(data.get("protocol"), Mapping):
        found["protocol"], more = _limited(data["protocol"], found["parameters"], given)
        notes += more
    return Completed(found, tuple(f"{name}: {note}" for note in notes), given)


def _read(keys: Data, folder: Path) -> Source:
    try:
        return Source.model_validate(keys, context={"folder": str(folder)})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        context = first.get("ctx", {})
    if first["type"] == "wrong":
        raise BadInput(f"parameters.{context['key']}: {context['reason']}")
    key = str(first["loc"][0])
    reason = context.get("error", "is not allowed")
    raise BadInput(f"parameters.{key}: {reason} (allowed: {allowed(Source.model_fields[key])})")


def _chosen(source: Source) -> tuple[str, ParameterSet]:
    """What is read, and what it is called."""
    if source.set is not None:
        return source.set, SETS[source.set]
    assert source.bpx is not None
    from dfx_homog.parameters.bpx_file import read_bpx

    try:
        return Path(source.bpx).name, read_bpx(Path(source.bpx), source.soc)
    except BadInput as error:
        raise BadInput(f"parameters.bpx: {error}") from None


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Data:
    """`over`, with what only `under` has, down to the keys of nested tables."""
    both = {
        key: _merged(under[key], value)
        if isinstance(value, Mapping) and isinstance(under.get(key), Mapping)
        else value
        for key, value in over.items()
    }
    return {**under, **both}


def _microstructures(given: ParameterSet, own: Any) -> Any:
    """Those of the regions. One that the user describes by another geometry is the user's alone.

    Names other than the regions' are for `cell` and `rve`, and nothing is added to them.
    """
    if not isinstance(own, Mapping) or own.keys() - set(REGIONS):
        return own
    return {name: _microstructure(given.microstructure[name], own.get(name, {})) for name in REGIONS}


def _microstructure(under: Mapping[str, Any], over: Any) -> Any:
    if not isinstance(over, Mapping) or over.get("geometry", under["geometry"]) != under["geometry"]:
        return over
    found = _merged(under, over)
    if "radius_mean" in over:
        found.pop("radius", None)
    if "a" in under and "a" not in over:
        # the share of active material is kept: it is a radius/3
        found["a"] = under["a"] * under["radius"] / _radius(over, under["radius"])
    return found


def _radius(sizes: Mapping[str, Any], instead: float) -> float:
    """The radius that has the surface per volume of the given sizes; `instead` if there are none, or none that will
    be accepted."""
    given = {
        key: sizes[key]
        for key in ("radius", "fractions", "radius_mean", "radius_std", "sizes")
        if key in sizes
    }
    phi_e = 0.5
    try:
        spec = Particle.model_validate(
            {"geometry": "particle", "phi_e": phi_e, **dict.fromkeys(("S", "B", "K", "theta"), 1.0), **given}
        )
    except ValidationError:
        return instead
    return 3.0 * (1.0 - phi_e) / spec.surface if given else instead


def _require_heat(name: str, all_keys: Any, own: Any) -> None:
    """Raises BadInput unless the user gives K and theta, which the source does not say."""
    for region in REGIONS if isinstance(all_keys, Mapping) and all_keys.keys() == set(REGIONS) else ():
        table = own.get(region, {})
        if not isinstance(table, Mapping) or all_keys[region].get("geometry") not in (
            "particle",
            "effective",
        ):
            continue
        for key in ("K", "theta"):
            if key not in table:
                raise BadInput(
                    f"microstructure.{region}.{key}: required with isothermal = false, because {name} does not say it "
                    "(allowed: a number > 0)"
                )


def _cell(given: ParameterSet, own: Any) -> Any:
    """The thicknesses, unless unit cells are counted."""
    if not isinstance(own, Mapping) or "periods" in own:
        return own
    return _merged(given.tables["cell"], own)


def _limited(protocol: Mapping[str, Any], parameters: Data, given: ParameterSet) -> tuple[Data, list[str]]:
    """The protocol with voltage limits, where the user gives none and the initial state is well within."""
    initial = _open_circuit_voltage(parameters)
    found, notes = dict(protocol), []
    for key, limit, sign in (("v_min", given.v_min, 1.0), ("v_max", given.v_max, -1.0)):
        if key in protocol or initial is None:
            continue
        if sign * (initial - limit) > MARGIN:
            found[key] = limit
        else:
            notes.append(
                f"{key} = {limit:g} V is not set, since the run starts at an open-circuit voltage of {initial:.4f} V"
            )
    return found, notes


def _open_circuit_voltage(parameters: Data) -> float | None:
    """At the initial concentrations and T0; None where keys are wrong, which is for others to say."""
    try:
        n, p = (
            Expression.parse(e["ocp"]).numpy(c=e["c_s0"] / e["c_max"], T=parameters["T0"])
            for e in (parameters[name] for name in ELECTRODES)
        )
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return None
    return float(p - n) if math.isfinite(p - n) else None
