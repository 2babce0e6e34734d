"""The frame of the upper sacrum between its hip bones, from the bones' labels: symmetry plane, canal, endplate, foramina."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage, signal
from scipy.spatial import cKDTree

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, fit_rigid, rigid, transform_points, unit
from MSKFusionLib.segmentation.labels import Segmentation

SACRUM, HIPS = "S1", {"left": "hip_left", "right": "hip_right"}
_POINTS = 1500
_STEP_MM = 1.0
#: Holes and tunnels up to twice this wide count as gaps of the sacrum: canal and foramina, not the hollow of its front.
_CLOSING_MM = 9.5
#: Radius of the ball that fits into canal and foramina.
_NARROWEST_MM = 2.6
_LEAST_CANAL_MM3 = 1500.0
#: Where foramina are looked for: distance from the midline, least distance of two from each other along the sacrum.
_FORAMEN_X_MM = (11.0, 36.0)
_FORAMEN_SPACING_MM = 13.0
_CANAL_TOP_MM = 35.0


@dataclass(frozen=True, eq=False)
class SacralFrame:
    """Places in the upper sacrum.

    Parameters
    ----------
    frame_to_ras
        4x4; x right across the symmetry plane, z up along the canal beside S1 and S2, y anterior, origin between the first
        foramina at the symmetry plane.
    foramina
        Middle (x, y, z) in the frame of the first two foramina (front part) of each side: ``left`` and ``right``.
    endplate_z_mm
        Top of the S1 body.
    body_y_mm
        Front of the canal and front of the bodies, at S1 and at S2.
    gaps
        Boolean (K, J, I) on a grid of 1 mm: canal and foramina.
    gaps_ijk_to_ras
        4x4 of that grid.
    """

    frame_to_ras: FloatArray
    foramina: dict[str, tuple[FloatArray, FloatArray]]
    endplate_z_mm: float
    body_y_mm: tuple[tuple[float, float], tuple[float, float]]
    gaps: NDArray[np.bool_]
    gaps_ijk_to_ras: FloatArray

    @property
    def axes_ras(self) -> FloatArray:
        """Right, anterior, superior as columns."""
        return self.frame_to_ras[:3, :3]

    def body_middle(self, level: int) -> FloatArray:
        """Return the middle (x, y, z) of the S1 (1) or S2 (2) body in the frame."""
        first, second = (float(np.mean([f[n][2] for f in self.foramina.values()])) for n in (0, 1))
        z = 0.5 * (self.endplate_z_mm + first) if level == 1 else 0.5 * (first + second)
        back, front = self.body_y_mm[level - 1]
        return np.array([0.0, 0.5 * (back + front), z])


def symmetry_plane(segmentation: Segmentation) -> tuple[FloatArray, FloatArray]:
    """Return a point (3,) of the plane that mirrors one hip bone onto the other, and its unit normal to the right, RAS.

    Raises
    ------
    GeometryError
        When a hip bone is missing or left and right are swapped.
    """
    clouds = {side: _cloud(segmentation, name) for side, name in HIPS.items()}
    means = {side: p.mean(axis=0) for side, p in clouds.items()}
    across = means["right"] - means["left"]
    if across[0] <= 0:
        raise GeometryError(
            "hip_right lies to the left of hip_left",
            "Left and right are swapped: name the segments anew.",
            where="pelvis",
        )
    normal, point = unit(across), 0.5 * (means["right"] + means["left"])
    tree = cKDTree(clouds["left"])
    for _ in range(12):
        mirrored = clouds["right"] - 2 * ((clouds["right"] - point) @ normal)[:, None] * normal
        distance, nearest = tree.query(mirrored)
        near = distance <= np.quantile(distance, 0.9)
        m = fit_rigid(mirrored[near], clouds["left"][nearest[near]])
        # The mirror and the motion after it together are a mirror again, but for what the two sides differ.
        turn = m[:3, :3] @ (np.eye(3) - 2 * np.outer(normal, normal))
        values, vectors = np.linalg.eigh(0.5 * (turn + turn.T))
        normal = vectors[:, int(values.argmin())] * np.sign(vectors[:, int(values.argmin())] @ across)
        point = 0.5 * (clouds["right"].mean(axis=0) + transform_points(m, mirrored).mean(axis=0))
    return point, normal


def displacement_mm(segmentation: Segmentation) -> float:
    """Return how far the bones of a pelvis lie from the mirror images of each other, as rigid bodies.

    The right hip bone is mirrored onto the left one, and the sacrum onto itself, by the plane that suits the hip bones best; the
    motion that is then still needed, averaged over the bone, is the displacement, the greater of the two. It is blunt: three generated
    pelves give 0.6 to 2.3 mm, and 2.3 to 3.3 with one hip bone 6 mm too high, 6.7 to 7.1 with 12 mm.

    Raises
    ------
    GeometryError
        As `symmetry_plane`.
    """
    point, normal = symmetry_plane(segmentation)
    right, left, sacrum = (_cloud(segmentation, name) for name in (HIPS["right"], HIPS["left"], SACRUM))
    return max(_still_needed_mm(a, b, point, normal) for a, b in ((right, left), (sacrum, sacrum)))


def _still_needed_mm(points: FloatArray, onto: FloatArray, point: FloatArray, normal: FloatArray) -> float:
    mirrored = points - 2 * ((points - point) @ normal)[:, None] * normal
    tree, moved = cKDTree(onto), mirrored
    for _ in range(30):
        distance, nearest = tree.query(moved)
        near = distance <= np.quantile(distance, 0.9)
        moved = transform_points(fit_rigid(mirrored[near], onto[nearest[near]]), mirrored)
    return float(np.linalg.norm(moved - mirrored, axis=1).mean())


def sacral_frame(segmentation: Segmentation) -> SacralFrame:
    """Find the frame of the upper sacrum.

    The canal and the foramina are the gaps in the sacrum's label that a closing by 9.5 mm fills. The canal's direction
    beside the first two segments is the frame's z; the foramina are where the gaps in front of the canal are widest.

    Raises
    ------
    GeometryError
        When a bone is missing, left and right are swapped, or the label shows no canal or no foramina.
    """
    for name in (SACRUM, *HIPS.values()):
        if name not in [s.name for s in segmentation.segments] or not segmentation.mask(name).any():
            raise GeometryError(f"there is no '{name}'", "Segment the sacrum and both hip bones.", where="pelvis")
    point, right = symmetry_plane(segmentation)
    bone, gaps, ijk_to_ras = _gaps(segmentation)
    places = _places(gaps, ijk_to_ras)
    across = (places - point) @ right
    canal_part = gaps.copy()
    canal_part[gaps] = np.abs(across) < 7.0
    numbered, _ = ndimage.label(canal_part)
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    middle = _places(numbered == int(sizes.argmax()), ijk_to_ras) if sizes.any() else places[:0]
    if len(middle) * _STEP_MM**3 < _LEAST_CANAL_MM3:
        raise GeometryError(
            "the sacral canal does not show as a gap in the label",
            "Segment the sacrum with its canal open.",
            where=SACRUM,
        )
    rough = _sacral_axes(middle, point, right, _places(bone, ijk_to_ras))
    frame = rigid(rough, point)
    local = transform_points(np.linalg.inv(frame), places)
    solid = transform_points(np.linalg.inv(frame), _places(bone, ijk_to_ras))
    canal = transform_points(np.linalg.inv(frame), middle)
    top = float(np.quantile(canal[:, 2], 0.98))

    def canal_front(z: float) -> float:
        some = canal[np.abs(canal[:, 2] - z) < 4.0]
        return float(np.quantile(some[:, 1], 0.95)) if len(some) > 20 else float(np.quantile(canal[:, 1], 0.9))

    foramina = {
        side: _foramina(local[local[:, 0] * sign > 0], canal_front, side) for side, sign in (("left", -1), ("right", 1))
    }
    origin_z = float(np.mean([f[0][2] for f in foramina.values()]))
    levels = []
    for n in (0, 1):
        z = float(np.mean([f[n][2] for f in foramina.values()])) + (12.0, 10.0)[n]
        back = canal_front(z)
        body = solid[(np.abs(solid[:, 0]) < 6) & (np.abs(solid[:, 2] - z) < 3) & (solid[:, 1] > back)]
        if not len(body):
            raise GeometryError(f"there is no S{n + 1} body in front of the canal", where=SACRUM)
        levels.append((back, float(np.quantile(body[:, 1], 0.98))))
    bodies = solid[(np.abs(solid[:, 0]) < 6) & (solid[:, 1] > levels[0][0] + 4) & (solid[:, 1] < levels[0][1] - 4)]
    endplate = float(np.quantile(bodies[:, 2], 0.995)) - origin_z
    if not 8.0 < endplate < 60.0 or top - origin_z < -10:
        raise GeometryError("no S1 body is found above the first foramina", "Check the sacrum's label.", where=SACRUM)
    down = np.array([0.0, 0.0, origin_z])
    frame = rigid(rough, transform_points(frame, down))
    moved = {side: (f[0] - down, f[1] - down) for side, f in foramina.items()}
    return SacralFrame(frame, moved, endplate, (levels[0], levels[1]), gaps, ijk_to_ras)


def _cloud(segmentation: Segmentation, name: str) -> FloatArray:
    kji = np.argwhere(segmentation.mask(name)[::2, ::2, ::2]) * 2
    if len(kji) < 50:
        raise GeometryError(f"there is no '{name}'", "Segment the sacrum and both hip bones.", where="pelvis")
    kji = kji[:: max(1, len(kji) // _POINTS)]
    return transform_points(segmentation.labels.ijk_to_ras, kji[:, ::-1])


def _places(mask: NDArray[np.bool_], ijk_to_ras: FloatArray) -> FloatArray:
    return transform_points(ijk_to_ras, np.argwhere(mask)[:, ::-1])


def _gaps(segmentation: Segmentation) -> tuple[NDArray[np.bool_], NDArray[np.bool_], FloatArray]:
    """Return the sacrum and its gaps on a grid of 1 mm with room around, and the grid's 4x4."""
    part = segmentation.around(SACRUM, 2.0)
    value = segmentation[SACRUM].value
    image = sitk.GetImageFromArray((part.voxels == value).astype(np.float32))
    image.SetSpacing(part.spacing_mm.tolist())
    room = _CLOSING_MM + 2.0
    size = np.ceil((np.array(part.shape_ijk) * part.spacing_mm + 2 * room) / _STEP_MM).astype(int)
    whole = sitk.Resample(
        image,
        size.tolist(),
        sitk.Transform(),
        sitk.sitkLinear,
        [-room] * 3,
        [_STEP_MM] * 3,
        np.eye(3).ravel().tolist(),
        0.0,
    )
    bone = sitk.GetArrayFromImage(whole) > 0.5
    grown = ndimage.distance_transform_edt(~bone) <= _CLOSING_MM
    closed = ndimage.distance_transform_edt(grown) > _CLOSING_MM
    m = np.eye(4)
    m[:3, :3] = part.directions_ras * _STEP_MM
    m[:3, 3] = part.origin_ras - part.directions_ras @ np.full(3, room)
    # Shallow hollows of the outside, as beside the crest, are no tunnels: what no ball of some width fits into is left out.
    core = ndimage.distance_transform_edt(closed & ~bone) > _NARROWEST_MM
    gaps = (closed & ~bone) & (ndimage.distance_transform_edt(~core) <= _NARROWEST_MM)
    return bone, gaps, m


