"""What landmarks are looked for on: smoothed surfaces, dense points, patches that face one way, ends that were cut off."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull
from vtkmodules.vtkFiltersCore import vtkWindowedSincPolyDataFilter

from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit_rows

from ..mesh import Mesh, body_labels

#: How deep an end is looked at for whether it was cut off, how far its faces may lie off the plane of the cut, and how
#: far noise may stand out of it, mm.
_END_MM, _FLAT_MM, _BEYOND_MM = 30.0, 0.8, 2.0
#: The plane is compared with the slice of the bone so far behind it, mm.
_SLICE_MM = 16.0
#: Planes that are tried, each through one face of the end.
_TRIED = 120


def smoothed(mesh: Mesh, pass_band: float = 0.05) -> Mesh:
    """Return the surface without what is finer than a few corners, its volume kept (Taubin et al. 1996, vtkWindowedSinc)."""
    smooth = vtkWindowedSincPolyDataFilter()
    smooth.SetInputData(mesh.to_polydata())
    smooth.SetNumberOfIterations(20)
    smooth.SetPassBand(pass_band)
    smooth.NormalizeCoordinatesOn()
    smooth.FeatureEdgeSmoothingOff()
    smooth.BoundarySmoothingOff()
    smooth.Update()
    return Mesh.from_polydata(smooth.GetOutput())


def dense_points(mesh: Mesh) -> FloatArray:
    """Corners and the middles of the edges: silhouettes are finer than the triangles."""
    t = mesh.triangles_ras
    return np.concatenate([mesh.vertices_ras, *(0.5 * (t[:, k] + t[:, (k + 1) % 3]) for k in range(3))])


def surface_points(mesh: Mesh) -> tuple[FloatArray, FloatArray]:
    """Corners of the mesh and the area that each stands for."""
    third = np.linalg.norm(mesh.face_area_vectors, axis=1) / 3
    area = np.bincount(mesh.faces.ravel(), weights=np.repeat(third, 3), minlength=len(mesh.vertices_ras))
    used = area > 0
    return mesh.vertices_ras[used], np.asarray(area[used], dtype=np.float64)


def principal_axis(points: FloatArray, area: FloatArray) -> FloatArray:
    """Return the direction in which a surface is longest, unit."""
    d = points - np.average(points, axis=0, weights=area)
    return np.asarray(np.linalg.eigh((d * area[:, None]).T @ d)[1][:, -1])


def facing_patch(mesh: Mesh, direction: FloatArray, within_deg: float, among: np.ndarray) -> np.ndarray:
    """Return which faces form the largest connected patch that looks one way.

    Parameters
    ----------
    direction
        Unit; the faces' outward normals lie within so many degrees of it.
    among
        (M,) bool: faces that may belong.

    Returns
    -------
    (M,) bool; all False where no face does.
    """
    area = mesh.face_area_vectors @ direction
    facing = among & (unit_rows(mesh.face_area_vectors) @ direction > np.cos(np.radians(within_deg)))
    rows = np.flatnonzero(facing)
    patch = np.zeros(len(mesh.faces), dtype=bool)
    if len(rows):
        labels, count = body_labels(Mesh(mesh.vertices_ras, mesh.faces[rows]))
        patch[rows[labels == np.bincount(labels, weights=area[rows], minlength=count).argmax()]] = True
    return patch


def cut_off_share(mesh: Mesh, out: FloatArray) -> float:
    """Return how much of a bone's end is one plane: near 1 where the image or a saw ended it, small at a joint.

    Parameters
    ----------
    out
        Unit, out of the bone along its axis.
    """
    centre = mesh.triangles_ras.mean(axis=1)
    height = centre @ out
    vectors = mesh.face_area_vectors
    normals = unit_rows(vectors)
    end = (height > height.max() - _END_MM) & (normals @ out > np.cos(np.radians(40.0)))
    if not end.any():
        return 0.0
    across = np.column_stack(perpendicular_axes(out))
    rows = np.flatnonzero(end)
    step = max(1, len(rows) // _TRIED)
    best = 0.0
    for row in rows[np.argsort(-np.linalg.norm(vectors[rows], axis=1))][::step]:
        depth = (centre[row] - centre) @ normals[row]
        if float(depth.min()) < -_BEYOND_MM:
            continue  # the flat top of a joint lies below its spines, that of an ankle above its malleolus
        on = end & (np.abs(depth) < _FLAT_MM) & (normals @ normals[row] > 0.9)
        slice_ = centre[depth < _SLICE_MM] @ across
        if len(slice_) > 8:
            best = max(best, float((vectors[on] @ out).sum()) / float(ConvexHull(slice_).volume))
    return best


def hull_centroid(flat: FloatArray) -> FloatArray:
    """Return the centroid of the convex hull of points (N, 2)."""
    ring = flat[ConvexHull(flat).vertices]
    following = np.roll(ring, -1, axis=0)
    cross = ring[:, 0] * following[:, 1] - ring[:, 1] * following[:, 0]
    return np.asarray(((ring + following) * cross[:, None]).sum(axis=0) / (3 * cross.sum()))
