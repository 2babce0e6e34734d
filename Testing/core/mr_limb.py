"""A limb in MR whose geometry is known: skin, fat, muscle with a fat septum, a bone's cortex and marrow; coil shading and noise."""

import numpy as np

from MSKFusionLib.volume import Modality, Volume

#: Skin, fat, muscle, cortex, marrow.
SIGNALS = {
    "T1": (0.25, 1.0, 0.34, 0.05, 0.9),
    "T2": (0.22, 0.76, 0.19, 0.05, 0.7),
    "PD": (0.3, 0.9, 0.55, 0.06, 0.85),
    "FS": (0.35, 0.08, 0.45, 0.04, 0.1),
}
FAT, MUSCLE, BONE = 1, 2, 3


def limb(weighting="T1", *, skin=True, seed=0) -> tuple[Volume, np.ndarray]:
    """Return slices of 4 mm across a limb 130 mm wide, and which tissue each voxel is."""
    rng = np.random.default_rng(seed)
    of_skin, of_fat, of_muscle, of_cortex, of_marrow = SIGNALS[weighting]
    spacing = np.array([1.2, 1.2, 4.0])
    n = np.array([124, 118, 9] if skin else [50, 44, 9])
    volume = Volume(
        np.zeros(tuple(n[::-1]), np.float32), -0.5 * (n - 1) * spacing, spacing, np.eye(3), Modality.MR, name="limb"
    )
    kji = np.moveaxis(np.indices(volume.voxels.shape, dtype=float)[::-1], 0, -1)
    x, y, z = np.moveaxis(kji * spacing + volume.origin_ras, -1, 0)
    radius = np.hypot(x, 1.1 * y)
    bone = np.hypot(x - 8.0, y + 6.0)
    image, truth = np.zeros(x.shape), np.zeros(x.shape, np.uint8)
    for inside, signal, tissue in (
        (radius < 65.0, of_skin, 0),
        (radius < 63.0, of_fat, FAT),
        (radius < 50.0, of_muscle, MUSCLE),
        ((radius < 50.0) & (np.abs(x + 18.0) < 2.4), of_fat, FAT),
        (bone < 15.0, of_cortex, BONE),
        (bone < 11.0, of_marrow, BONE),
    ):
        image[inside], truth[inside] = signal, tissue
    image *= np.exp(-0.006 * y + 0.003 * x - (z / 60.0) ** 2)
    noisy = np.hypot(image + 0.02 * rng.standard_normal(x.shape), 0.02 * rng.standard_normal(x.shape))
    return volume.with_voxels(np.round(800 * noisy).astype(np.int16)), truth
