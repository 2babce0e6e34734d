"""Pictures of meshes without a graphics card: a depth buffer in numpy, the same bytes on every machine."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.frames import FloatArray, unit, unit_rows
from MSKFusionLib.terminology import Colour

from ..mesh import Mesh

#: Light from over the viewer's left shoulder, in the picture's axes (right, up, to the viewer).
_LIGHT = unit(np.array([-0.4, 0.6, 1.0]))
_AMBIENT = 0.35
_MARGIN_SHARE = 0.06
#: A step in depth of more than this is outlined.
_STEP_MM = 0.45
#: Points a triangle is drawn by at most, per side.
_FINEST = 60


def draw(
    bodies: Sequence[tuple[Mesh, Colour]],
    to_viewer_ras: FloatArray,
    up_ras: FloatArray,
    *,
    size_px: tuple[int, int] = (480, 400),
    frame_on: Mesh | None = None,
) -> bytes:
    """Return a PNG of bodies seen along a direction, without perspective, so that lengths can be compared.

    Parameters
    ----------
    to_viewer_ras, up_ras
        From the bodies to the viewer, and what is up in the picture.
    frame_on
        The picture shows all of this mesh; None: of all bodies.
    """
    z = unit(to_viewer_ras)
    x = unit(np.cross(up_ras, z))
    axes = np.stack([x, np.cross(z, x), z])
    shown = [m.vertices_ras for m, _ in bodies] if frame_on is None else [frame_on.vertices_ras]
    corners = np.concatenate(shown) @ axes.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    wide, tall = size_px
    scale = (1 - 2 * _MARGIN_SHARE) * min(wide / max(high[0] - low[0], 1e-6), tall / max(high[1] - low[1], 1e-6))
    middle = (low + high) / 2
    depth = np.full(wide * tall, -np.inf)
    image = np.full((wide * tall, 3), 255, dtype=np.uint8)
    for mesh, colour in bodies:
        _draw(mesh, colour, axes, middle, scale, (wide, tall), depth, image)
    return _png(_outlined(image.reshape(tall, wide, 3), depth.reshape(tall, wide), scale))


def _outlined(image: NDArray[np.uint8], depth: FloatArray, scale: float) -> NDArray[np.uint8]:
    """Return the picture with steps in depth drawn darker: raised letters seen from above show by nothing else."""
    filled = np.where(np.isfinite(depth), depth, -1e6)
    nearest = filled.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            nearest = np.maximum(nearest, np.roll(filled, step, axis=axis))
    behind = (nearest - filled > _STEP_MM * scale) & np.isfinite(depth)
    return np.where(behind[..., None], image // 2, image)


def _draw(
    mesh: Mesh,
    colour: Colour,
    axes: FloatArray,
    middle: FloatArray,
    scale: float,
    size: tuple[int, int],
    depth: FloatArray,
    image: NDArray[np.uint8],
) -> None:
    wide, tall = size
    placed = (mesh.vertices_ras @ axes.T - middle) * scale
    normals = unit_rows(mesh.face_area_vectors @ axes.T)
    t = placed[mesh.faces]
    seen = normals[:, 2] > 0
    inside = (np.abs(t[..., 0]).min(axis=1) < wide / 2) & (np.abs(t[..., 1]).min(axis=1) < tall / 2)
    t, normals = t[seen & inside], normals[seen & inside]
    shade = _AMBIENT + (1 - _AMBIENT) * np.clip(normals @ _LIGHT, 0, 1)
    tint = np.clip(255 * shade[:, None] * np.asarray(colour), 0, 255).astype(np.uint8)
    longest = np.linalg.norm((t - np.roll(t, -1, axis=1))[..., :2], axis=2).max(axis=1)
    # Sampled at most 0.7 pixels apart, so that no pixel of a triangle is left out.
    parts = np.clip(np.ceil(longest / 0.7), 1, None).astype(int)
    while (parts > _FINEST).any():
        long = parts > _FINEST
        a, b, c = (t[long][:, k] for k in range(3))
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        four = [np.stack(p, axis=1) for p in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        t = np.concatenate([t[~long], *four])
        tint = np.concatenate([tint[~long], *[tint[long]] * 4])
        parts = np.concatenate([parts[~long], *[-(-parts[long] // 2)] * 4])
    for n in np.unique(parts):
        which = np.flatnonzero(parts == n)
        i, j = (g.ravel() for g in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
        keep = i + j <= n
        weights = np.stack([n - i - j, i, j], axis=1)[keep] / n
        for block in np.array_split(which, max(1, len(which) * len(weights) // 2_000_000)):
            points = np.einsum("kw,mwc->mkc", weights, t[block])
            _put(points.reshape(-1, 3), np.repeat(tint[block], len(weights), axis=0), size, depth, image)


def _put(
    points: FloatArray, tint: NDArray[np.uint8], size: tuple[int, int], depth: FloatArray, image: NDArray[np.uint8]
) -> None:
    wide, tall = size
    column, row = np.floor(points[:, 0] + wide / 2).astype(int), np.floor(tall / 2 - points[:, 1]).astype(int)
    ok = np.flatnonzero((column >= 0) & (column < wide) & (row >= 0) & (row < tall))
    at, z = row[ok] * wide + column[ok], points[ok, 2]
    np.maximum.at(depth, at, z)
    front = z >= depth[at]
    image[at[front]] = tint[ok[front]]


def _png(image: NDArray[np.uint8]) -> bytes:
    tall, wide = image.shape[:2]
    rows = np.concatenate([np.zeros((tall, 1), dtype=np.uint8), image.reshape(tall, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", wide, tall, 8, 2, 0, 0, 0)
    packed = zlib.compress(rows.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
