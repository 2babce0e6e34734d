"""Segmentation by a bundle, with networks whose answer is known in closed form."""

import gc
import pickle
import sys
import weakref
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from core.bundle_maker import (
    LEVELS,
    changed,
    inference,
    metadata,
    nearest_level_state,
    scale_step,
    write_bundle,
    write_texts,
)

from MSKFusionLib.errors import Cancelled, InputError, MissingComponentError, ProcessingError
from MSKFusionLib.frames import rotation_about, transform_points
from MSKFusionLib.networks import read_bundle, segment_with_bundle
from MSKFusionLib.networks.allowed import NETWORKS, Call, allowed_call
from MSKFusionLib.networks.build import build_network
from MSKFusionLib.networks.bundle import Window
from MSKFusionLib.networks.on_image import keep_largest
from MSKFusionLib.networks.prepare import prepare, refuse_large
from MSKFusionLib.networks.sliding_window import slide, window_starts
from MSKFusionLib.networks.steps import Step
from MSKFusionLib.networks.weights import load_network
from MSKFusionLib.segmentation.files import read_segmentation, write_segmentation
from MSKFusionLib.volume import Modality, Volume

NO_STEPS = [scale_step()]


@pytest.fixture(scope="module")
def torch():
    pytest.importorskip("monai")
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module


