"""A spine of blocks in MR whose geometry is known: bodies, discs, a canal, fat all round; T1 or T2."""

import numpy as np

from MSKFusionLib.frames import invert_rigid, rotation_about, transform_points
from MSKFusionLib.phantom import Patient
from MSKFusionLib.phantom.vertebra import body as body_of
from MSKFusionLib.volume import Modality, Volume

#: Tissue: marrow, disc, canal, fat in front and behind, muscle, cortex.
SIGNALS = {"T2": (0.45, 0.15, 1.0, 0.75, 0.18, 0.05), "T1": (0.58, 0.26, 0.16, 1.0, 0.34, 0.06)}
BODY_MM, DISC_MM, SHELL_MM = np.array([42.0, 32.0, 26.0]), 9.0, 0.8
CANAL_MM, CANAL_BEHIND_MM = np.array([11.0, 7.5]), 9.0


def block_spine(
    weighting="T2", *, bodies=3, spacing=(1.5, 1.5, 1.5), noise=0.02, tilt_deg=0.0, lesion_mm=0.0, seed=0
) -> tuple[Volume, np.ndarray]:
    """Return the image and its truth: 1, 2, ... bodies from head to foot, 50 the canal, 60 a ball in the middle body."""
    rng = np.random.default_rng(seed)
    marrow, disc, csf, fat, muscle, cortex = SIGNALS[weighting]
    pitch = BODY_MM[2] + DISC_MM
    size = np.array([66.0, 84.0, bodies * pitch + 24.0])
    n = np.round(size / spacing).astype(int)
    volume = Volume(
        np.zeros(tuple(n[::-1]), np.float32),
        -0.5 * (n - 1) * spacing,
        np.array(spacing),
        np.eye(3),
        modality=Modality.MR,
        name="blocks",
    )
    kji = np.moveaxis(np.indices(volume.voxels.shape, dtype=float)[::-1], 0, -1)
    ras = kji * volume.spacing_mm + volume.origin_ras
    x, y, z = np.moveaxis(ras @ rotation_about([1, 0, 0], tilt_deg), -1, 0)  # points in the frame of the spine
    image = np.full(x.shape, muscle)
    image[np.abs(y) > 34.0] = fat
    y = y - 8.0  # bodies lie in front of the middle
    truth = np.zeros(x.shape, np.uint8)
    across = (np.abs(x) / (BODY_MM[0] / 2)) ** 2.5 + (np.abs(y) / (BODY_MM[1] / 2)) ** 2.5
    inner_across = (np.abs(x) / (BODY_MM[0] / 2 - SHELL_MM)) ** 2.5 + (np.abs(y) / (BODY_MM[1] / 2 - SHELL_MM)) ** 2.5
    column = across < 1
    image[column & (np.abs(z) < 0.5 * bodies * pitch)] = disc
    for b in range(bodies):
        middle = (0.5 * (bodies - 1) - b) * pitch
        inside = column & (np.abs(z - middle) < BODY_MM[2] / 2)
        inner = (inner_across < 1) & (np.abs(z - middle) < BODY_MM[2] / 2 - SHELL_MM)
        image[inside] = cortex
        image[inner] = marrow * (1 + 0.03 * rng.standard_normal(int(inner.sum())))
        truth[inside] = b + 1
    back = -BODY_MM[1] / 2 - CANAL_BEHIND_MM
    ring = (x / (CANAL_MM[0] + 1.5)) ** 2 + ((y - back) / (CANAL_MM[1] + 1.5)) ** 2 < 1
    image[ring & (truth == 0)] = cortex
    canal = (x / CANAL_MM[0]) ** 2 + ((y - back) / CANAL_MM[1]) ** 2 < 1
    image[canal] = fat
    image[(x / (CANAL_MM[0] - 2.5)) ** 2 + ((y - back) / (CANAL_MM[1] - 2.0)) ** 2 < 1] = csf
    truth[canal] = 50
    if lesion_mm > 0:
        ball = x**2 + y**2 + z**2 < lesion_mm**2
        image[ball] = 0.95 if weighting == "T2" else 0.2
        truth[ball] = 60
    noisy = np.hypot(image + noise * rng.standard_normal(x.shape), noise * rng.standard_normal(x.shape))
    return volume.with_voxels(np.round(800 * noisy).astype(np.int16)), truth


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Return the overlap of two masks."""
    return 2.0 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


def true_mr_labels(patient: Patient, mr: Volume) -> np.ndarray:
    """Return bodies 1, 2, ..., discs (31, ...), canal 50 and other bone 90 at an MR's voxels, from the patient's shapes."""
    kji = np.moveaxis(np.indices(mr.voxels.shape, dtype=float)[::-1], 0, -1)
    ct = transform_points(invert_rigid(patient.ct_to_mr_ras) @ mr.ijk_to_ras, kji)
    ijk = np.round(transform_points(patient.ct.ras_to_ijk, ct)).astype(int)
    seen = np.all((ijk >= 0) & (ijk < patient.labels.labels.shape_ijk), axis=-1)
    ijk[~seen] = 0
    labels = np.where(seen, patient.labels.labels.voxels[ijk[..., 2], ijk[..., 1], ijk[..., 0]], 0)
    out = np.where(np.isin(labels, [s.value for s in patient.labels.bones]), 90, 0)
    out[labels == patient.labels["spinal_canal"].value] = 50
    for disc in (s for s in patient.labels.segments if s.kind == "disc"):
        out[labels == disc.value] = disc.value
    for n, (level, size) in enumerate(patient.spine.sizes.items(), start=1):
        if level != "S1":
            local = transform_points(invert_rigid(patient.spine.frames[level]), ct)
            out[body_of(size).value(*np.moveaxis(local, -1, 0)) > 0] = n
    return out
