"""Guides: a seeded sweep over generated bones, and the time of one guide on ever finer bones beside other routes.

    .venv/bin/python Testing/benchmarks/guides.py --part sweep --kinds drill,cut,resection,facets,dome,pin,reduction,levels,skin --seeds 1-500 --out guides.json
    .venv/bin/python Testing/benchmarks/guides.py --part speed

The sweep appends a line a guide to FILE.jsonl as it ends and goes on from there with --resume. What fails is printed with
its seed. Soundness is judged by trimesh and by the distances of VTK, not by what made the guide.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.femur_shapes import femur_mesh
from core.guide_shapes import neighbour_of, toy_vertebra
from core.resection_shapes import sawn_face

from MSKFusionLib.errors import MSKError
from MSKFusionLib.frames import rigid, rotation_about, transform_points, unit
from MSKPlannerLib.guides.checks import failed
from MSKPlannerLib.guides.cut_options import CuttingGuideOptions
from MSKPlannerLib.guides.cutting_guide import design_cutting_guide
from MSKPlannerLib.guides.drill_guide import design_drill_guide
from MSKPlannerLib.guides.field import distance_to
from MSKPlannerLib.guides.levels_guide import Level, design_levels_guide
from MSKPlannerLib.guides.options import GuideOptions
from MSKPlannerLib.guides.pin_guide import design_pin_guide
from MSKPlannerLib.guides.pins import row_of_pins
from MSKPlannerLib.guides.presets import load_cutting_options, load_guide_options
from MSKPlannerLib.guides.sawn_face import SawnFace
from MSKPlannerLib.guides.skin_frame import Way, design_skin_frame
from MSKPlannerLib.guides.skin_options import SkinFrameOptions
from MSKPlannerLib.guides.slots_guide import design_slots_guide
from MSKPlannerLib.guides.solid import box, cylinder, from_manifold
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.osteotomy.bodies import joined
from MSKPlannerLib.osteotomy.cut_shape import CutKind, CutShape
from MSKPlannerLib.osteotomy.drill_first import corrected_bone, design_reduction_guide, holes_beside, reduction_options
from MSKPlannerLib.osteotomy.form_guide import design_dome_guide, design_facets_guide
from MSKPlannerLib.osteotomy.plane import Plane
from MSKPlannerLib.osteotomy.planned import AskedCut, plan_cuts
from MSKPlannerLib.osteotomy.usual_forms import section_of, usual_dome, usual_step, usual_tongue
from MSKPlannerLib.percutaneous.skin import Skin, find_skin
from MSKPlannerLib.percutaneous.skin_surface import skin_entry_ras, skin_surface
from MSKPlannerLib.plan import GuideCut

#: Bars of the sweep: deviation of the gap, and what counts as overlap with the bone, mm and mm3.
GAP_ERROR_MM, OVERLAP_MM3 = 0.1, 0.1
_BONES: dict[str, Mesh] = {}


def drill_case(seed: int):
    """A vertebra of another size and pose, screws a little elsewhere, another drill and clearance."""
    rng = np.random.default_rng(seed)
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(0, 180)), rng.uniform(-300, 300, 3))
    size = rng.uniform(0.8, 1.15)
    v = toy_vertebra(pose, spacing_mm=1.1 * size, size=size)
    options = GuideOptions(
        fit_clearance_mm=round(rng.uniform(0.1, 0.5), 2),
        drill_diameter_mm=float(rng.choice([1.6, 2.7, 3.2])),
        sleeve_length_mm=float(rng.integers(14, 24)),
    )
    neighbours = [neighbour_of(v, up, size) for up in (False, True) if rng.random() < 0.5]
    return v.bone, options, lambda: design_drill_guide(v.bone, v.frame, v.screws, options, neighbours=neighbours)


def cut_case(seed: int):
    """A plane anywhere along a femur, from any side, another saw and clearance."""
    rng = np.random.default_rng(seed)
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(0, 180)), rng.uniform(-300, 300, 3))
    bone = _femur().transformed(pose)
    height, turn = rng.uniform(45, 280), rng.uniform(0, 2 * np.pi)
    normal = unit(np.array([*rng.normal(0, 0.2, 2), 1.0]))
    approach = np.array([np.cos(turn), np.sin(turn), rng.normal(0, 0.15)])
    # The shaft's axis runs from (0, 6, 40) to (0, 0, 365).
    point = np.array([0.0, 6.0 - 6.0 * (height - 40) / 325, height])
    cut = GuideCut("cut", tuple(pose[:3, :3] @ point + pose[:3, 3]), tuple(pose[:3, :3] @ normal))
    options = CuttingGuideOptions(
        fit_clearance_mm=round(rng.uniform(0.1, 0.5), 2),
        blade_thickness_mm=float(rng.choice([0.6, 0.9, 1.27])),
        slot_width_mm=float(rng.choice([16.0, 22.0, 26.0])),
        slot_height_mm=float(rng.integers(7, 13)),
    )
    return bone, options, lambda: design_cutting_guide(bone, cut, pose[:3, :3] @ approach, options)


def resection_case(seed: int):
    """Two to four planes round a tumour anywhere in the lower half of a femur, from any side, another saw and clearance."""
    rng = np.random.default_rng(seed)
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(0, 180)), rng.uniform(-300, 300, 3))
    bone = _femur().transformed(pose)
    height, turn = rng.uniform(15, 200), rng.uniform(0, 2 * np.pi)
    approach = np.array([np.cos(turn), np.sin(turn), rng.normal(0, 0.1)])
    beside = unit(np.cross(approach, [0.0, 0.0, 1.0]))
    middle = np.array([0.0, 6.0 - 6.0 * (height - 40) / 325, height]) + 8.0 * approach
    # Up, down, and none, one or two beside, which leave the bone its other part.
    ways = [np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, -1.0]), beside, -beside][: int(rng.integers(2, 5))]
    away = [rng.uniform(14, 20), rng.uniform(14, 20), rng.uniform(4, 10), rng.uniform(4, 10)]
    planes = []
    for k, (way, far) in enumerate(zip(ways, away, strict=False)):
        normal = unit(way + rng.normal(0, 0.12, 3))
        planes.append(GuideCut(f"plane {k + 1}", tuple(middle + far * normal), tuple(normal)))
    options = replace(
        load_cutting_options("resection"),
        fit_clearance_mm=round(rng.uniform(0.1, 0.5), 2),
        blade_thickness_mm=float(rng.choice([0.6, 0.9])),
        slot_height_mm=float(rng.integers(7, 13)),
    )

    def moved(cut: GuideCut) -> GuideCut:
        return GuideCut(
            cut.name, tuple(transform_points(pose, np.array(cut.point_ras))), tuple(pose[:3, :3] @ cut.normal_ras)
        )

    def design():
        faces = [sawn_face(p, planes, approach) for p in planes]
        placed = [
            SawnFace(
                moved(f.cut), pose[:3, :3] @ f.outward_ras, transform_points(pose, f.points_ras),
                tuple(moved(c) for c in f.limits), f.middle_mm,
            )
            for f in faces
        ]  # fmt: skip
        return design_slots_guide(bone, placed, options, leaves=[moved(p) for p in planes])

    return bone, options, design


def _planned_form(rng: np.random.Generator, name: str):
    """A femur at any pose with a biplanar wedge, a step or a dome in it, turned anyhow about the bone: bone, record, approach."""
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(0, 180)), rng.uniform(-300, 300, 3))
    height = rng.uniform(45, 75) if name == "biplanar" else rng.uniform(60, 250)
    turn = rotation_about([0, 0, 1], rng.uniform(0, 360)) @ rotation_about([0, 1, 0], rng.uniform(-6, 6))
    # The shaft's axis runs from (0, 6, 40) to (0, 0, 365).
    frame = rigid(turn, np.array([0.0, 6.0 - 6.0 * (height - 40) / 325, height]))
    face = transform_points(np.linalg.inv(frame), section_of(_femur(), Plane(frame[:3, 3], frame[:3, 2])).vertices_ras)
    side = float(rng.choice([-1, 1]))
    if name == "biplanar":  # its hinge 6 to 9 mm before the far cortex
        frame = frame @ rigid(translation=[face[:, 0].min() + rng.uniform(6, 9), 0, 0])
        tongue = usual_tongue(
            _femur(), frame, side * frame[:3, 1], rng.uniform(0.25, 0.33) * float(np.ptp(face[:, 1])),
            rng.uniform(100, 120),
        )  # fmt: skip
        shape, approach = CutShape(CutKind.OPENING, pose @ frame, rng.uniform(4, 12), 1.0, tongue), frame[:3, 0]
    elif name == "step":
        step = usual_step(_femur(), frame, rng.uniform(0, 12), rng.uniform(24, 40), rng.uniform(-8, 8))
        shape, approach = CutShape(CutKind.STEP, pose @ frame, 0.0, 1.0, step), side * frame[:3, 1]
    else:
        dome = usual_dome(_femur(), frame, float(rng.choice([-1, 1])))
        shape, approach = CutShape(CutKind.DOME, pose @ frame, rng.uniform(3, 12), 1.0, dome), side * frame[:3, 1]
    bone = _femur().transformed(pose)
    record = plan_cuts([AskedCut("cut", "femur", shape)], {"femur": bone}, solids=False)[0].record
    return bone, record, tuple(float(x) for x in pose[:3, :3] @ approach)


def facets_case(seed: int):
    """A biplanar wedge at the lower end of a femur (even seeds) or a step along its shaft, from any side, another saw."""
    rng = np.random.default_rng(seed)
    bone, record, approach = _planned_form(rng, "step" if seed % 2 else "biplanar")
    options = CuttingGuideOptions(
        fit_clearance_mm=round(rng.uniform(0.1, 0.5), 2),
        blade_thickness_mm=float(rng.choice([0.6, 0.9])),
        slot_height_mm=float(rng.integers(7, 13)),
    )
    return bone, options, lambda: design_facets_guide(record, bone, approach, options)


def dome_case(seed: int):
    """The arc of a dome anywhere along a femur, from any side, another drill and clearance."""
    rng = np.random.default_rng(seed)
    bone, record, approach = _planned_form(rng, "dome")
    options = replace(
        load_guide_options("dome"),
        fit_clearance_mm=round(rng.uniform(0.1, 0.5), 2),
        drill_diameter_mm=float(rng.choice([1.6, 2.0, 2.5])),
        sleeve_length_mm=float(rng.integers(12, 20)),
    )
    return bone, options, lambda: design_dome_guide(record, bone, approach, options).solid


def pin_case(seed: int):
    """One to four wires in a row anywhere along a femur, parallel, converging or diverging, of another diameter."""
    rng = np.random.default_rng(seed)
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(0, 180)), rng.uniform(-300, 300, 3))
    bone = _femur().transformed(pose)
    height, turn = rng.uniform(45, 280), rng.uniform(0, 2 * np.pi)
    out = np.array([np.cos(turn), np.sin(turn), rng.normal(0, 0.15)])
    along = np.array([*rng.normal(0, 0.12, 2), 1.0])
    at = np.array([0.0, 6.0 - 6.0 * (height - 40) / 325, height])
    count, angle = int(rng.integers(1, 5)), float(rng.choice([0.0, 0.0, 4.0, 8.0, -3.0]))
    options = replace(
        load_guide_options("pin"),
        fit_clearance_mm=round(rng.uniform(0.1, 0.5), 2),
        drill_diameter_mm=float(rng.choice([1.2, 1.6, 2.0, 2.4])),
        sleeve_length_mm=float(rng.integers(12, 22)),
    )
    spacing = float(rng.uniform(11, 18))

    def design():
        r = pose[:3, :3]
        pins = row_of_pins(
            distance_to(bone), transform_points(pose, at), r @ out, r @ along, count=count, spacing_mm=spacing,
            converge_deg=angle, depth_mm=15.0,
        )  # fmt: skip
        return design_pin_guide(bone, pins, options).solid

    return bone, options, design


def reduction_case(seed: int):
    """A shaft cut and corrected in another way, and the guide that brings its holes together."""
    rng = np.random.default_rng(seed)
    bone = _femur()
    kind = list(CutKind)[seed % 3]
    height = rng.uniform(90, 220)
    start = [0.0, 5.0, height] if kind is CutKind.TURN else [-7.0, 5.0, height]
    shape = CutShape(kind, rigid(rotation_about([0, 1, 0], rng.uniform(-10, 10)), start), rng.uniform(4, 14), 0.0)
    osteotomy = plan_cuts([AskedCut("shaft", "femur", shape)], {"femur": bone})[0].record
    corrected = corrected_bone(bone, osteotomy)
    cutting = CuttingGuideOptions(fit_clearance_mm=round(rng.uniform(0.1, 0.5), 2))
    options = reduction_options(cutting)
    count, spacing = int(rng.integers(1, 4)), float(rng.uniform(9, 14))

    def design():
        holes = holes_beside(
            corrected, osteotomy, [1.0, 0.1, 0.0], first_mm=12.5, count=count, spacing_mm=spacing, depth_mm=15.0
        )
        return design_reduction_guide(corrected, holes, options).solid

    return corrected.whole, options, design


def levels_case(seed: int):
    """Two vertebrae of another size and pose, one a little bent against the other."""
    rng = np.random.default_rng(seed)
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(0, 180)), rng.uniform(-300, 300, 3))
    size = rng.uniform(0.85, 1.15)
    bend = rotation_about([1, 0, 0], rng.uniform(-10, 4)) @ rotation_about([0, 1, 0], rng.uniform(-5, 5))
    below = pose @ rigid(bend, [rng.uniform(-2, 2), -size, -36.5 * size])
    pair = [toy_vertebra(p, n, 1.1 * size, size) for n, p in (("L3", pose), ("L4", below))]
    levels = [Level(n, v.bone, v.frame, v.screws) for n, v in zip(("L3", "L4"), pair, strict=True)]
    options = GuideOptions(
        fit_clearance_mm=round(rng.uniform(0.1, 0.5), 2), drill_diameter_mm=float(rng.choice([1.6, 2.7, 3.2]))
    )
    return joined([v.bone for v in pair]), options, lambda: design_levels_guide(levels, options, fixed=True)


def skin_case(seed: int):
    """Two ways from the back of an elliptic body, the pads and the incision of another size."""
    from core.test_skin_frame import body_image

    rng = np.random.default_rng(seed)
    if "skin" not in _SKINS:
        _SKINS["skin"] = find_skin(body_image())
    skin = _SKINS["skin"]
    ways = []
    for name, side in (("left", -1), ("right", 1)):
        target = np.array([side * rng.uniform(16, 30), rng.uniform(-36, -20), rng.uniform(-8, 8)])
        entry = skin_entry_ras(skin, target, np.array([side * rng.uniform(0, 0.35), -1.0, rng.uniform(-0.2, 0.2)]))
        ways.append(Way(name, tuple(entry), tuple(target)))
    options = SkinFrameOptions(
        fit_clearance_mm=round(rng.uniform(0.2, 0.5), 2),
        pad_diameter_mm=float(rng.integers(14, 20)),
        incision_radius_mm=float(rng.integers(6, 10)),
        tube_length_mm=float(rng.integers(15, 30)),
    )
    surface = skin_surface(skin, np.mean([w.entry_ras for w in ways], axis=0), 100.0)
    return surface, options, lambda: design_skin_frame(surface, ways, options, label="1")


def _femur() -> Mesh:
    if "femur" not in _BONES:
        _BONES["femur"] = femur_mesh(1.6, top=330.0)
    return _BONES["femur"]


_SKINS: dict[str, Skin] = {}
CASES = {
    "drill": drill_case,
    "cut": cut_case,
    "resection": resection_case,
    "facets": facets_case,
    "dome": dome_case,
    "pin": pin_case,
    "reduction": reduction_case,
    "levels": levels_case,
    "skin": skin_case,
}


def judge(bone: Mesh, options, guide) -> list[str]:
    """Return what is wrong with a guide by others' eyes."""
    import manifold3d as m3
    import trimesh
    import vtk

    wrong = []
    seen = trimesh.Trimesh(guide.mesh.vertices_ras, guide.mesh.faces, process=False)
    wrong += [] if seen.is_watertight else ["trimesh: not watertight"]
    wrong += [] if seen.is_winding_consistent and seen.volume > 0 else ["trimesh: not outward"]
    wrong += [] if seen.body_count == 1 else [f"trimesh: {seen.body_count} bodies"]
    solids = [
        m3.Manifold(m3.Mesh64(np.array(m.vertices_ras), np.array(m.faces, dtype=np.uint64))) for m in (guide.mesh, bone)
    ]
    shared = (solids[0] ^ solids[1]).volume()
    wrong += [] if shared < OVERLAP_MM3 else [f"overlap {shared:.2f} mm3"]
    exact = vtk.vtkImplicitPolyDataDistance()
    exact.SetInput(bone.to_polydata())
    contact = guide.fit.points_ras[:: max(1, len(guide.fit.points_ras) // 400)]
    gap = np.array([exact.EvaluateFunction(p) for p in contact])
    error = float(np.abs(gap - options.fit_clearance_mm).max(initial=0.0))
    wrong += [] if error <= GAP_ERROR_MM else [f"gap {error:.3f} mm off"]
    return wrong


def sweep(kinds: list[str], seeds: range, out: Path | None, resume: bool, seconds: float) -> int:
    """Design and judge a guide a seed and kind; print failures with seeds; return how many."""
    log = None if out is None else out.with_suffix(".jsonl")
    records = [json.loads(line) for line in log.read_text().splitlines()] if resume and log and log.exists() else []
    done = {(r["kind"], r["seed"]) for r in records}
    started = time.time()
    for seed in seeds:
        for kind in kinds:
            if (kind, seed) in done or time.time() - started > seconds:
                continue
            cpu = time.process_time()
            try:
                bone, options, design = CASES[kind](seed)
                cpu = time.process_time()
                guide = design()
                cpu = time.process_time() - cpu
                wrong, refused = judge(bone, options, guide), ""
                told = [f"{c.name}: {c.message}" for c in failed(guide.checks)]
            except MSKError as error:
                wrong, told, refused, cpu = [], [], str(error), time.process_time() - cpu
            record = {
                "kind": kind,
                "seed": seed,
                "cpu_s": round(cpu, 2),
                "refused": refused,
                "told": told,
                "wrong": wrong,
            }
            records.append(record)
            if log is not None:
                with log.open("a") as stream:
                    stream.write(json.dumps(record) + "\n")
            if wrong or told or refused:
                silent = "SILENT " if wrong and not told else ""
                print(f"{kind} seed {seed}: {refused or silent + '; '.join((*wrong, *told))}", flush=True)
    for kind in kinds:
        of_kind = [r for r in records if r["kind"] == kind]
        if of_kind:
            times = np.array([r["cpu_s"] for r in of_kind])
            print(
                f"{kind}: {len(of_kind)} guides, {sum(bool(r['wrong']) for r in of_kind)} unsound by others' eyes, "
                f"{sum(bool(r['wrong']) and not r['told'] for r in of_kind)} of them silently, "
                f"{sum(bool(r['told']) for r in of_kind)} rejected by their own checks, "
                f"{sum(bool(r['refused']) for r in of_kind)} refused in words, CPU median {np.median(times):.1f} s, "
                f"most {times.max():.1f} s"
            )
    if out is not None:
        out.write_text(json.dumps(records, indent=1) + "\n")
    return sum(bool(r["wrong"]) for r in records)


def finer(mesh: Mesh) -> Mesh:
    """Return a mesh with every triangle in four: the same shape."""
    import trimesh

    points, faces = trimesh.remesh.subdivide(mesh.vertices_ras, mesh.faces)
    return Mesh(points, faces)


def _block(v, gap_mm: float):
    """A plain block with sleeves over the screws, and the bone grown by the gap: what mesh booleans are given."""
    from MSKFusionLib.frames import unit_rows
    from MSKPlannerLib.guides.insertion import seat_frame
    from MSKPlannerLib.guides.sleeve import sleeves_of

    sleeves = sleeves_of(v.screws, GuideOptions())
    origin = np.mean([s.entry_ras for s in sleeves], axis=0)
    frame = seat_frame(-v.frame.anterior_ras, v.frame, origin)
    solid = box(np.array([-22.0, -7.0, -4.0]), np.array([22.0, 7.0, 12.0]), frame)
    for s in sleeves:
        solid += cylinder(s.at(-3.0), s.at(s.length_mm), s.radius_mm, around=False)
    for s in sleeves:
        solid -= s.bore()
    normals = np.zeros_like(v.bone.vertices_ras)
    for k in range(3):
        np.add.at(normals, v.bone.faces[:, k], v.bone.face_area_vectors)
    return from_manifold(solid), Mesh(v.bone.vertices_ras + gap_mm * unit_rows(normals), v.bone.faces)


def _by_us(v):
    return design_drill_guide(v.bone, v.frame, v.screws, GuideOptions()).mesh


def _by_manifold(v):
    import manifold3d as m3

    a, b = (
        m3.Manifold(m3.Mesh64(np.array(m.vertices_ras), np.array(m.faces, dtype=np.uint64))) for m in _block(v, 0.25)
    )
    if b.status() != m3.Error.NoError:
        raise RuntimeError(f"bone: {b.status().name}")
    return from_manifold(a - b)


def _by_trimesh(v):
    import trimesh

    a, b = (trimesh.Trimesh(m.vertices_ras, m.faces) for m in _block(v, 0.25))
    done = trimesh.boolean.difference([a, b])
    return Mesh(np.asarray(done.vertices), np.asarray(done.faces))


def _by_vtk(v):
    import vtk

    a, b = (m.to_polydata() for m in _block(v, 0.25))
    cut = vtk.vtkBooleanOperationPolyDataFilter()
    cut.SetOperationToDifference()
    cut.SetInputData(0, a)
    cut.SetInputData(1, b)
    cut.Update()
    return Mesh.from_polydata(cut.GetOutput())


ROUTES = {"MSK Planner": _by_us, "manifold3d": _by_manifold, "trimesh": _by_trimesh, "VTK": _by_vtk}


def _route(name: str, level: int, queue) -> None:

    import vtk

    v = toy_vertebra(spacing_mm=0.92)
    for _ in range(level):
        v = replace(v, bone=finer(v.bone))
    wall, cpu = time.time(), time.process_time()
    try:
        mesh = ROUTES[name](v)
    except Exception as error:  # noqa: BLE001  every failure of a peer is a row of the table
        queue.put({"triangles": len(v.bone.faces), "error": f"{type(error).__name__}: {error}"[:80]})
        return
    row = {"triangles": len(v.bone.faces), "wall_s": time.time() - wall, "cpu_s": time.process_time() - cpu}
    exact = vtk.vtkImplicitPolyDataDistance()
    exact.SetInput(v.bone.to_polydata())
    some = mesh.vertices_ras[:: max(1, len(mesh.vertices_ras) // 3000)]
    d = np.array([exact.EvaluateFunction(p) for p in some])
    near = np.abs(d - 0.25) < 0.2
    row |= {
        "closed": mesh.is_closed,
        "least_mm": float(d.min()) if len(d) else float("nan"),
        "off_mm": float(np.abs(d[near] - 0.25).mean()) if near.any() else float("nan"),
    }
    queue.put(row)


def speed(levels: int, limit_s: float) -> None:
    """Print time, failures and deviation of the same vertebra's guide by every route, one process a run."""
    print(f"{'triangles':>10} {'route':12} {'wall s':>7} {'CPU s':>7} {'closed':>7} {'least mm':>9} {'off mm':>7}")
    context = multiprocessing.get_context("spawn")
    for level in range(levels):
        for name in ROUTES:
            queue = context.Queue()
            process = context.Process(target=_route, args=(name, level, queue))
            process.start()
            try:
                row = queue.get(timeout=limit_s)
            except Exception:  # noqa: BLE001  nothing came: it ran out of time or died
                row = {"triangles": 0, "error": f"nothing within {limit_s:.0f} s"}
            process.terminate()
            process.join()
            if "error" in row:
                print(f"{row['triangles']:>10} {name:12} {row['error']}", flush=True)
                continue
            print(
                f"{row['triangles']:>10} {name:12} {row['wall_s']:7.1f} {row['cpu_s']:7.1f} {row['closed']!s:>7} "
                f"{row['least_mm']:9.3f} {row['off_mm']:7.3f}",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["sweep", "speed"], default="sweep")
    parser.add_argument("--kinds", default="drill,cut")
    parser.add_argument("--seeds", default="1-20", metavar="A-B")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop the sweep after so long")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds a route may take")
    parser.add_argument("--levels", type=int, default=3, help="bones of about 50k, 200k, 800k triangles")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if args.part == "speed":
        speed(args.levels, args.limit)
        return 0
    low, _, high = args.seeds.partition("-")
    seeds = range(int(low), int(high or low) + 1)
    return min(1, sweep(args.kinds.split(","), seeds, args.out, args.resume, args.seconds))


if __name__ == "__main__":
    sys.exit(main())
