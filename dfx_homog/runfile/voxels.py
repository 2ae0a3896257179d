"""[microstructure.NAME]: families made of voxels, and the steps from grey values to labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, model_validator

from dfx_homog.runfile.base import Table, wrong
from dfx_homog.runfile.microstructure import OnVoxels
from dfx_homog.runfile.types import Allowed, Flag, Fraction, Positive
from dfx_homog.runfile.types_cells import (
    Connectivity,
    Crop,
    Dimension,
    Distance,
    Edge,
    ImageFileName,
    Label8,
    LabelConductivity,
    Labels,
    OddEdge,
    PhaseCount,
    RawType,
    Seed,
    Shape,
    Spread,
    VoxelCount,
    VoxelSize,
)


class GaussianField(OnVoxels):
    """A periodic Gaussian random field on voxels, electrolyte where it is lowest: a random porous medium."""

    geometry: Literal["gaussian_field"]
    dim: Dimension = Field(default=3, description="space dimensions")
    porosity: Fraction = Field(description="share of the electrolyte, met to the voxel")
    correlation_length: Positive = Field(
        description="standard deviation of the Gaussian filter: below 1 in unit-cell lengths, from 1 on in voxels"
    )
    voxels: Edge = Field(description="along each edge of the unit cell")
    seed: Seed = Field(default=0, description="of the random numbers; the same seed gives the same field")
    sigma_s: Positive | None = Field(default=None, description="electronic conductivity of the solid")
    k_s: Positive | None = Field(default=None, description="heat conductivity of the solid")


class Denoise(Table):
    """Non-local means: averages over voxels with similar surroundings. Before `segment`."""

    step: Literal["denoise"]
    strength: Positive = Field(
        default=0.8, description="how different surroundings may be, in units of the estimated noise"
    )
    patch: OddEdge = Field(default=3, description="edge of the surroundings, voxels")
    distance: Distance = Field(
        default=5, description="how far away similar surroundings are looked for, voxels"
    )


class Segment(Table):
    """Mixture of Gaussians fitted to the grey values by expectation-maximisation; classes 0, 1, … by rising mean."""

    step: Literal["segment"]
    phases: PhaseCount = Field(default=2, description="number of classes")
    sigma: Spread = Field(
        default="common",
        description="standard deviation: one for all classes, that of the noise, which is robust where many voxels "
        "are shared by two phases; or each its own",
    )


class Opening(Table):
    """Takes from a label what is too narrow for a ball of `radius` voxels."""

    step: Literal["open"]
    label: Label8 = Field(description="the label, after `segment` the class")
    radius: Distance = Field(default=1, description="radius of the ball, voxels")


class Closing(Table):
    """Gives to a label the gaps in it that are too narrow for a ball of `radius` voxels."""

    step: Literal["close"]
    label: Label8 = Field(description="the label, after `segment` the class")
    radius: Distance = Field(default=1, description="radius of the ball, voxels")


class Clean(Table):
    """Connected parts of fewer than `smallest` voxels go to the other phase."""

    step: Literal["clean"]
    smallest: VoxelCount = Field(description="voxels of the smallest part that stays")
    pore_connectivity: Connectivity = Field(default=26, description="neighbours of a pore voxel")
    solid_connectivity: Connectivity = Field(default=6, description="neighbours of a solid voxel")


STEPS: dict[str, type[Table]] = {
    "denoise": Denoise,
    "segment": Segment,
    "open": Opening,
    "close": Closing,
    "clean": Clean,
}
SegmentationStep = Annotated[Denoise | Segment | Opening | Closing | Clean, Discriminator("step")]


class Image(OnVoxels):
    """A voxel image from a file. Array axis i is direction i; unit-cell length = the image's edge along axis 1."""

    geometry: Literal["image"]
    file: ImageFileName = Field(
        description="TIFF stack, numpy array or raw numbers; relative to the run file's folder, else to the "
        "working directory"
    )
    solid: Labels = Field(description="labels of the solid; with a `segment` step, numbers of classes")
    shape: Shape | None = Field(default=None, description="of a .raw file, the last axis runs fastest")
    dtype: RawType | None = Field(default=None, description="of a .raw file")
    crop: Crop | None = Field(default=None, description="the part of the image that is used, voxels")
    invert: Flag = Field(default=False, description="true: `solid` names the labels of the electrolyte")
    voxel_size: VoxelSize | None = Field(
        default=None, description="edges of a voxel, any unit; default: equal edges"
    )
    steps: (
        Annotated[tuple[SegmentationStep, ...], Allowed("a list of tables { step = …, … }, at least one")]
        | None
    ) = Field(default=None, min_length=1, description="from grey values to labels, one after the other")
    sigma_s: LabelConductivity | None = Field(
        default=None, description="electronic conductivity of the solid, one or label by label"
    )
    k_s: LabelConductivity | None = Field(
        default=None, description="heat conductivity of the solid, one or label by label"
    )
    #: The file decides.
    dim: ClassVar[None] = None

    @model_validator(mode="after")
    def _check(self) -> Image:
        raw = Path(self.file).suffix.lower() == ".raw"
        for key in ("shape", "dtype"):
            if raw and getattr(self, key) is None:
                raise wrong(key, "required for a .raw file")
            if not raw and getattr(self, key) is not None:
                raise wrong(key, "is for .raw files, other files know theirs")
        self._check_axes()
        self._check_steps()
        self._check_tables()
        return self

    def _check_axes(self) -> None:
        """shape, crop and voxel_size belong to one image."""
        given = {k: len(v) for k in ("shape", "crop", "voxel_size") if (v := getattr(self, k)) is not None}
        if len(set(given.values())) > 1:
            words = ", ".join(f"{key} has {axes} axes" for key, axes in given.items())
            raise wrong(list(given)[-1], f"does not belong to the same image: {words}")
        for (first, end), planes in zip(self.crop or (), self.shape or (), strict=False):
            if end > planes:
                raise wrong("crop", f"[{first}, {end}] reaches beyond an axis of {planes} voxels")

    def _check_steps(self) -> None:
        """Grey values are denoised, then segmented once; labels are opened, closed and cleaned."""
        steps = self.steps or ()
        names = [step.step for step in steps]
        if names.count("segment") > 1:
            raise wrong("steps", "at most one segment")
        at = names.index("segment") if "segment" in names else 0
        if any((name == "denoise") != (i < at) for i, name in enumerate(names) if name != "segment"):
            raise wrong("steps", "denoise comes before a segment; open, close and clean after it")
        for segment in (step for step in steps if isinstance(step, Segment)):
            if unknown := [label for label in self.solid if not 0 <= label < segment.phases]:
                raise wrong(
                    "solid",
                    f"{unknown[0]} is no class: a segment into {segment.phases} phases makes "
                    f"0 to {segment.phases - 1}",
                )
            if len(self.solid) >= segment.phases:
                raise wrong("solid", f"all {segment.phases} classes are in it, nothing is left")
            for i, step in enumerate(steps):
                if isinstance(step, Opening | Closing) and step.label >= segment.phases:
                    raise wrong(f"steps.{i}.label", f"{step.label} is no class of the segment before it")

    def _check_tables(self) -> None:
        """Tables of conductivities have an entry for each label of the solid, and no other."""
        for key in ("sigma_s", "k_s"):
            table = getattr(self, key)
            if not isinstance(table, dict):
                continue
            if self.invert:
                raise wrong(
                    key, "a table label by label needs the labels in `solid` (allowed: invert = false)"
                )
            if set(table) != set(self.solid):
                raise wrong(
                    key,
                    f"has entries for {sorted(table)}, must have one for each of solid = {sorted(self.solid)}",
                )
