"""The same cuts by this project, by manifold3d alone and by VTK: time, closed fragments, volumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import vtk

from MSKFusionLib.errors import MSKError
from MSKPlannerLib.guides.solid import from_manifold, to_manifold
from MSKPlannerLib.mesh import Mesh, merge_vertices
from MSKPlannerLib.osteotomy.cuts import PlaneCut
from MSKPlannerLib.osteotomy.fragments import cut_bone
from MSKPlannerLib.osteotomy.plane import Plane

#: Fragments and what the saws take.
Parts = tuple[list[Mesh], list[Mesh]]
Cutter = Callable[[Mesh, list[Plane], float], Parts]


def ours(bone: Mesh, planes: list[Plane], kerf_mm: float) -> Parts:
    """Cut as the planner does, with all its checks."""
    result = cut_bone(bone, [PlaneCut(f"plane {n}", p, kerf_mm) for n, p in enumerate(planes)])
    return list(result.fragments), [k for k in result.kerf if len(k.faces)]


def manifold_alone(bone: Mesh, planes: list[Plane], kerf_mm: float) -> Parts:
    """Cut by manifold3d's own half-space splits, and take the fragments apart."""
    pieces, lost = [to_manifold(bone, "bone")], []
    for plane in planes:
        n, level = plane.normal_ras.tolist(), float(plane.normal_ras @ plane.point_ras)
        kept = []
        for piece in pieces:
            above, rest = piece.split_by_plane(n, level + kerf_mm / 2)
            if kerf_mm:
                dust, rest = rest.split_by_plane(n, level - kerf_mm / 2)
                lost.append(dust)
            kept += [above, rest]
        pieces = kept
    bodies = [b for p in pieces if not p.is_empty() for b in p.decompose()]
    return [from_manifold(b) for b in bodies], [from_manifold(d) for d in lost if not d.is_empty()]


def vtk_clipping(bone: Mesh, planes: list[Plane], kerf_mm: float) -> Parts:
    """Clip by vtkClipClosedSurface, once for each part."""
    regions: list[list[tuple[Plane, bool]]] = [[]]
    slots: list[list[tuple[Plane, bool]]] = []
    for plane in planes:
        high, low = plane.shifted(kerf_mm / 2), plane.shifted(-kerf_mm / 2)
        if kerf_mm:
            slots += [[*r, (high, False), (low, True)] for r in regions]
        regions = [[*r, side] for r in regions for side in ((high, True), (low, False))]
    data = bone.to_polydata()
    return [m for r in regions if len((m := _clip(data, r)).faces)], [
        m for r in slots if len((m := _clip(data, r)).faces)
    ]


def _clip(data: vtk.vtkPolyData, sides: list[tuple[Plane, bool]]) -> Mesh:
    collection = vtk.vtkPlaneCollection()
    for plane, above in sides:
        p = vtk.vtkPlane()
        p.SetOrigin(*plane.point_ras)
        p.SetNormal(*(plane.normal_ras if above else -plane.normal_ras))
        collection.AddItem(p)
    clip = vtk.vtkClipClosedSurface()
    clip.SetInputData(data)
    clip.SetClippingPlanes(collection)
    clip.Update()
    return merge_vertices(Mesh.from_polydata(clip.GetOutput()))


CUTTERS: dict[str, Cutter] = {"ours": ours, "manifold3d": manifold_alone, "VTK clipping": vtk_clipping}


@dataclass(frozen=True)
class Cutting:
    """One cutting by one cutter."""

    cutter: str
    fragments: int
    closed: bool
    volume_error_share: float
    seconds: float
    cpu_seconds: float
    error: str = ""


def cutting(name: str, bone: Mesh, planes: list[Plane], kerf_mm: float) -> Cutting:
    """Cut and judge: the mesh comes fresh, so that nothing about it is known beforehand."""
    fresh = Mesh(bone.vertices_ras.copy(), bone.faces.copy())
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        kept, lost = CUTTERS[name](fresh, planes, kerf_mm)
    except MSKError as error:
        return Cutting(name, 0, False, np.nan, time.perf_counter() - wall, time.process_time() - cpu, str(error))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    share = abs(sum(m.volume_mm3 for m in [*kept, *lost]) - bone.volume_mm3) / bone.volume_mm3
    return Cutting(name, len(kept), all(m.is_closed for m in [*kept, *lost]), share, wall, cpu)


def long_bone(triangles: int) -> Mesh:
    """A shaft with two heads, smooth, of about so many triangles."""
    import manifold3d as m3

    around = 4 * int(np.sqrt(triangles / 8.0))
    points = from_manifold(m3.Manifold.sphere(1.0, around))
    x, y, z = points.vertices_ras.T
    width = 12 + 18 * z**6 + 2 * np.cos(9 * z)
    return Mesh(np.stack([x * width * 1.2, y * width, 200 * z], axis=1), points.faces)


def stairs() -> Mesh:
    """A bone as voxels show it: flat faces everywhere, edges on a grid."""
    import manifold3d as m3

    boxes = [m3.Manifold.cube([40 - 2 * n, 30 - n, 6.0], True).translate([0, 0, 6.0 * n]) for n in range(8)]
    hole = m3.Manifold.cube([8.0, 8.0, 200.0], True)
    return from_manifold(m3.Manifold.batch_boolean(boxes, m3.OpType.Add) - hole)


def bones(data: Path) -> dict[str, Mesh]:
    """Bones for the random planes; real ones where the data are."""
    found = {"shaft": long_bone(20_000), "stairs": stairs()}
    for file in sorted((data / "meshes" / "knee_pymskt").glob("*.vtk"))[2:]:
        reader = vtk.vtkPolyDataReader()
        reader.SetFileName(str(file))
        reader.Update()
        mesh = merge_vertices(Mesh.from_polydata(reader.GetOutput()))
        if mesh.volume_mm3 < 0:
            mesh = Mesh(mesh.vertices_ras, mesh.faces[:, ::-1])
        if mesh.is_closed:
            found[file.stem[:20]] = mesh
    return found


def hostile_planes(mesh: Mesh, count: int, seed: int) -> Iterator[tuple[str, Plane]]:
    """Yield planes: at random, through three corners, and along a face."""
    rng = np.random.default_rng(seed)
    low, high = mesh.bounds_ras
    for n in range(count):
        kind = ("random", "corners", "face")[n % 3]
        if kind == "random":
            yield kind, Plane(rng.uniform(0.7 * low + 0.3 * high, 0.3 * low + 0.7 * high), rng.normal(size=3))
            continue
        face = mesh.faces[rng.integers(len(mesh.faces))]
        rows = face if kind == "face" else rng.choice(len(mesh.vertices_ras), 3, replace=False)
        p = mesh.vertices_ras[rows]
        normal = np.cross(p[1] - p[0], p[2] - p[0])
        if np.linalg.norm(normal) > 1e-9:
            yield kind, Plane(p[0], normal)
