"""Places on the hip bones that corridors run between: from the bones' own shape, as far as an estimate needs them.

They only say where lines are searched: the regions about them are centimetres wide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage, signal

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, rigid, transform_points, unit
from MSKFusionLib.segmentation.labels import Segmentation

from .pelvis import HIPS, SACRUM, SacralFrame, symmetry_plane

#: What a user may place instead of what is found.
PLACEABLE = ("asis", "aiis", "psis", "pubis", "sacral_dorsum", "ischium")
_POINTS = 40_000
#: The AIIS from the ASIS, as shares of the way to the pubis (lateral, backwards and down in the pelvis's frame). In adults
#: it lies some 40 mm below the ASIS, 15 to 20 mm nearer to the midline and a centimetre behind the plane of ASIS and pubis.
_AIIS_DOWN, _AIIS_MEDIAL, _AIIS_BACK = 0.39, 0.16, 0.10
#: Where the front edge shows it, it is the hump that stands out below the notch under the ASIS: so much at least, between these
#: shares of the way down to the pubis, on the part of the bone that lies so far lateral of the pubis towards the ASIS.
_AIIS_STANDS_MM, _AIIS_HIGHEST, _AIIS_LOWEST, _EDGE_SHARE = 0.8, 0.16, 0.52, 0.45
#: From there towards the PSIS, above the hip joint and before the sciatic notch.
_ABOVE_JOINT_SHARE = 0.5
#: The iliac dome above the joint, from the AIIS towards the PSIS.
_DOME_SHARE = 0.15
#: Farther along that way lies the thick bone above the sciatic notch that a screw through the wing of S2 ends in.
_BAR_SHARE = 0.36
#: The pubis is looked for so far from the midline.
_PUBIS_X_MM = (4.0, 22.0)
_SHORTEST_MM = 60.0
#: The screw through the wing of S2 enters by this share farther out than the foramina are.
_DORSUM_LATERAL = 1.2


@dataclass(frozen=True, eq=False)
class PelvicPlaces:
    """Frame and places of one pelvis.

    Parameters
    ----------
    frame_to_ras
        4x4; x right across the symmetry plane, y normal to the plane of both ASIS and the pubis, z superior.
    places
        By side, then by name (see `screws.sites.description.PLACES`), (3,) RAS mm.
    """

    frame_to_ras: FloatArray
    places: dict[str, dict[str, FloatArray]]

    def placed(self, side: str, points_ras: Mapping[str, FloatArray]) -> PelvicPlaces:
        """Return the places with some of a side's (of `PLACEABLE`) where a user put them; what lies between them follows."""
        named = {**self.places[side], **points_ras}
        if "aiis" in points_ras:
            named["aiis_seen"] = points_ras["aiis"]
        follows = {} if not {"aiis", "psis"} & set(points_ras) else _between(named)
        return replace(self, places={**self.places, side: {**named, **follows}})


def pelvic_places(segmentation: Segmentation, sacrum: SacralFrame | None = None) -> PelvicPlaces:
    """Find ASIS, AIIS (estimated), PSIS, pubis and the iliac dome of both sides, and with the sacrum its dorsum beside S1/S2.

    Raises
    ------
    GeometryError
        When left and right are swapped, or a hip bone is cut so that its places cannot be told.
    """
    point, right = symmetry_plane(segmentation)
    clouds = {side: _dense(segmentation, name) for side, name in HIPS.items()}
    anterior = unit(np.array([0.0, 1.0, 0.0]) - right[1] * right)
    axes = np.stack([right, anterior, np.cross(right, anterior)], axis=1)
    for _ in range(4):
        # The anterior pelvic plane rests on both ASIS and the pubis; the patient may lie tilted.
        local = {side: (cloud - point) @ axes for side, cloud in clouds.items()}
        asis = {side: _asis(p) for side, p in local.items()}
        pubis = {side: _pubis(p, asis[side]) for side, p in local.items()}
        up = np.mean([asis[side] - pubis[side] for side in HIPS], axis=0)
        if up[2] < _SHORTEST_MM * 0.8:
            raise GeometryError("ASIS and pubis are not both in view", "Take a CT of the whole pelvis.", where="pelvis")
        superior = unit(axes @ np.array([0.0, up[1], up[2]]))
        axes = np.stack([right, np.cross(superior, right), superior], axis=1)
    frame = rigid(axes, point)
    local = {side: (cloud - point) @ axes for side, cloud in clouds.items()}
    places: dict[str, dict[str, FloatArray]] = {}
    for side, p in local.items():
        asis_p = _asis(p)
        pubis_p = _pubis(p, asis_p)
        # Above the middle of ASIS and pubis the PSIS is what lies farthest back.
        upper = p[p[:, 2] > 0.5 * (asis_p[2] + pubis_p[2])]
        psis = _mean_of_extreme(upper, -upper[:, 1])
        drop = float(asis_p[2] - pubis_p[2])
        aiis = asis_p + np.array([-_AIIS_MEDIAL * (asis_p[0] - pubis_p[0]), -_AIIS_BACK * drop, -_AIIS_DOWN * drop])
        named = {"asis": asis_p, "pubis": pubis_p, "psis": psis, "aiis": aiis}
        seen = _aiis_seen(p, asis_p, pubis_p)
        if seen is not None:
            named["aiis_seen"] = seen
        named |= _between(named)
        # Of the part behind the hip joint what lies lowest is the ischial tuberosity; the screw's way starts within it.
        rear = p[p[:, 1] < 0.5 * (pubis_p[1] + psis[1])]
        if len(rear) > 20:
            named["ischium"] = _mean_of_extreme(rear, -rear[:, 2])
        if float(np.linalg.norm(psis - aiis)) < _SHORTEST_MM:
            raise GeometryError(f"the {side} hip bone is cut by the field of view", where="pelvis")
        places[side] = {name: np.asarray(transform_points(frame, q)) for name, q in named.items()}
        if sacrum is not None:
            places[side]["sacral_dorsum"] = _sacral_dorsum(segmentation, sacrum, side)
    return PelvicPlaces(frame, places)


