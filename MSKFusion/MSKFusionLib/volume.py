"""One image with its geometry, in RAS millimetres."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from .boxes import Box
from .errors import GeometryError, InputError
from .file_checks import refuse_incomplete
from .frames import FloatArray, flip_transform_ras_lps, transform_points
from .whole_file import whole_file

_LPS = np.array([-1.0, -1.0, 1.0])
#: Directions may be off orthonormal by what a text header rounds away; a real shear is far larger.
_ORTHONORMAL_TOLERANCE = 1e-4
#: Of `geometry_bytes`: the golden section, as far from simple fractions as a number can be.
_STEP_OFFSET = 0.6180339887


class Modality(StrEnum):
    """What the numbers of a volume mean."""

    CT = "CT"  # Hounsfield units
    MR = "MR"  # arbitrary units
    LABEL = "LABEL"  # one integer a structure, 0 is background
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Provenance:
    """Where a volume comes from: a source without a patient's name in it, its hash, and what was done to it."""

    source: str = ""
    sha256: str = ""
    steps: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def then(self, step: str) -> Provenance:
        """Return the same provenance with one more step done."""
        return replace(self, steps=(*self.steps, step))


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and where they are.

    Parameters
    ----------
    voxels
        Array of shape (K, J, I): the last axis runs fastest, as in ITK and VTK.
    origin_ras
        RAS position in mm of the centre of voxel (i, j, k) = (0, 0, 0).
    spacing_mm
        Distance between voxel centres along i, j and k.
    directions_ras
        3x3, its columns are the unit RAS directions of i, j and k.

    Raises
    ------
    GeometryError
        For arrays that are not 3D or are empty, spacings that are not positive, directions that are not orthonormal.
    """

    voxels: NDArray[Any]
    origin_ras: FloatArray
    spacing_mm: FloatArray
    directions_ras: FloatArray
    modality: Modality = Modality.UNKNOWN
    name: str = "volume"
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        for attribute, shape in (("origin_ras", (3,)), ("spacing_mm", (3,)), ("directions_ras", (3, 3))):
            value = np.array(getattr(self, attribute), dtype=np.float64) + 0.0  # no -0.0, which hashes differently
            if value.shape != shape or not np.all(np.isfinite(value)):
                raise GeometryError(f"{attribute} is not {shape} finite numbers", where=self.name)
            object.__setattr__(self, attribute, value)
        if self.voxels.ndim != 3 or min(self.voxels.shape) < 1:
            raise GeometryError(
                f"the image has shape {self.voxels.shape}, not three dimensions with voxels in each",
                "Give one 3D image, not a single slice, a colour picture or a time series.",
                where=self.name,
            )
        if np.any(self.spacing_mm <= 0):
            raise GeometryError(f"the voxel spacing {self.spacing_mm.tolist()} is not positive", where=self.name)
        deviation = np.abs(self.directions_ras.T @ self.directions_ras - np.eye(3)).max()
        if deviation > _ORTHONORMAL_TOLERANCE:
            raise GeometryError(
                f"the image axes are not perpendicular (off by {deviation:.2g})",
                "Resample the image on a straight grid first (a gantry tilt is put right when DICOM is read).",
                where=self.name,
            )

    # ------------------------------------------------------------------ geometry
    @property
    def shape_ijk(self) -> tuple[int, int, int]:
        """Number of voxels along i, j, k."""
        k, j, i = self.voxels.shape
        return i, j, k

    @property
    def ijk_to_ras(self) -> FloatArray:
        """4x4 from voxel indices (i, j, k) to RAS mm."""
        m = np.eye(4)
        m[:3, :3] = self.directions_ras * self.spacing_mm
        m[:3, 3] = self.origin_ras
        return m

    @property
    def ras_to_ijk(self) -> FloatArray:
        """4x4 from RAS mm to continuous voxel indices."""
        return np.asarray(np.linalg.inv(self.ijk_to_ras), dtype=np.float64)

    @property
    def centre_ras(self) -> FloatArray:
        """RAS position of the middle of the grid."""
        return transform_points(self.ijk_to_ras, 0.5 * (np.array(self.shape_ijk) - 1))

    @property
    def extent_mm(self) -> FloatArray:
        """Edge lengths of the imaged box, voxels counted whole."""
        return np.array(self.shape_ijk) * self.spacing_mm

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm))

    def corners_ras(self) -> FloatArray:
        """Return the RAS positions (8, 3) of the corner voxels' centres."""
        n = np.array(self.shape_ijk) - 1
        ijk = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * n
        return transform_points(self.ijk_to_ras, ijk)

    def same_grid(self, other: Volume, tolerance_mm: float = 1e-3) -> bool:
        """Tell whether both have their voxels at the same places."""
        if self.shape_ijk != other.shape_ijk:
            return False
        return bool(np.abs(self.corners_ras() - other.corners_ras()).max() <= tolerance_mm)

    def with_voxels(
        self, voxels: NDArray[Any], *, modality: Modality | None = None, name: str | None = None, step: str = ""
    ) -> Volume:
        """Return other voxels on the same grid."""
        if voxels.shape != self.voxels.shape:
            raise GeometryError(f"{voxels.shape} voxels do not fit the grid {self.voxels.shape}", where=self.name)
        return replace(
            self,
            voxels=voxels,
            modality=self.modality if modality is None else modality,
            name=self.name if name is None else name,
            provenance=self.provenance.then(step) if step else self.provenance,
        )

    def cropped(self, lower_ijk: ArrayLike, upper_ijk: ArrayLike) -> Volume:
        """Return the part between two voxel indices (lower included, upper not), clipped to the grid."""
        lo = np.clip(np.asarray(lower_ijk, dtype=int), 0, self.shape_ijk)
        hi = np.clip(np.asarray(upper_ijk, dtype=int), 0, self.shape_ijk)
        if np.any(hi <= lo):
            raise GeometryError("the wished part lies outside the image", where=self.name)
        voxels = self.voxels[lo[2] : hi[2], lo[1] : hi[1], lo[0] : hi[0]]
        return replace(self, voxels=voxels, origin_ras=transform_points(self.ijk_to_ras, lo))

    def within(self, box: Box) -> Volume:
        """Return the part in a box of this grid."""
        return self.cropped([s.start for s in reversed(box)], [s.stop for s in reversed(box)])

    # ------------------------------------------------------------------ SimpleITK
    @classmethod
    def from_ijk_to_ras(cls, voxels: NDArray[Any], ijk_to_ras: ArrayLike, **keywords: Any) -> Volume:
        """Make a volume from a 4x4 of voxel indices to RAS mm."""
        m = np.asarray(ijk_to_ras, dtype=np.float64)
        if m.shape != (4, 4) or not np.all(np.isfinite(m)):
            raise GeometryError("ijk_to_ras is not a finite 4x4 matrix")
        spacing = np.linalg.norm(m[:3, :3], axis=0)
        if np.any(spacing <= 0):
            raise GeometryError("ijk_to_ras has an axis of length zero")
        return cls(voxels, m[:3, 3], spacing, m[:3, :3] / spacing, **keywords)

    @classmethod
    def from_sitk(
        cls,
        image: sitk.Image,
        *,
        modality: Modality = Modality.UNKNOWN,
        name: str = "volume",
        provenance: Provenance | None = None,
    ) -> Volume:
        """Take voxels and geometry from SimpleITK; the signs of the first two RAS axes are all that changes."""
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            raise GeometryError(
                f"the image has {image.GetDimension()} dimensions and "
                f"{image.GetNumberOfComponentsPerPixel()} values a voxel",
                "Give one 3D image with one value a voxel.",
                where=name,
            )
        return cls(
            sitk.GetArrayFromImage(image),
            np.array(image.GetOrigin()) * _LPS,
            np.array(image.GetSpacing()),
            np.array(image.GetDirection()).reshape(3, 3) * _LPS[:, None],
            modality=modality,
            name=name,
            provenance=provenance or Provenance(),
        )

    def to_sitk(self) -> sitk.Image:
        """Return the same image for SimpleITK (LPS)."""
        native = self.voxels.dtype.newbyteorder("=")
        kind = {"bool": "uint8", "float16": "float32"}.get(native.name, native.name)  # ITK has neither
        voxels = self.voxels.astype(kind, copy=False)
        image = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
        image.SetOrigin((self.origin_ras * _LPS).tolist())
        image.SetSpacing(self.spacing_mm.tolist())
        image.SetDirection((self.directions_ras * _LPS[:, None]).ravel().tolist())
        return image

    # ------------------------------------------------------------------ values
    def sha256(self) -> str:
        """Return the hash of voxels and geometry, the same on every machine and after the image went through a file."""
        digest = hashlib.sha256(geometry_bytes(self.ijk_to_ras))
        voxels = np.ascontiguousarray(self.voxels)
        digest.update(f"{voxels.dtype.newbyteorder('<').str}{voxels.shape}".encode())
        digest.update(voxels.astype(voxels.dtype.newbyteorder("<"), copy=False).tobytes())
        return digest.hexdigest()


