"""Small things to put into a scene: an oblique CT of two blocks, its labels, a registration, a plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import vtk

from MSKFusionLib.frames import rigid, rigid_about, rotation_about, transform_points
from MSKFusionLib.registration.result import RegistrationResult, Verdict
from MSKFusionLib.segmentation.labels import VERTEBRA_VALUES, Segment, Segmentation
from MSKFusionLib.volume import Modality, Provenance, Volume
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.plan import Guide, Plan, Screw

LEVELS = ("L3", "L4")
#: From the straight frame that the blocks are described in to RAS.
TO_RAS = rigid(rotation_about([1, 2, 3], 8.0), [3.0, 4.0, 5.0])
FIXED_TO_MOVING_RAS = rigid_about([5, -10, 20], rotation_about([0.3, 1, 1], 12.3456789), [10.1, -5.2, 7.3])


def awkward_volume(dtype: object = np.int16, modality: Modality = Modality.CT) -> Volume:
    """A volume with floats that no decimal text holds, in an oblique frame, and another size along each axis."""
    rng = np.random.default_rng(3)
    voxels = rng.uniform(0, 250, (7, 8, 9)).astype(dtype)
    return Volume(
        voxels,
        np.array([-81.12345678912345, 100 / 3, 1 / 7]),
        np.array([0.1 + 0.2, 2**0.5, 4 / 3]),
        rotation_about([1, -2, 0.5], 23.456789),
        modality=modality,
        name="awkward",
        provenance=Provenance("scan.nrrd", "ab12", ("read", "gantry tilt put right"), {"kvp": 120}),
    )


def ct_and_labels() -> tuple[Volume, Segmentation]:
    k, j, i = np.mgrid[:56, :60, :60]
    points = np.stack([2.0 * i - 59, 2.0 * j - 75, 1.6 * k - 40], axis=-1)
    labels = np.zeros(i.shape, dtype=np.uint8)
    for level, middle in zip(LEVELS, (22.0, -14.0), strict=True):
        x, y, z = np.moveaxis(points - [0, 0, middle], -1, 0)
        body = ((x / 22) ** 2 + (y / 17) ** 2 < 1) & (np.abs(z) < 13)
        pedicles = ((np.abs(x) - 12) ** 2 + (z - 4) ** 2 < 4.5**2) & (y < -8) & (y > -34)
        arch = ((y + 32) ** 2 + (z - 2) ** 2 < 25) & (np.abs(x) < 28)
        labels[body | pedicles | arch] = VERTEBRA_VALUES[level]
    labels[(points[..., 0] + 4) ** 2 + (points[..., 1] - 28) ** 2 < 64] = 60
    hu = np.where(labels > 0, 600, 40)
    hu[labels == 60] = 150
    hu[points[..., 0] ** 2 + points[..., 1] ** 2 > 66**2] = -900
    ct = Volume(
        hu.astype(np.int16),
        transform_points(TO_RAS, points[0, 0, 0]),
        np.array([2.0, 2.0, 1.6]),
        TO_RAS[:3, :3],
        modality=Modality.CT,
        name="CT",
    )
    segments = [Segment(VERTEBRA_VALUES[level], level, kind="vertebra", source="blocks") for level in LEVELS]
    segments.append(Segment(60, "aorta", kind="artery", complete=False, notes=("ends at the edge; a|b:c~d^e",)))
    return ct, Segmentation(ct.with_voxels(labels, modality=Modality.LABEL, name="labels"), tuple(segments))


def moving_volume(ct: Volume) -> Volume:
    """The same body as the CT in the moving frame, in thick slices."""
    m = FIXED_TO_MOVING_RAS
    return Volume(
        (0.5 * ct.voxels[::2] + 600).clip(0).astype(np.float32),
        transform_points(m, ct.origin_ras),
        ct.spacing_mm * [1, 1, 2],
        m[:3, :3] @ ct.directions_ras,
        modality=Modality.MR,
        name="MR T1",
    )


def registration(verdict: Verdict = Verdict.ACCEPTED) -> RegistrationResult:
    return RegistrationResult("rigid", FIXED_TO_MOVING_RAS, verdict, ("the bone edges agree",))


def box_mesh(size: tuple[float, float, float], centre: tuple[float, float, float]) -> Mesh:
    cube = vtk.vtkCubeSource()
    cube.SetXLength(size[0])
    cube.SetYLength(size[1])
    cube.SetZLength(size[2])
    cube.SetCenter(*centre)
    cube.Update()
    clean = vtk.vtkCleanPolyData()
    clean.SetInputData(cube.GetOutput())
    clean.Update()
    return Mesh.from_polydata(clean.GetOutput()).transformed(TO_RAS)


def screw(level: str, side: str, *, middle: float, verdict: Verdict = Verdict.ACCEPTED) -> Screw:
    sign = 1.0 if side == "right" else -1.0
    entry, tip = transform_points(TO_RAS, [[sign * 15, -38, middle + 4], [sign * 9, 4, middle + 4]])
    return Screw(
        name=f"{level} {side}",
        site="pedicle",
        level=level,
        side=side,
        entry_ras=(float(entry[0]), float(entry[1]), float(entry[2])),
        tip_ras=(float(tip[0]), float(tip[1]), float(tip[2])),
        diameter_mm=5.5,
        length_mm=float(np.linalg.norm(tip - entry)),
        clearance_mm=0.8,
        grade="A",
        hu_mean=432.5,
        verdict=verdict,
        reasons=() if verdict is Verdict.ACCEPTED else ("it leaves the pedicle",),
    )


def plan_parts(verdict: Verdict = Verdict.ACCEPTED) -> dict[str, object]:
    """Everything that `plan_to_scene` takes, by its parameters' names; the first screw has the verdict."""
    ct, labels = ct_and_labels()
    middles = dict(zip(LEVELS, (22.0, -14.0), strict=True))
    screws = [screw(level, side, middle=middles[level]) for level in LEVELS for side in ("left", "right")]
    screws[0] = replace(screws[0], verdict=verdict, reasons=("it leaves the pedicle",) if verdict != "accepted" else ())
    meshes = {f"{level} guide": box_mesh((44, 6, 12), (0, -42, middles[level] + 4)) for level in LEVELS}
    guides = tuple(
        Guide(
            name=f"{level} guide",
            level=level,
            screws=(f"{level} left", f"{level} right"),
            file=f"guides/{level}.stl",
            watertight=True,
            bodies=1,
            volume_mm3=meshes[f"{level} guide"].volume_mm3,
            min_wall_mm=6.0,
            fit_clearance_mm=0.2,
            fit_gap_mean_mm=0.21,
            fit_gap_max_error_mm=0.05,
            insertion_direction_ras=(0.0, 1.0, 0.0),
        )
        for level in LEVELS
    )
    plan = Plan("20261120-test", "2026-11-20T12:00:00Z", {"mskplanner": "0.1.0"}, screws=tuple(screws), guides=guides)
    return {
        "plan": plan,
        "ct": ct,
        "mr": moving_volume(ct),
        "registration": registration(),
        "segmentation": labels,
        "guide_meshes": meshes,
    }
