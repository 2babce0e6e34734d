"""The methods: each takes two images and returns the rigid motion between them, at its own usual settings.

Every method gets the same images and begins at the identity: the wrong start is in the moving image's header, which all
programs read alike. RAS inside; each adapter meets its program's own frame, and only there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MSKFusionLib.frames import FloatArray, flip_transform_ras_lps, invert_rigid, transform_points
from MSKFusionLib.volume import Modality, Volume

#: Of every library. Two runs side by side are given one each; their times then say nothing.
THREADS = int(os.environ.get("REGBENCH_THREADS", "2"))


@dataclass(frozen=True, eq=False)
class Found:
    """What a method returns.

    Parameters
    ----------
    fixed_to_moving_ras
        4x4.
    verdict, reasons, evidence, expected_error_mm, seconds_inside
        What it says of its own result; None and empty for a method that says nothing.
    apply
        Takes RAS points (N, 3) of the fixed image to the moving one, where the 4x4 is not all.
    parts
        By bone that moves on its own: its verdict and expected error.
    """

    fixed_to_moving_ras: FloatArray
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    expected_error_mm: float | None = None
    apply: Callable[[FloatArray], FloatArray] | None = None
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def map_points(self, fixed_ras: FloatArray) -> FloatArray:
        """Take points of the fixed image to the moving one."""
        return transform_points(self.fixed_to_moving_ras, fixed_ras) if self.apply is None else self.apply(fixed_ras)


# ---------------------------------------------------------------------- this project
def ours(fixed: Volume, moving: Volume) -> Found:
    """Run `register_rigid` as it is called without any option."""
    from MSKFusionLib.registration import register_rigid

    return _found(register_rigid(fixed, moving))


def ours_piecewise(fixed: Volume, moving: Volume, labels: Any) -> Found:
    """Run `register_piecewise` on the CT's labels, the rigid step included."""
    from MSKFusionLib.registration import register_piecewise

    return _found(register_piecewise(fixed, moving, labels))


def _found(result: Any) -> Found:
    return Found(
        result.fixed_to_moving_ras,
        result.verdict.value,
        result.reasons,
        result.evidence,
        result.expected_error_mm,
        result.apply_to_points,
        {b.name: {"verdict": b.verdict.value, "expected_error_mm": b.expected_error_mm} for b in result.bones},
    )


# ---------------------------------------------------------------------- SimpleITK
def simpleitk(fixed: Volume, moving: Volume) -> Found:
    """Mattes mutual information, gradient descent, three levels: the recipe of its documentation.

    The CT is its fixed image whichever way round the pair is: with thick slices fixed these steps run away even from a
    start of 3 mm (49 mm off, 1.0 mm this way round), which is the recipe's fault and not the method's.
    """
    method = _mattes(sampling_share=0.1)
    method.SetOptimizerAsGradientDescent(1.0, 200, 1e-6, 10)
    if fixed.modality is Modality.CT:
        return _run_simpleitk(method, fixed, moving)
    return Found(invert_rigid(_run_simpleitk(method, moving, fixed).fixed_to_moving_ras))


def simpleitk_long(fixed: Volume, moving: Volume) -> Found:
    """Mattes mutual information on more samples, with a long schedule of regular steps."""
    method = _mattes(sampling_share=0.2)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 300, relaxationFactor=0.6)
    return _run_simpleitk(method, fixed, moving)