def _between(named: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the places that lie on the ways from the AIIS to the PSIS."""
    aiis, psis = named["aiis"], named["psis"]
    out = {"iliac_dome": aiis + _DOME_SHARE * (psis - aiis), "iliac_bar": aiis + _BAR_SHARE * (psis - aiis)}
    if "aiis_seen" in named:
        out["above_joint"] = named["aiis_seen"] + _ABOVE_JOINT_SHARE * (psis - named["aiis_seen"])
    return out


def _aiis_seen(points: FloatArray, asis: FloatArray, pubis: FloatArray) -> FloatArray | None:
    """Return the AIIS where the front edge of the bone shows it: the hump under the notch below the ASIS; else None."""
    lateral = np.abs(points[:, 0])
    least = abs(pubis[0]) + _EDGE_SHARE * (abs(asis[0]) - abs(pubis[0]))
    edge = points[lateral > least]
    drop = float(asis[2] - pubis[2])
    heights = asis[2] - np.arange(0.0, _AIIS_LOWEST * drop, 1.0)
    front = np.full(len(heights), np.nan)
    for n, z in enumerate(heights):
        here = edge[np.abs(edge[:, 2] - z) < 1.5]
        if len(here) > 3:
            front[n] = float(here[:, 1].max())
    known = np.flatnonzero(~np.isnan(front))
    if len(known) < 0.8 * len(front):
        return None
    smooth = ndimage.gaussian_filter1d(np.interp(np.arange(len(front)), known, front[known]), 1.5)
    peaks, found = signal.find_peaks(smooth, prominence=_AIIS_STANDS_MM)
    fit = [n for n, peak in enumerate(peaks) if peak > _AIIS_HIGHEST * drop]
    if not fit:
        return None
    z = heights[peaks[max(fit, key=lambda n: found["prominences"][n])]]
    here = edge[np.abs(edge[:, 2] - z) < 2.0]
    return _mean_of_extreme(here, here[:, 1])


def _sacral_dorsum(segmentation: Segmentation, sacrum: SacralFrame, side: str) -> FloatArray:
    """Return the place on the back of the sacrum between and a little lateral to the first two foramina."""
    first, second = sacrum.foramina[side]
    back = np.arange(0.0, 60.0, 0.5)
    line = np.stack(
        [
            np.full_like(back, _DORSUM_LATERAL * 0.5 * (first[0] + second[0])),
            0.5 * (first[1] + second[1]) - back,
            np.full_like(back, 0.5 * (first[2] + second[2])),
        ],
        axis=-1,
    )
    ras = transform_points(sacrum.frame_to_ras, line)
    labels = segmentation.labels
    last = np.array(labels.shape_ijk) - 1
    i, j, k = np.clip(np.rint(transform_points(labels.ras_to_ijk, ras)).astype(int), 0, last).T
    inside = labels.voxels[k, j, i] == segmentation[SACRUM].value
    if not inside.any():
        raise GeometryError("there is no bone beside the first two foramina", "Check the sacrum's label.", where=SACRUM)
    return np.asarray(ras[int(np.flatnonzero(inside)[-1])])


def _dense(segmentation: Segmentation, name: str) -> FloatArray:
    kji = np.argwhere(segmentation.mask(name)[::2, ::2, ::2]) * 2
    kji = kji[:: max(1, len(kji) // _POINTS)]
    return np.asarray(transform_points(segmentation.labels.ijk_to_ras, kji[:, ::-1]))


def _mean_of_extreme(points: FloatArray, value: FloatArray) -> FloatArray:
    """Return the mean of the points within 3 mm of the largest value."""
    return np.asarray(points[value > value.max() - 3.0].mean(axis=0))


def _asis(points: FloatArray) -> FloatArray:
    lateral = np.abs(points[:, 0])
    outer = points[lateral > 0.7 * lateral.max()]
    outer = outer[outer[:, 2] > np.median(points[:, 2])]
    return _mean_of_extreme(outer, outer[:, 1])


def _pubis(points: FloatArray, asis: FloatArray) -> FloatArray:
    x = np.abs(points[:, 0])
    inner = points[
        (x > _PUBIS_X_MM[0]) & (x < _PUBIS_X_MM[1]) & (points[:, 2] < asis[2] - 20.0) & (points[:, 1] > asis[1] - 60.0)
    ]
    if len(inner) < 20:
        raise GeometryError("there is no pubis near the midline", "Take a CT of the whole pelvis.", where="pelvis")
    return _mean_of_extreme(inner, inner[:, 1])
