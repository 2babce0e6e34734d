"""The generated CT: Hounsfield units, point spread and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ..frames import FloatArray, rigid, rotation_about
from ..progress import Progress, no_progress, part
from ..volume import Modality, Provenance, Volume
from .grid import Grid
from .metal import screws
from .metal_ct import add_metal
from .options import PatientOptions
from .render import Body, Signals, render
from .spine import Spine

# Air, skin, fat, muscle, viscera, gas, kidney, aorta, vena cava, annulus, nucleus, worn disc, epidural fat, CSF, cauda,
# nerve root, cartilage.
_MEAN = (-1000, 25, -105, 56, 38, -870, 34, 46, 42, 92, 82, 84, -92, 12, 32, 34, 70)
_SPREAD = (0, 0, 12, 10, 16, 40, 8, 4, 4, 8, 7, 8, 10, 4, 6, 6, 5)


def ct_signals(spine: Spine, rng: np.random.Generator) -> Signals:
    """Draw the density of a patient's bone."""
    usual, low = float(np.clip(rng.normal(170, 28), 120, 250)), float(rng.uniform(62, 98))
    cancellous = low if spine.low_density else usual
    thin = 0.82 if spine.low_density else 1.0
    return Signals(_MEAN, _SPREAD, 720 * thin, 930 * thin, cancellous, 0.35 * cancellous, 0.22, 0.12)


def ct_grid(spine: Spine, options: PatientOptions) -> Grid:
    """Return the voxel grid: around the spine, T12 (where it is there) cut in the middle, a few degrees oblique."""
    rng = np.random.default_rng([options.seed, 41])
    spacing = np.array(options.ct_spacing_mm)
    frames = spine.frames
    names = list(frames)
    first, last = names[0], names[-1]
    top = frames[first][2, 3] + (3.0 if first == "T12" else 0.5 * spine.sizes[first].height + 24.0)
    if last == "S1" and spine.sacrum is not None:
        bottom = frames[last][2, 3] - 0.86 * spine.sacrum.length - 6.0
    else:
        bottom = frames[last][2, 3] - 0.5 * spine.sizes[last].height - 30.0
    lower, upper = np.array([-90.0, -114.0, bottom]), np.array([90.0, 52.0, top])
    turn = rotation_about(rng.standard_normal(3), float(rng.uniform(1.0, 4.0)))
    count = np.round((upper - lower) / spacing).astype(int)
    # Scanner order: i to the patient's left, j to the back, k to the head.
    axes = turn @ np.diag([-1.0, -1.0, 1.0])
    middle = 0.5 * (lower + upper)
    m = rigid(axes)
    m[:3, :3] = axes * spacing
    m[:3, 3] = middle - m[:3, :3] @ ((count - 1) / 2)
    i, j, k = count.tolist()
    return Grid((k, j, i), m)


def render_ct(
    body: Body, grid: Grid, options: PatientOptions, *, progress: Progress = no_progress
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return HU, tissue classes and bone numbers on the CT grid."""
    rng = np.random.default_rng([options.seed, 42])
    signals = ct_signals(body.spine, rng)
    image, tissue, bones = render(body, grid, signals, progress=progress)
    spacing = np.linalg.norm(grid.ijk_to_world[:3, :3], axis=0)[::-1]
    progress(0.97, "CT point spread and noise")
    image = gaussian_filter(
        image, (0.42 / spacing[0], 0.42 / spacing[1], 0.42 / spacing[2]), truncate=3.0, output=np.float32
    )
    if options.screws_in_ct:
        # Metal comes with the blur of its own reconstruction, so after the point spread.
        metal = screws(body.spine, options.screws_in_ct)
        add_metal(image, grid, metal, np.random.default_rng([options.seed, 43]), part(progress, 0.97, 1.0))
    for k in range(grid.shape[0]):
        noise = gaussian_filter(rng.standard_normal(grid.shape[1:], dtype=np.float32), 0.6)
        noise *= options.ct_noise_hu / max(float(noise.std()), 1e-6)
        image[k] += np.where(image[k] > -400, noise, 0.5 * noise)
    np.clip(np.rint(image, out=image), -1024, 3071, out=image)
    return image.astype(np.int16), tissue, bones


def ct_volume(voxels: NDArray[np.int16], grid_to_ras: FloatArray, seed: int) -> Volume:
    """Return the CT with its geometry."""
    provenance = Provenance(source=f"generated patient, seed {seed}", steps=("rendered as CT",))
    return Volume.from_ijk_to_ras(voxels, grid_to_ras, modality=Modality.CT, name="CT", provenance=provenance)