def geometry_bytes(ijk_to_ras: FloatArray, step_mm: float = 1e-9) -> bytes:
    """Return where voxels lie, in steps, for a hash.

    A file keeps directions and spacing in a form of its own, and so changes a matrix (4x4, mm) in its last bits. The limits
    between two steps lie where no spacing and no origin that anybody writes down comes to lie (0.3125 mm is half a step of
    rounded micrometres: its last bit would decide).
    """
    return np.floor(np.asarray(ijk_to_ras) / step_mm + _STEP_OFFSET).astype("<i8").tobytes()


def guess_modality(voxels: NDArray[Any]) -> Modality:
    """Guess CT from values that only Hounsfield units take; MR otherwise.

    CT has air far below zero (-1000) in a good part of the picture, MR magnitudes are never negative.
    Masked CT (background replaced by a value) keeps at least that value.
    """
    sample = voxels[:: max(1, voxels.shape[0] // 40), ::3, ::3]
    if np.mean(sample < -300) > 0.002:
        return Modality.CT
    if sample.min() >= -1:
        return Modality.MR
    return Modality.UNKNOWN


def read_image(path: str | Path, modality: Modality | None = None, name: str | None = None) -> Volume:
    """Read one file in any format that SimpleITK reads; the modality is guessed when it is not given.

    Raises
    ------
    InputError
        When the file is missing, cannot be read, or is not one 3D image with finite values.
    """
    p = Path(path)
    if not p.is_file():
        raise InputError("there is no such file", "Check the path.", where=str(p))
    try:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(p))
        reader.ReadImageInformation()
        refuse_incomplete(p, reader)
        if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
            raise GeometryError(
                f"the image has {reader.GetDimension()} dimensions and {reader.GetNumberOfComponents()} values a voxel",
                "Give one 3D image with one value a voxel.",
                where=str(p),
            )
        image = reader.Execute()
        with p.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (RuntimeError, OSError) as error:
        raise InputError(
            "this file is not an image that can be read, or it is cut short",
            "Give a DICOM folder, NRRD, NIfTI or MetaImage file.",
            where=str(p),
        ) from error
    label = name or p.name.split(".")[0]
    volume = Volume.from_sitk(image, name=label, provenance=Provenance(source=p.name, sha256=digest))
    check_values(volume, str(p))
    return replace(volume, modality=guess_modality(volume.voxels) if modality is None else modality)


def check_values(volume: Volume, where: str = "") -> None:
    """Raise `InputError` for voxels that are not finite or are all the same; `where` defaults to the volume's name."""
    v = volume.voxels
    place = where or volume.name
    if v.dtype.kind not in "iufb":
        raise InputError(f"voxels of type {v.dtype} are not grey values", "Give a grey-value image.", where=place)
    # Slice by slice: what is checked may fill most of the memory.
    if v.dtype.kind == "f" and not all(np.isfinite(layer).all() for layer in v):
        count = sum(int(layer.size - np.isfinite(layer).sum()) for layer in v)
        raise InputError(f"{count} voxels are not numbers (NaN or infinite)", "Export the image again.", where=place)
    if v.min() == v.max():
        raise InputError(
            f"every voxel has the value {v.flat[0]}: the image is empty", "Give the right image.", where=place
        )


def write_image(volume: Volume, path: str | Path) -> None:
    """Write a volume in the format that the file's ending names, whole or not at all."""
    write_sitk(volume.to_sitk(), path)


def write_sitk(image: sitk.Image, path: str | Path) -> None:
    """Write an ITK image compressed, in the format that the file's ending names, whole or not at all.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    with whole_file(path) as draft:
        try:
            sitk.WriteImage(image, str(draft), useCompression=True)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise InputError(f"the image cannot be written ({reason})", where=str(path)) from error


def transform_to_sitk(fixed_to_moving_ras: ArrayLike) -> sitk.AffineTransform:
    """Return a 4x4 between RAS frames as ITK wants it for resampling (points of the fixed image to the moving, LPS)."""
    m = flip_transform_ras_lps(fixed_to_moving_ras)
    return sitk.AffineTransform(m[:3, :3].ravel().tolist(), m[:3, 3].tolist())


def resample_to(
    moving: Volume, fixed: Volume, fixed_to_moving_ras: ArrayLike, *, order: int = 1, fill: float = 0.0
) -> Volume:
    """Return `moving` on the grid of `fixed` through a 4x4 (`fixed` RAS to `moving` RAS); the original stays as it is.

    Parameters
    ----------
    order
        0 takes the nearest voxel (labels), 1 interpolates linearly.
    """
    return resample_through(moving, fixed, transform_to_sitk(fixed_to_moving_ras), order=order, fill=fill)


def resample_through(
    moving: Volume, fixed: Volume, fixed_to_moving_lps: sitk.Transform, *, order: int = 1, fill: float = 0.0
) -> Volume:
    """Return `moving` on the grid of `fixed` through any ITK transform; see `resample_to`."""
    image = moving.to_sitk()
    out = sitk.Resample(
        image,
        fixed.to_sitk(),
        fixed_to_moving_lps,
        sitk.sitkNearestNeighbor if order == 0 else sitk.sitkLinear,
        float(fill),
        image.GetPixelID() if order == 0 else sitk.sitkFloat32,
    )
    return replace(
        Volume.from_sitk(
            out, modality=moving.modality, name=moving.name, provenance=moving.provenance.then("resampled")
        ),
        origin_ras=fixed.origin_ras,
        spacing_mm=fixed.spacing_mm,
        directions_ras=fixed.directions_ras,
    )
