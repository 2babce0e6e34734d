"""Known solids for the tests of meshes and guides: a lumbar vertebra in closed form, its screws and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, rotation_about, transform_points
from MSKPlannerLib.guides.field import Grid
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.plan import Screw


def smooth_union(a, b, k):
    h = np.maximum(k - np.abs(a - b), 0.0) / k
    return np.minimum(a, b) - h * h * k * 0.25


def bar(p, a, b, half_thin, half_tall, tall):
    """Distance-like field of a bar from a to b with an elliptic section, `tall` along its longer half axis."""
    a, b, u = (np.asarray(x, dtype=float) for x in (a, b, tall))
    ab = b - a
    t = np.clip((p - a) @ ab / (ab @ ab), 0, 1)
    d = p - a - t[:, None] * ab
    u = u - (u @ ab) / (ab @ ab) * ab
    u /= np.linalg.norm(u)
    du = d @ u
    rest = np.maximum((d * d).sum(1) - du * du, 0)
    q = np.sqrt(rest / half_thin**2 + du**2 / half_tall**2 + 1e-6)
    g = np.sqrt(rest / half_thin**4 + du**2 / half_tall**4 + 1e-9)
    return (q - 1) * q / np.maximum(g, 1e-3)


def vertebra_field(p, size=1.0):
    """Level-set function (negative inside) of a lumbar vertebra in its own frame: x right, y anterior, z superior."""
    x, y, z = (p / size).T
    q = np.stack([x, -y, z], axis=1)  # written with y backwards
    x, y, z = q.T
    a, b, h, xp = 22.0, 16.0, 27.0, 15.5
    yy = np.abs(y + np.exp(-((x / (0.45 * a)) ** 2)) * 2.2 * (y > 0))
    side = (((np.abs(x) / a) ** 2.5 + (yy / b) ** 2.5 + 1e-6) ** 0.4 - 1) * b
    d = -smooth_union(-side, -(np.abs(z) - h / 2), 2.5)
    for s in (-1, 1):
        parts = (
            bar(q, [xp * 0.92 * s, b - 4, 4.5], [xp * 1.08 * s, b + 11, 4.0], 4.6, 7.8, [0, 0, 1]),
            bar(q, [xp * 1.02 * s, b + 12, 1], [2 * s, b + 26, -5], 3.4, 10.5, [0, 0.25, 1]),
            bar(q, [xp * 1.08 * s, b + 10, 6], [xp * 1.22 * s, b + 12.5, h / 2 + 5], 4.3, 6.0, [1, 0.6, 0]),
            bar(q, [xp * 0.85 * s, b + 17, -4], [xp * s, b + 20.5, -h / 2 - 9], 4.0, 6.0, [1, 0.6, 0]),
            bar(q, [xp * s, b + 9, 3], [42 * s, b + 13, 5], 3.2, 5.5, [0, 0, 1]),
        )
        for part in parts:
            d = smooth_union(d, part, 2.5)
    spinous = bar(q, [0, b + 24, -5], [0, b + 48, -9], 2.9, 9.5, [0, 0, 1])
    return smooth_union(d, spinous, 2.5) * size


@dataclass(frozen=True)
class ToyFrame:
    centre_ras: FloatArray
    right_ras: FloatArray
    anterior_ras: FloatArray
    superior_ras: FloatArray


@dataclass(frozen=True)
class ToyVertebra:
    """A vertebra at a pose: its surface, frame and screws."""

    bone: Mesh
    frame: ToyFrame
    screws: tuple[Screw, ...]
    to_ras: FloatArray


def toy_vertebra(pose=None, level="L3", spacing_mm=0.9, size=1.0) -> ToyVertebra:
    pose = rigid() if pose is None else pose
    low = np.array([-54.0, -80.0, -34.0]) * size
    shape = tuple(int(n) for n in np.ceil(np.array([108.0, 102.0, 62.0]) * size / spacing_mm) + 1)
    grid = Grid(rigid(translation=low), spacing_mm, shape)
    bone = grid.surface(vertebra_field(grid.points_ras(), size).reshape(shape)).transformed(pose)
    r = pose[:3, :3]
    frame = ToyFrame(pose[:3, 3], r[:, 0], r[:, 1], r[:, 2])
    screws = []
    for name, s in (("left", -1), ("right", 1)):
        start = np.array([14.8 * s, -8.0, 4.4]) * size
        back = np.array([0.12 * s, -1.0, 0.0])
        back /= np.linalg.norm(back)
        t = np.linspace(0, 60, 6001)
        inside = vertebra_field(start + t[:, None] * back, size) < 0
        entry = start + t[np.flatnonzero(~inside)[0]] * back
        tip = entry - 45 * back
        e, q = transform_points(pose, entry), transform_points(pose, tip)
        screws.append(Screw(f"{level} {name}", "pedicle", level, name, tuple(e), tuple(q), 6.0, 45.0, 1.5, "A"))
    return ToyVertebra(bone, frame, tuple(screws), pose)


def neighbour_of(vertebra: ToyVertebra, up: bool, size: float = 1.0) -> Mesh:
    """The next bone above or below: the same shape, one disc space of a spine of that size further and tilted a little."""
    step = rigid(rotation_about([1, 0, 0], 6.0 if up else -6.0), [0, -size, 36.5 * size if up else -36.5 * size])
    return vertebra.bone.transformed(vertebra.to_ras @ step @ invert_rigid(vertebra.to_ras))


def box_mesh(size=(10.0, 20.0, 30.0), centre=(0.0, 0.0, 0.0)) -> Mesh:
    import trimesh

    b = trimesh.creation.box(size)
    return Mesh(np.asarray(b.vertices) + np.asarray(centre), np.asarray(b.faces))


def sphere_mesh(radius=10.0, centre=(0.0, 0.0, 0.0), subdivisions=4) -> Mesh:
    import trimesh

    b = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(np.asarray(b.vertices) + np.asarray(centre), np.asarray(b.faces))


def joined(*meshes: Mesh) -> Mesh:
    """Meshes put into one without merging anything."""
    offsets = np.cumsum([0] + [len(m.vertices_ras) for m in meshes])
    return Mesh(
        np.concatenate([m.vertices_ras for m in meshes]),
        np.concatenate([m.faces + o for m, o in zip(meshes, offsets, strict=False)]),
    )


def rounded_box_field(p, half, radius=4.0):
    """Distance to a box of half sizes (3,) about the origin with rounded edges, negative inside."""
    q = np.abs(p) - (np.asarray(half) - radius)
    return np.linalg.norm(np.maximum(q, 0.0), axis=1) + np.minimum(q.max(axis=1), 0.0) - radius


def rounded_box(half, spacing_mm=2.0, radius=4.0) -> Mesh:
    """That box in triangles as small as a bone's: a guide does not sit on edges as sharp as a box's."""
    low = -np.asarray(half) - 2.0 * spacing_mm
    shape = tuple(int(n) for n in np.ceil(-2 * low / spacing_mm) + 1)
    grid = Grid(rigid(translation=low), spacing_mm, shape)
    return grid.surface(rounded_box_field(grid.points_ras(), half, radius).reshape(shape))
