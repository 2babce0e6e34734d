"""What no registration may do with: images that are none, too large ones, and a user who stops it half-way."""

import gc
import os
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from core.body_pair import BodyPair, body_pair

from MSKFusionLib.errors import Cancelled, InputError
from MSKFusionLib.phantom import Patient
from MSKFusionLib.progress import Progress
from MSKFusionLib.registration import (
    RegistrationResult,
    Verdict,
    preprocess,
    register_deformable,
    register_piecewise,
    register_rigid,
)
from MSKFusionLib.registration.quality import Evidence
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume


@pytest.fixture(scope="module")
def pair() -> BodyPair:
    return body_pair(0)


def bones_of(ct: Volume) -> Segmentation:
    """One label for all that is dense."""
    labels = ct.with_voxels((ct.voxels > 180).astype(np.uint8), modality=Modality.LABEL)
    return Segmentation(labels, (Segment(1, "L3", "vertebra", True, source="threshold"),))


def known(truth: BodyPair | Patient) -> RegistrationResult:
    """The true rigid motion, as if it had been found."""
    evidence = {field.name: 1.0 for field in fields(Evidence)}
    return RegistrationResult("known", truth.ct_to_mr_ras, Verdict.ACCEPTED, (), evidence, 0.1)


# ---------------------------------------------------------------------- refused
def _with_nan(volume: Volume) -> Volume:
    voxels = volume.voxels.copy()
    voxels[3, 4, 5] = np.nan
    return volume.with_voxels(voxels)


BROKEN: dict[str, tuple[Callable[[Volume, Volume], tuple[Volume, Volume]], str]] = {
    "NaN in the CT": (lambda ct, mr: (_with_nan(ct), mr), "1 voxels are not numbers"),
    "NaN in the MR": (lambda ct, mr: (ct, _with_nan(mr)), "1 voxels are not numbers"),
    "constant CT": (lambda ct, mr: (ct.with_voxels(np.full_like(ct.voxels, -1000)), mr), "empty"),
    "constant MR": (lambda ct, mr: (ct, mr.with_voxels(np.zeros_like(mr.voxels))), "empty"),
    "one slice of CT": (lambda ct, mr: (replace(ct, voxels=ct.voxels[30:31]), mr), "do not fix a position"),
    "one slice of MR": (lambda ct, mr: (ct, replace(mr, voxels=mr.voxels[:, :1])), "do not fix a position"),
    "CT and MR swapped": (
        lambda ct, mr: (replace(ct, modality=Modality.MR), replace(mr, modality=Modality.CT)),
        "which of the images is the CT",
    ),
    "a CT without its intercept": (lambda ct, mr: (ct.with_voxels(ct.voxels + 1100), mr), "rescale intercept"),
    "two CT": (lambda ct, mr: (ct, ct), "both images are CT"),
}


#: Two MR images are registered rigidly.
_ALLOWED = {("two MR", "rigid")}


@pytest.mark.parametrize(
    ("what", "method"),
    [(w, m) for w in BROKEN for m in ("rigid", "piecewise", "deformable") if (w, m) not in _ALLOWED],
)
def test_broken_images_are_refused_in_words_by_every_method(pair: BodyPair, what: str, method: str):
    spoil, words = BROKEN[what]
    ct, mr = spoil(pair.ct, pair.mr)
    bones = bones_of(pair.ct)
    with pytest.raises(InputError, match=words):
        if method == "rigid":
            register_rigid(ct, mr)
        elif method == "piecewise":
            register_piecewise(ct, mr, bones, rigid=known(pair))
        else:
            pytest.importorskip("torch")
            register_deformable(ct, mr, initial=known(pair), bones=bones, device="cpu")


def test_a_rigid_result_without_evidence_is_refused_before_any_work(pair: BodyPair):
    bare = replace(known(pair), evidence={})
    with pytest.raises(InputError, match="verdict rests on"):
        register_piecewise(pair.ct, pair.mr, bones_of(pair.ct), rigid=bare)


# ---------------------------------------------------------------------- large
def test_thinning_slab_by_slab_is_thinning_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    for kind in (np.int16, np.float32):
        voxels = rng.normal(100, 300, (37, 50, 41)).astype(kind)
        volume = Volume(voxels, (3, 4, 5), (0.5, 0.7, 0.4), np.diag([-1.0, 1.0, 1.0]), Modality.CT)
        monkeypatch.setattr(preprocess, "_AT_ONCE", 5000)
        found = preprocess.thin(volume, 9000)
        factors = np.rint(found.spacing_mm / volume.spacing_mm).astype(int)
        assert factors.max() > 1
        whole = Volume.from_sitk(sitk.Cast(sitk.BinShrink(volume.to_sitk(), factors.tolist()), sitk.sitkFloat32))
        np.testing.assert_array_equal(found.voxels, whole.voxels)
        np.testing.assert_allclose(found.ijk_to_ras, whole.ijk_to_ras, atol=1e-9)