def _mattes(sampling_share: float) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(sampling_share, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def _run_simpleitk(method: sitk.ImageRegistrationMethod, fixed: Volume, moving: Volume) -> Found:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(THREADS)
    method.SetOptimizerScalesFromPhysicalShift()
    transform = sitk.Euler3DTransform()
    transform.SetCenter((fixed.centre_ras * [-1, -1, 1]).tolist())
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(_float_image(fixed), _float_image(moving))
    return Found(flip_transform_ras_lps(matrix_of_itk(transform)))


# ---------------------------------------------------------------------- elastix
def elastix256(fixed: Volume, moving: Volume) -> Found:
    """elastix' default rigid parameters: 256 iterations a level."""
    return _run_elastix(fixed, moving, 256)


def elastix2000(fixed: Volume, moving: Volume) -> Found:
    """elastix' default rigid parameters with 2000 iterations a level."""
    return _run_elastix(fixed, moving, 2000)


def _run_elastix(fixed: Volume, moving: Volume, iterations: int) -> Found:
    import itk

    settings = itk.ParameterObject.New()
    rigid = settings.GetDefaultParameterMap("rigid")
    # Its own initial guess puts the centres of the two fields of view on each other: a start of its own, not ours.
    rigid["AutomaticTransformInitialization"] = ["false"]
    rigid["MaximumNumberOfIterations"] = [str(iterations)]
    settings.AddParameterMap(rigid)
    method = itk.ElastixRegistrationMethod.New(_itk_image(fixed), _itk_image(moving))
    method.SetParameterObject(settings)
    method.SetLogToConsole(False)
    method.SetNumberOfThreads(THREADS)
    method.UpdateLargestPossibleRegion()
    found = method.GetTransformParameterObject().GetParameterMap(0)
    transform = sitk.Euler3DTransform()
    transform.SetCenter([float(c) for c in found["CenterOfRotationPoint"]])
    transform.SetComputeZYX("ComputeZYX" in found and found["ComputeZYX"][0] == "true")
    transform.SetParameters([float(p) for p in found["TransformParameters"]])
    return Found(flip_transform_ras_lps(matrix_of_itk(transform)))


def _itk_image(volume: Volume) -> Any:
    import itk

    image = volume.to_sitk()
    out = itk.image_from_array(np.ascontiguousarray(volume.voxels, dtype=np.float32))
    out.SetSpacing(image.GetSpacing())
    out.SetOrigin(image.GetOrigin())
    out.SetDirection(itk.matrix_from_array(np.array(image.GetDirection()).reshape(3, 3)))
    return out


# ---------------------------------------------------------------------- ANTs
def ants(fixed: Volume, moving: Volume) -> Found:
    """Rigid registration of ANTs by its Python package, from the identity."""
    import ants as antspy

    with tempfile.TemporaryDirectory() as folder:
        identity = str(Path(folder) / "identity.mat")
        # Without a start of ours it takes the centres of mass.
        parameters = [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]
        start = antspy.create_ants_transform(transform_type="AffineTransform", dimension=3, parameters=parameters)
        antspy.write_transform(start, identity)
        result = antspy.registration(
            _ants_image(fixed),
            _ants_image(moving),
            type_of_transform="Rigid",
            initial_transform=identity,
            random_seed=1,
        )
        matrix = np.eye(4)
        # The last in the list is applied to a point first.
        for path in reversed(result["fwdtransforms"]):
            matrix = matrix_of_itk(sitk.ReadTransform(path)) @ matrix
    return Found(flip_transform_ras_lps(matrix))


def _ants_image(volume: Volume) -> Any:
    import ants as antspy

    image = volume.to_sitk()
    return antspy.from_numpy(
        np.ascontiguousarray(volume.voxels.astype(np.float32).transpose(2, 1, 0)),
        origin=list(image.GetOrigin()),
        spacing=list(image.GetSpacing()),
        direction=np.array(image.GetDirection()).reshape(3, 3),
    )


# ---------------------------------------------------------------------- greedy
def greedy(fixed: Volume, moving: Volume) -> Found:
    """Rigid registration of greedy by normalised mutual information, three levels."""
    from picsl_greedy import Greedy3D

    run = Greedy3D()
    run.execute(
        f"-i fixed moving -a -dof 6 -m NMI -n 100x50x10 -ia-identity -threads {THREADS} -o found",
        fixed=_float_image(fixed),
        moving=_float_image(moving),
        found=None,
    )
    return Found(np.asarray(run["found"], dtype=np.float64))  # greedy's matrices are between RAS frames


# ---------------------------------------------------------------------- common
def _float_image(volume: Volume) -> sitk.Image:
    return sitk.Cast(volume.to_sitk(), sitk.sitkFloat32)


def matrix_of_itk(transform: sitk.Transform) -> FloatArray:
    """Return the 4x4 of an affine ITK transform, between LPS frames, whatever its parameters and centre."""
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis, unit in enumerate(np.eye(3)):
        matrix[:3, axis] = np.array(transform.TransformPoint(unit.tolist())) - matrix[:3, 3]
    return matrix


def limit_threads() -> None:
    """Give every library the same number of threads; before any of them is imported."""
    for name in ("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(THREADS)


Method = Callable[..., Found]
METHODS: dict[str, Method] = {
    "ours": ours,
    "ours_piecewise": ours_piecewise,
    "simpleitk": simpleitk,
    "simpleitk_long": simpleitk_long,
    "elastix256": elastix256,
    "elastix2000": elastix2000,
    "ants": ants,
    "greedy": greedy,
}
OURS = ("ours", "ours_piecewise")
PEERS = tuple(name for name in METHODS if name not in OURS)
NEEDS_LABELS = ("ours_piecewise",)