@pytest.fixture(scope="module")
def bundle(torch, tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundles") / "nearest")


@pytest.fixture(scope="module")
def same_grid(torch, tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundles") / "same", config=inference(steps=NO_STEPS))


def image(shape=(40, 44, 48), spacing=(1.5, 1.0, 2.5), turn_deg=20.0, modality=Modality.CT) -> Volume:
    """Two boxes and a ball of the bundle's grey levels on an oblique grid with its axes in another order."""
    axes = rotation_about([1, 2, 3], turn_deg)[:, [2, 0, 1]]
    empty = Volume(
        np.zeros(shape, np.int16), np.array([-20.0, 30.0, 5.0]), np.array(spacing), axes, modality, name="blocks"
    )
    return empty.with_voxels((1000 * np.array(LEVELS)[truth(empty)]).astype(np.int16))


def truth(grid: Volume) -> np.ndarray:
    """Which label each voxel of the grid has: shapes given in mm from its middle, along its axes."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in grid.voxels.shape], indexing="ij")
    x, y, z = ((a - (n - 1) / 2) * s for a, n, s in zip((i, j, k), grid.shape_ijk, grid.spacing_mm, strict=True))
    labels = np.zeros(grid.voxels.shape, np.uint8)
    labels[(np.abs(x + 15) < 10.2) & (np.abs(y) < 12.1) & (np.abs(z) < 20.3)] = 1
    labels[(np.abs(x + 15) < 10.2) & (np.abs(y) < 12.1) & (np.abs(z - 31) < 7.1)] = 2
    labels[(x - 18) ** 2 + y**2 + z**2 < 11.3**2] = 3
    return labels


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


# ---------------------------------------------------------------------- what is found
def test_on_the_images_own_grid_every_voxel_is_right(same_grid):
    blocks = image()
    found = segment_with_bundle(blocks, same_grid, device="cpu")
    assert found.labels.same_grid(blocks)
    true = truth(blocks)
    for label, name in ((1, "L3"), (2, "disc L3/L4"), (3, "femur_left")):
        assert np.array_equal(found.mask(name), true == label), name
    assert found["L3"].value == 22
    assert [s.kind for s in found.segments] == ["vertebra", "disc", "bone"]
    assert all(s.complete and 0.9 < s.confidence <= 1.0 for s in found.segments)
    assert "Nearest level 1.2.0 (weights " in found["L3"].source
    assert "blocks" in found["L3"].source
    assert "not calibrated" in found["L3"].notes[0]


def test_an_oblique_image_comes_back_to_its_own_grid(torch, tmp_path):
    """Through RAS axes of 2 mm and back the border of a blurred ball stays where it is to a third of a millimetre."""
    folder = write_bundle(
        tmp_path / "b", metadata(("background", "bone")), inference(2), levels=(0.0, 1.0), sharpness=8.0
    )
    blocks = image()
    k, j, i = np.meshgrid(*[np.arange(n) for n in blocks.voxels.shape], indexing="ij")
    from_middle = transform_points(blocks.ijk_to_ras, np.stack([i, j, k], axis=-1).astype(float)) - blocks.centre_ras
    radius = np.linalg.norm(from_middle - [3.0, 2.0, -4.0], axis=-1)
    ball = blocks.with_voxels(np.clip(500 + 125 * (12.0 - radius), 0, 1000).astype(np.float32))
    found = segment_with_bundle(ball, folder, device="cpu").mask("bone")
    assert found[radius < 12.0 - 0.33].all()
    assert not found[radius > 12.0 + 0.33].any()


def test_the_whole_way_agrees_with_monais_own(torch, tmp_path):
    """MONAI's Compose, sliding window, softmax, Invertd of the probabilities and argmax, on the same network."""
    from monai.data import MetaTensor
    from monai.inferers import SlidingWindowInferer
    from monai.transforms import AsDiscreted, Compose, Invertd, Orientationd, ScaleIntensityRanged, Spacingd

    folder = write_bundle(tmp_path / "b", sharpness=40.0)
    blocks = image(spacing=(1.53, 1.01, 2.37))  # no voxel half-way between two of the network's, where both tie
    ours = segment_with_bundle(blocks, folder, device="cpu")
    value = {"L3": 1, "disc L3/L4": 2, "femur_left": 3}
    labels = np.zeros(blocks.voxels.shape, int)
    for segment in ours.segments:
        labels[ours.mask(segment.name)] = value[segment.name]

    before = Compose(
        [
            Orientationd("image", axcodes="RAS", labels=None),
            Spacingd("image", pixdim=(2.0, 2.0, 2.0), mode="bilinear"),
            ScaleIntensityRanged("image", 0, 1000, 0.0, 1.0, clip=True),
        ]
    )
    after = Compose(
        [
            Invertd("pred", transform=before, orig_keys="image", nearest_interp=False, to_tensor=True),
            AsDiscreted("pred", argmax=True),
        ]
    )
    values = torch.from_numpy(blocks.voxels.transpose(2, 1, 0).astype(np.float32).copy())[None]
    data = before({"image": MetaTensor(values, affine=torch.from_numpy(blocks.ijk_to_ras))})
    network = load_network(read_bundle(folder).network, read_bundle(folder).files, "cpu")
    with torch.inference_mode():
        windows = SlidingWindowInferer((24, 24, 24), 4, overlap=0.5, mode="gaussian")
        data["pred"] = windows(data["image"][None], network).softmax(dim=1)[0]
    theirs = after(data)["pred"][0].numpy().transpose(2, 1, 0)
    assert np.mean(theirs == labels) > 0.998
    for n in (1, 2, 3):
        assert dice(theirs == n, labels == n) > 0.99


def test_a_cropped_and_padded_image_lands_in_its_place(torch, tmp_path):
    steps = [
        scale_step(),
        {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": 1},
        {"_target_": "SpatialPadd", "keys": ["image"], "spatial_size": [30, 50, 60]},
        {"_target_": "DivisiblePadd", "keys": "image", "k": 4},
        {"_target_": "RandFlipd", "_disabled_": True},
    ]
    blocks = image(turn_deg=0.0)
    found = segment_with_bundle(blocks, write_bundle(tmp_path / "b", config=inference(steps=steps)), device="cpu")
    assert np.array_equal(found.mask("femur_left"), truth(blocks) == 3)


def test_what_the_border_cuts_is_not_complete(same_grid):
    blocks = image()
    cut = blocks.cropped((0, 0, 0), (24, 44, 40))
    found = segment_with_bundle(cut, same_grid, device="cpu")
    assert [s.name for s in found.segments] == ["L3", "disc L3/L4"]
    assert found["L3"].complete
    assert "not found: femur_left" in found.notes
    half = segment_with_bundle(blocks.cropped((0, 0, 0), (48, 44, 20)), same_grid, device="cpu")
    assert not half["L3"].complete


def test_it_is_written_with_its_terms_and_read_again(same_grid, tmp_path):
    found = segment_with_bundle(image(), same_grid, device="cpu")
    write_segmentation(found, tmp_path / "found.seg.nrrd")
    text = (tmp_path / "found.seg.nrrd").read_bytes()[:20_000].decode("latin-1")
    assert "SCT^71341001^Femur~SCT^7771000^Left" in text
    again = read_segmentation(tmp_path / "found.seg.nrrd")
    assert again["femur_left"] == found["femur_left"]
    assert np.array_equal(again.mask("L3"), found.mask("L3"))


def test_one_channel_with_a_sigmoid(torch, tmp_path):
    """sigmoid(400 (x - 0.55)) above the threshold 0.3: all that is brighter than 0.55 + log(0.3 / 0.7) / 400."""
    config = changed(
        inference(1, steps=NO_STEPS), "postprocessing::transforms::0", {"_target_": "Activationsd", "sigmoid": True}
    )
    config = changed(config, "postprocessing::transforms::2", {"_target_": "AsDiscreted", "threshold": 0.3})
    folder = write_texts(tmp_path / "b", metadata(("bone",)), config)
    state = nearest_level_state(levels=(1.0,))
    last = next(k for k in state if k.startswith("model.2") and k.endswith("bias"))
    state[last][:] = -400.0 * 0.55
    torch.save({"model": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, folder / "models/model.pt")
    blocks = image()
    found = segment_with_bundle(blocks, folder, device="cpu")
    assert np.array_equal(found.mask("bone"), truth(blocks) >= 2)


def test_only_the_largest_piece_where_the_bundle_asks(torch, tmp_path):
    config = inference(steps=NO_STEPS)
    config["postprocessing"]["transforms"].insert(
        3, {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [3]}
    )
    blocks = image()
    speck = blocks.voxels.copy()
    speck[2:4, 2:4, 2:4] = 1000
    found = segment_with_bundle(blocks.with_voxels(speck), write_bundle(tmp_path / "b", config=config), device="cpu")
    assert np.array_equal(found.mask("femur_left"), truth(blocks) == 3)


def test_keeping_the_largest_leaves_other_labels():
    labels = np.zeros((6, 6, 6), np.uint16)
    labels[0], labels[3:5], labels[2, 0, 0] = 1, 1, 2
    keep_largest(labels, [1, 7])
    assert not labels[0].any()
    assert (labels[3:5] == 1).all()
    assert labels[2, 0, 0] == 2


def test_mixed_precision_finds_the_same(bundle):
    blocks = image()
    full = segment_with_bundle(blocks, bundle, device="cpu", precision="full")
    mixed = segment_with_bundle(blocks, bundle, device="cpu", precision="mixed")
    assert dice(full.labels.voxels > 0, mixed.labels.voxels > 0) > 0.95
    with pytest.raises(InputError, match="precision"):
        segment_with_bundle(blocks, bundle, precision="double")


# ---------------------------------------------------------------------- windows
@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("shape", [(40, 23, 31), (17, 50, 16), (9, 20, 16)])
def test_windows_are_joined_as_monai_joins_them(torch, gaussian, shape):
    from monai.inferers import sliding_window_inference

    torch.manual_seed(1)
    entry = {
        "_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 3, "channels": [4, 8], "strides": [2],
    }  # fmt: skip
    call = allowed_call(entry, NETWORKS, "network_def", "")
    network = build_network(call, "").eval()
    given = torch.randn(1, *shape)
    window = Window((16, 16, 16), 0.4, gaussian)
    with torch.inference_mode():
        ours = slide(given, network, window, 3, "cpu", lambda x: torch.softmax(x, dim=0), lambda *_: None)
        theirs = sliding_window_inference(
            given[None], (16, 16, 16), 1, network, overlap=0.4, mode="gaussian" if gaussian else "constant"
        )[0].softmax(dim=0)
    value, label = theirs.topk(3, dim=0)
    assert np.array_equal(ours.labels[0], label[0].numpy())
    assert np.abs(ours.shares - value.numpy()).max() < 1e-3


def test_windows_reach_both_ends():
    assert window_starts(10, 16, 0.5) == [0]
    assert window_starts(16, 16, 0.5) == [0]
    assert window_starts(40, 16, 0.5) == [0, 8, 16, 24]
    assert window_starts(41, 16, 0.5) == [0, 8, 16, 24, 25]


def test_memory_does_not_grow_with_the_length_of_the_image(torch):
    """Of 40 labels on 24 x 24 x 600 voxels the sums of all channels would take 55 MB; the layers in work take 2."""
    largest = 0

    def network(window):
        return torch.zeros(1, 40, *window.shape[2:])

    def shares(given):
        nonlocal largest
        largest = max(largest, given.numel())
        return torch.softmax(given, dim=0)

    slide(torch.zeros(1, 24, 24, 600), network, Window((24, 24, 24), 0.5), 40, "cpu", shares, lambda *_: None)
    assert largest <= 40 * 24**3


def test_too_many_labels_for_the_memory_are_refused(torch):
    with pytest.raises(InputError, match="Crop the image"):
        slide(torch.zeros(1, 500, 500, 100), None, Window((100, 100, 100)), 1000, "cpu", None, lambda *_: None)


# ---------------------------------------------------------------------- what must be refused
class Malicious:
    def __reduce__(self):
        import os

        return os.mkdir, ("owned",)


def test_a_pickle_with_code_is_not_run(torch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for n, save in enumerate((lambda f: torch.save(Malicious(), f), lambda f: pickle.dump(Malicious(), f.open("wb")))):
        folder = write_texts(tmp_path / f"b{n}")
        save(folder / "models/model.pt")
        with pytest.raises(InputError, match="could run code"):
            segment_with_bundle(image(), folder, device="cpu")
    assert not (tmp_path / "owned").exists()


def test_weights_of_another_network_are_told(torch, tmp_path):
    state = nearest_level_state()
    for n, (wrong, words) in enumerate(
        (
            (nearest_level_state(levels=(0.0, 1.0)), "have another shape"),
            ({k + "x": v for k, v in state.items()}, "are not its own"),
            ({k: v for k, v in list(state.items())[1:]}, "1 are missing"),
            ({k: v * float("nan") for k, v in state.items()}, "not all numbers"),
            ({}, "no weights"),
            ([1, 2], "no weights"),
        )
    ):
        folder = write_texts(tmp_path / f"b{n}")
        torch.save(wrong, folder / "models/model.pt")
        with pytest.raises(InputError, match=words):
            segment_with_bundle(image(), folder, device="cpu")


def test_files_that_are_no_weights_are_told(torch, tmp_path):
    folder = write_bundle(tmp_path / "b")
    whole = (folder / "models/model.pt").read_bytes()
    for content in (b"", b"rubbish" * 100, whole[: len(whole) // 2]):
        (folder / "models/model.pt").write_bytes(content)
        with pytest.raises(InputError):
            segment_with_bundle(image(), folder, device="cpu")
    (folder / "models/model.pt").unlink()
    with pytest.raises(InputError, match=r"lacks models/model\.pt"):
        segment_with_bundle(image(), folder, device="cpu")


def test_weights_that_unpack_to_more_than_they_may_are_refused(torch, tmp_path, monkeypatch):
    from MSKFusionLib.networks import weights

    folder = write_bundle(tmp_path / "b")
    monkeypatch.setattr(weights, "MOST_WEIGHT_BYTES", 100)
    with pytest.raises(InputError, match="unpack to"):
        segment_with_bundle(image(), folder, device="cpu")


def test_a_broken_or_locked_member_of_a_zip_is_told(same_grid, tmp_path):
    target = tmp_path / "b.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in same_grid.rglob("*.*"):
            archive.write(file, file.relative_to(same_grid).as_posix())
        place = next(m.header_offset for m in archive.infolist() if m.filename.endswith("model.pt"))
    content = bytearray(target.read_bytes())
    content[place + 200 : place + 260] = b"\x00" * 60
    target.write_bytes(content)
    with pytest.raises(InputError, match=r"models/model\.pt cannot be read"):
        segment_with_bundle(image(), target, device="cpu")


def test_a_network_that_cannot_be_built_or_is_huge_is_told(torch, tmp_path):
    with pytest.raises(InputError, match="cannot be built"):
        build_network(
            Call("UNet", {"spatial_dims": 7, "in_channels": 1, "out_channels": 2, "channels": [2], "strides": []}), "b"
        )
    huge = allowed_call(changed(inference(), "network_def::kernel_size", 3)["network_def"] | {"channels": [4096] * 8,
                        "strides": [2] * 7}, NETWORKS, "network_def", "")  # fmt: skip
    with pytest.raises(InputError, match="million weights"):
        load_network(huge, read_bundle(write_texts(tmp_path / "b")).files, "cpu")


def test_a_window_that_does_not_suit_the_network_is_told(torch, tmp_path):
    config = inference(window=9, steps=NO_STEPS)
    config["network_def"] = {
        "_target_": "SegResNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 4,
        "init_filters": 8,
    }
    folder = write_texts(tmp_path / "b", config=config)
    call = read_bundle(folder).network
    torch.save(build_network(call, "").state_dict(), folder / "models/model.pt")
    with pytest.raises(InputError, match="cannot be run on windows"):
        segment_with_bundle(image(), folder, device="cpu")


def test_images_of_any_size_are_taken_where_the_networks_grid_is_not_too_large():
    def large(*shape: int) -> Volume:
        voxels = np.broadcast_to(np.int16(0), shape)
        return Volume(voxels, np.zeros(3), np.full(3, 0.7), np.eye(3), Modality.CT, name="large")

    def step(name: str, **arguments: object) -> Step:
        return Step(Call(name, arguments), ("image",))

    coarser = [
        step("Orientation", axcodes="RAS"),
        step("Spacing", pixdim=[1.5] * 3),
        step("SpatialPad", spatial_size=[96] * 3),
    ]
    refuse_large(large(900, 512, 512), coarser, "bundle")
    refuse_large(large(400, 512, 512), [], "bundle")
    for image_, steps in (
        (large(900, 512, 512), []),
        (large(400, 512, 512), [step("Spacing", pixdim=0.3)]),
        (large(400, 512, 512), [step("SpatialPad", spatial_size=1024)]),
    ):
        with pytest.raises(InputError, match="million voxels"):
            refuse_large(image_, steps, "bundle")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Orientation", {"axcodes": "XYZ"}),
        ("Orientation", {"axcodes": 3}),
        ("Spacing", {"pixdim": 2.0, "mode": "cubist"}),
        ("SpatialPad", {"spatial_size": [-1, 5]}),
        ("NormalizeIntensity", {"divisor": "x"}),
        ("ScaleIntensityRange", {"a_min": 0}),
        ("ScaleIntensityRangePercentiles", {"lower": 50, "upper": 300, "b_min": 0, "b_max": 1}),
        ("ThresholdIntensity", {}),
    ],
)
def test_transforms_with_odd_arguments_are_told(torch, name, arguments):
    with pytest.raises(InputError):
        prepare({"image": image()}, [Step(Call(name, arguments), ("image",))], "bundle", lambda *_: None)


def test_images_that_are_not_for_it_are_told(bundle, same_grid):
    blocks = image()
    with pytest.raises(InputError, match="made for CT, and this is MR"):
        segment_with_bundle(replace(blocks, modality=Modality.MR), bundle, device="cpu")
    holes = blocks.voxels.astype(np.float32)
    holes[3, 4, 5] = np.nan
    with pytest.raises(InputError, match="not numbers"):
        segment_with_bundle(blocks.with_voxels(holes), bundle, device="cpu")
    with pytest.raises(ProcessingError, match="finds none of its 3 structures"):
        segment_with_bundle(blocks.with_voxels(blocks.voxels // 10), same_grid, device="cpu")
    with pytest.raises(InputError, match="million voxels"):
        segment_with_bundle(replace(blocks, spacing_mm=np.full(3, 50.0)), bundle, device="cpu")


def test_a_cancel_gives_the_memory_back(bundle, monkeypatch):
    from MSKFusionLib.networks import segment

    held = []

    def load(*arguments):
        network = load_network(*arguments)
        held.append(weakref.ref(network))
        return network

    monkeypatch.setattr(segment, "load_network", load)

    def cancel(fraction: float, message: str) -> None:
        if "window 3" in message:
            raise Cancelled(message)

    with pytest.raises(Cancelled):
        segment_with_bundle(image(), bundle, device="cpu", progress=cancel)
    gc.collect()
    assert [r() for r in held] == [None]


def test_progress_goes_up_to_the_end(bundle):
    seen = []
    segment_with_bundle(image(), bundle, device="cpu", progress=lambda f, m: seen.append(f))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_zip_gives_the_same(same_grid, tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in same_grid.rglob("*.*"):
            archive.write(file, "nearest/" + file.relative_to(same_grid).as_posix())
    blocks = image()
    found = [segment_with_bundle(blocks, b, device="cpu") for b in (same_grid, tmp_path / "b.zip")]
    assert np.array_equal(found[0].labels.voxels, found[1].labels.voxels)
    assert found[0]["L3"].source == found[1]["L3"].source


def test_without_monai_the_way_out_is_said(monkeypatch):
    pytest.importorskip("torch")
    from MSKFusionLib.networks.build import load_monai

    monkeypatch.setitem(sys.modules, "monai", None)  # as if it were not installed
    with pytest.raises(MissingComponentError, match=r"mskplanner\[networks\]"):
        load_monai()