def _sacral_axes(canal: FloatArray, point: FloatArray, right: FloatArray, bone: FloatArray) -> FloatArray:
    """Return right, anterior, superior as columns: superior along the upper canal, within the symmetry plane."""
    up = unit(np.array([0.0, 0.0, 1.0]) - right[2] * right)
    for _ in range(3):
        height = (canal - point) @ up
        # The canal's own middle in slices across it, over its upper part.
        top = float(np.quantile(height, 0.995))
        upper = canal[height > top - _CANAL_TOP_MM]
        slices = np.round((upper - point) @ up / 3.0)
        middles = np.array([upper[slices == n].mean(axis=0) for n in np.unique(slices)])
        if len(middles) < 5:
            raise GeometryError("the sacral canal is too short to show the sacrum's direction", where=SACRUM)
        middles = middles[1:-1]
        direction = np.linalg.svd(middles - middles.mean(axis=0))[2][0]
        direction = direction - (direction @ right) * right
        up = unit(direction * np.sign(direction @ up))
    anterior = np.cross(up, right)
    if (bone.mean(axis=0) - canal.mean(axis=0)) @ anterior < 0:
        raise GeometryError("the sacral canal lies in front of the bone", "Check the sacrum's label.", where=SACRUM)
    return np.stack([right, anterior, up], axis=1)