#: Thins an image whose slices are all one and the same array, so that it takes no memory itself; prints by how many MB
#: the process grew at most.
_THIN_ALONE = """
import resource, sys
import numpy as np
from MSKFusionLib.registration.preprocess import check_image, thin
from MSKFusionLib.volume import Modality, Volume

layer = np.arange(512 * 512, dtype=np.int16).reshape(1, 512, 512) % 997
volume = Volume(np.broadcast_to(layer, (int(sys.argv[1]), 512, 512)), (0, 0, 0), (0.4, 0.4, 0.2), np.eye(3), Modality.CT)
thin(Volume(layer.repeat(8, 0), (0, 0, 0), (0.4, 0.4, 0.2), np.eye(3)), 100_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
check_image(volume)
thinner = thin(volume)
assert thinner.voxels.size <= 36_000_000
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def _run_alone(script: str, *arguments: object) -> float:
    pytest.importorskip("resource")
    command = [sys.executable, "-c", script, *map(str, arguments)]
    found_here = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=found_here)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1])


@pytest.mark.parametrize("slices", [2048, pytest.param(8192, marks=pytest.mark.slow)])
def test_thinning_a_large_image_never_copies_it(slices: int):
    """Of 1 GB (and of 4 GB): what is kept is 36 million voxels of 4 bytes at most, twice while they are put together."""
    assert _run_alone(_THIN_ALONE, slices) < 450


#: Registers a body whose CT (or MR) has 4 GB; prints by how many MB the process grew at most beyond the images.
_REGISTER_LARGE = """
import resource, sys
from dataclasses import fields, replace
import numpy as np
from core.body_pair import body_pair
from MSKFusionLib.registration import Verdict, register_rigid

def finer(volume, times):
    k, j, i = volume.voxels.shape
    voxels = np.empty((k * times[2], j * times[1], i * times[0]), np.int16)
    for n, layer in enumerate(np.rint(volume.voxels).astype(np.int16)):
        voxels[n * times[2]:(n + 1) * times[2]] = layer.repeat(times[1], 0).repeat(times[0], 1)
    spacing = volume.spacing_mm / times
    origin = volume.origin_ras - volume.directions_ras @ ((np.array(times) - 1) / 2 * spacing)
    return replace(volume, voxels=voxels, spacing_mm=spacing, origin_ras=origin)

pair = body_pair(0)
ct, mr = (finer(pair.ct, (17, 17, 19)), pair.mr) if sys.argv[1] == "ct" else (pair.ct, finer(pair.mr, (19, 19, 23)))
assert ct.voxels.nbytes + mr.voxels.nbytes > 4.2e9
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = register_rigid(ct, mr)
assert found.verdict is Verdict.ACCEPTED
assert pair.error_mm(found.fixed_to_moving_ras) < 0.4
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("large", ["ct", "mr"])
def test_an_image_of_4_gb_is_registered_within_one_more(large: str):
    if os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < 8e9:
        pytest.skip("less than 8 GB of memory are free")
    assert _run_alone(_REGISTER_LARGE, large) < 1000


# ---------------------------------------------------------------------- stopped
def stop_at(fraction: float) -> Progress:
    def report(now: float, message: str) -> None:
        if now >= fraction:
            raise Cancelled(message)

    return report


def assert_nothing_is_kept(work: Callable[[Progress], Any], fraction: float) -> None:
    """Stop some work half-way: its memory and its threads are gone as soon as the exception is."""
    gc.collect()
    threads = threading.active_count()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        stopped = False
        try:
            work(stop_at(fraction))
        except Cancelled:
            stopped = True
        assert stopped
        gc.collect()
        now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most - before > 5e6, "it had begun"
    assert now - before < 1e6
    assert threading.active_count() == threads


@pytest.mark.parametrize("at", [0.12, *(pytest.param(a, marks=pytest.mark.slow) for a in (0.3, 0.45, 0.58))])
def test_a_stopped_rigid_registration_keeps_nothing(pair: BodyPair, at: float):
    assert_nothing_is_kept(lambda progress: register_rigid(pair.ct, pair.mr, progress=progress), at)


@pytest.mark.slow
def test_a_stopped_search_of_all_turns_keeps_nothing(pair: BodyPair):
    rng = np.random.default_rng(0)
    noise = pair.mr.with_voxels(np.hypot(*rng.normal(0, 100, (2, *pair.mr.voxels.shape))).astype(np.float32))
    assert_nothing_is_kept(lambda progress: register_rigid(pair.ct, noise, progress=progress), 0.7)


@pytest.mark.slow
@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_a_stopped_piecewise_registration_keeps_nothing(small_patient: Patient, at: float):
    p = small_patient
    assert_nothing_is_kept(
        lambda progress: register_piecewise(p.ct, p.mr_t2, p.labels, rigid=known(p), progress=progress), at
    )


@pytest.mark.slow
@pytest.mark.parametrize("at", [0.3, 0.7])
def test_a_stopped_deformable_registration_keeps_nothing(small_patient: Patient, at: float):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    p = small_patient

    def work(progress: Progress) -> None:
        register_deformable(p.ct, p.mr_t2, initial=known(p), bones=p.labels, device="cpu", progress=progress)

    # What a first use loads for good (kernels, caches) is not what a stop leaves behind.
    with pytest.raises(Cancelled):
        work(stop_at(at))
    assert_nothing_is_kept(work, at)
    alive = [weakref.ref(o) for o in gc.get_objects() if type(o) is torch.Tensor and o.numel() > 100_000]
    assert not alive


def test_images_that_were_given_are_let_go_after_a_stop():
    lost = body_pair(5)
    images = [weakref.ref(lost.ct), weakref.ref(lost.mr)]
    with pytest.raises(Cancelled):
        register_rigid(lost.ct, lost.mr, progress=stop_at(0.07))
    del lost
    gc.collect()
    assert [image() for image in images] == [None, None]
