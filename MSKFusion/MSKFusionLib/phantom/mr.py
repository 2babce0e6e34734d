"""The generated MR images: T1, T2, proton density and fat-suppressed; thick slices, coil bias and Rician noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from ..frames import FloatArray, invert_rigid, rigid, rotation_about, transform_points
from ..progress import Progress, no_progress, part
from ..volume import Modality, Provenance, Volume
from .deformation import SoftTissueDeformation
from .grid import Grid
from .metal import screws
from .metal_mr import spoil_with_metal
from .options import PatientOptions
from .relaxation import SEQUENCES, relaxed_signals
from .render import Body, Signals, render

# Air, skin, fat, muscle, viscera, gas, kidney, aorta, vena cava, annulus, nucleus, worn disc, epidural fat, CSF, cauda,
# nerve root, cartilage.
_T1 = (0.0, 0.25, 1.00, 0.34, 0.36, 0.03, 0.40, 0.09, 0.14, 0.24, 0.32, 0.24, 0.92, 0.16, 0.28, 0.32, 0.28)
_T2 = (0.0, 0.22, 0.76, 0.19, 0.40, 0.03, 0.64, 0.06, 0.12, 0.13, 0.64, 0.22, 0.72, 1.00, 0.50, 0.34, 0.50)
_SPREAD = (0.0, 0.02, 0.06, 0.035, 0.06, 0.01, 0.05, 0.015, 0.02, 0.02, 0.03, 0.03, 0.05, 0.03, 0.03, 0.03, 0.03)
_SIGNALS = {
    "T1": Signals(_T1, _SPREAD, 0.06, 0.05, 0.58, 0.04, 0.05, 0.07),
    "T2": Signals(_T2, _SPREAD, 0.05, 0.04, 0.44, 0.03, 0.05, 0.07),
    **{name: relaxed_signals(sequence) for name, sequence in SEQUENCES.items()},
}
#: What each image is drawn from: its field of view (proton density and T2 are two echoes of one scan) and its noise.
_VIEW_STREAM = {"T1": 52, "T2": 53, "PD": 53, "FS": 56}
_NOISE_STREAM = {"T1": 54, "T2": 55, "PD": 57, "FS": 58}
#: Sub-positions through a slice; the slice profile is their mean.
_SUB_SLICES = 4


def draw_misplacement(seed: int, centre_ras: FloatArray) -> FloatArray:
    """Draw where the patient lies in the MR scanner: 10 to 28 degrees and 20 to 50 mm from the CT."""
    rng = np.random.default_rng([seed, 51])
    axis, shift = rng.standard_normal(3), rng.standard_normal(3)
    angle = float(rng.uniform(10.0, 28.0))
    move = shift / np.linalg.norm(shift) * float(rng.uniform(20.0, 50.0))
    turn = rotation_about(axis, angle)
    return rigid(turn, centre_ras - turn @ centre_ras + move)


def mr_grid(body: Body, weighting: str, options: PatientOptions, ct_to_mr_ras: FloatArray) -> Grid:
    """Return the voxel grid in MR RAS: sagittal slices along the spine; T1, T2 and fat-suppressed each with a field of view of its own."""
    rng = np.random.default_rng([options.seed, _VIEW_STREAM[weighting]])
    in_plane, between = options.mr_spacing_mm
    if weighting == "T1":
        in_plane, between = 1.06 * in_plane, 1.1 * between
    z = [f[2, 3] for f in body.frames.values()]
    long = float(max(z) - min(z)) + 105.0
    extent = np.array([min(long, 300.0), 205.0 if weighting == "T1" else 190.0, 100.0 if weighting == "T1" else 92.0])
    tilt = rotation_about([0, 0, 1], float(rng.uniform(-5, 5))) @ rotation_about([0, 1, 0], float(rng.uniform(-4, 4)))
    # Columns: i from front to back, j from head to foot, k from the patient's left to right.
    axes = ct_to_mr_ras[:3, :3] @ tilt @ np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    spacing = np.array([in_plane, in_plane, between])
    centre = np.array([0.0, -28.0, 0.5 * (max(z) + min(z)) - 18.0]) + rng.uniform(-5, 5, 3)
    count = np.round(extent[[1, 0, 2]] / spacing).astype(int)
    m = np.eye(4)
    m[:3, :3] = axes * spacing
    m[:3, 3] = transform_points(ct_to_mr_ras, centre) - m[:3, :3] @ ((count - 1) / 2)
    i, j, k = count.tolist()
    return Grid((k, j, i), m)


def render_mr(
    body: Body,
    weighting: str,
    options: PatientOptions,
    ct_to_mr_ras: FloatArray,
    deformation: SoftTissueDeformation | None = None,
    *,
    progress: Progress = no_progress,
) -> Volume:
    """Return an image of one weighting (T1, T2, PD, FS); `deformation` says where soft tissue lies in this scanner."""
    grid = mr_grid(body, weighting, options, ct_to_mr_ras)
    rng = np.random.default_rng([options.seed, _NOISE_STREAM[weighting]])
    fine = grid.ijk_to_world.copy()
    fine[:3, 2] /= _SUB_SLICES
    fine[:3, 3] -= fine[:3, 2] * (_SUB_SLICES - 1) / 2
    dense = Grid((grid.shape[0] * _SUB_SLICES, *grid.shape[1:]), invert_rigid(ct_to_mr_ras) @ fine)
    seen = dense if deformation is None else deformation.bent(dense)
    signal, _, _ = render(body, seen, _SIGNALS[weighting], slab=8, progress=part(progress, 0.0, 0.9))
    if options.screws_in_mr:
        spoil_with_metal(
            signal, dense, screws(body.spine, options.screws_in_mr), ct_to_mr_ras, part(progress, 0.9, 1.0)
        )
    image = signal.reshape(grid.shape[0], _SUB_SLICES, *grid.shape[1:]).mean(1)
    image = gaussian_filter(image, (0.0, 0.42, 0.42))
    image *= _bias(Grid(grid.shape, invert_rigid(ct_to_mr_ras) @ grid.ijk_to_world), rng)
    image /= max(float(np.percentile(image[image > 0.05], 97)), 1e-6)
    sigma = options.mr_noise
    real = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(image.shape, dtype=np.float32)
    voxels = np.clip(np.rint(900.0 * np.hypot(real, imaginary)), 0, 4095).astype(np.int16)
    provenance = Provenance(source=f"generated patient, seed {options.seed}", steps=(f"rendered as {weighting}",))
    return Volume.from_ijk_to_ras(
        voxels, grid.ijk_to_world, modality=Modality.MR, name=f"MR {weighting}", provenance=provenance
    )


def _bias(grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Return the sensitivity of a spine coil: strong at the back, uneven along the body."""
    x, y, z = grid.coordinates()
    a, b = float(rng.uniform(0.06, 0.14)), float(rng.uniform(0.06, 0.14))
    phase = float(rng.uniform(0, 6.28))
    z = z - np.float32(z.mean())
    field = np.exp(-0.0075 * y - (z / 210.0) ** 2) * (1 + a * np.sin(x / 45.0 + phase)) * (1 + b * np.cos(z / 65.0))
    return np.asarray(field, dtype=np.float32)