def _foramina(gaps: FloatArray, canal_front: Callable[[float], float], side: str) -> tuple[FloatArray, FloatArray]:
    """Return the middles of the first two foramina of one side from its gap points (N, 3) in the rough frame."""
    x = np.abs(gaps[:, 0])
    some = gaps[(x > _FORAMEN_X_MM[0]) & (x < _FORAMEN_X_MM[1])]
    levels = np.arange(np.floor(some[:, 2].min()) - 3, np.ceil(some[:, 2].max()) + 3) if len(some) else np.zeros(0)
    if len(levels):
        fronts = np.array([canal_front(float(z)) for z in levels])
        some = some[some[:, 1] > np.interp(some[:, 2], levels, fronts) + 2.0]
    if len(some) > 50:
        count = ndimage.gaussian_filter1d(
            np.histogram(some[:, 2], bins=np.append(levels, levels[-1] + 1))[0] * 1.0, 2.0
        )
        peaks, _ = signal.find_peaks(
            count, distance=int(_FORAMEN_SPACING_MM), height=0.25 * count.max(), prominence=0.15 * count.max()
        )
        if len(peaks) >= 2:
            found = []
            for z in levels[np.sort(peaks)[::-1][:2]] + 0.5:
                found.append(some[np.abs(some[:, 2] - z) < 3.0].mean(axis=0))
            return found[0], found[1]
    raise GeometryError(
        f"the first two foramina of the {side} side do not show as gaps in the label",
        "Segment the sacrum with its foramina open.",
        where=SACRUM,
    )
