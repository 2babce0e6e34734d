"""nnU-Net and TotalSegmentator: what is refused before their packages see it, and what is said where they are missing."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MSKFusionLib.errors import InputError, MissingComponentError
from MSKFusionLib.networks import segment_with_network
from MSKFusionLib.networks.nnunet import is_nnunet_folder
from MSKFusionLib.volume import Modality, Volume

DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "vertebrae_L3": 1, "femur_left": 2},
    "file_ending": ".nii.gz",
}
ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 2, "features_per_stage": [1, 1], "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[1, 1, 1], [1, 1, 1]], "strides": [[1, 1, 1], [2, 2, 2]], "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1], "conv_bias": True, "norm_op": None, "norm_op_kwargs": None, "dropout_op": None,
        "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}  # fmt: skip
_RESAMPLING = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
PLANS = {
    "dataset_name": "Dataset001_Blocks",
    "plans_name": "nnUNetPlans",
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {"0": {"mean": 0, "std": 1}},
    "configurations": {
        "3d_fullres": {
            "data_identifier": "nnUNetPlans_3d_fullres", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
            "patch_size": [16, 16, 16], "median_image_size_in_voxels": [24, 24, 24], "spacing": [2.0, 2.0, 2.0],
            "normalization_schemes": ["NoNormalization"], "use_mask_for_norm": [False],
            "resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_data_kwargs": _RESAMPLING,
            "resampling_fn_seg": "resample_data_or_seg_to_shape",
            "resampling_fn_seg_kwargs": {**_RESAMPLING, "is_seg": True},
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": _RESAMPLING, "architecture": ARCHITECTURE, "batch_dice": False,
        }
    },
}  # fmt: skip
LEVELS = (0.0, 400.0, 1000.0)


def folder(path: Path, plans=PLANS, dataset=DATASET) -> Path:
    trained = path / "Dataset001_Blocks" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (trained / "fold_0").mkdir(parents=True)
    (trained / "plans.json").write_text(json.dumps(plans))
    (trained / "dataset.json").write_text(json.dumps(dataset))
    return trained


def blocks() -> Volume:
    voxels = np.zeros((24, 26, 30), np.int16)
    voxels[4:14, 5:15, 6:16] = 400
    voxels[15:22, 15:24, 18:27] = 1000
    return Volume(voxels, np.array([1.0, 2.0, 3.0]), np.full(3, 2.0), np.eye(3), Modality.CT, name="blocks")


def with_architecture(**changes) -> dict:
    configuration = PLANS["configurations"]["3d_fullres"] | {"architecture": ARCHITECTURE | changes}
    return PLANS | {"configurations": {"3d_fullres": configuration}}


@pytest.mark.parametrize(
    ("plans", "dataset", "words"),
    [
        (with_architecture(network_class_name="os.system"), DATASET, "os.system"),
        (with_architecture(network_class_name="evil.PlainConvUNet"), DATASET, "evil.PlainConvUNet"),
        (
            with_architecture(arch_kwargs=ARCHITECTURE["arch_kwargs"] | {"nonlin": "os.system"}),
            DATASET,
            "layer os.system",
        ),
        (PLANS | {"image_reader_writer": "NaturalImage2DIO"}, DATASET, "NaturalImage2DIO"),
        (PLANS | {"configurations": 3}, DATASET, "configurations"),
        (PLANS, DATASET | {"channel_names": {"0": "CT", "1": "PET"}}, "2 images"),
        (PLANS, DATASET | {"channel_names": {"0": "MRI"}}, "made for 'mri', and this is CT"),
        (PLANS, DATASET | {"labels": {"background": 0, "a": [1, 2]}}, "regions"),
        (PLANS, DATASET | {"labels": {"background": 0, "a": 7}}, "0, 1, 2"),
    ],
)
def test_files_that_cannot_be_used_are_refused_before_the_package_sees_them(tmp_path, plans, dataset, words):
    trained = folder(tmp_path, plans, dataset)
    assert is_nnunet_folder(trained)
    with pytest.raises(InputError, match=words):
        segment_with_network(blocks(), trained)


def test_what_is_missing_is_said_with_the_way_out(tmp_path):
    if importlib.util.find_spec("nnunetv2") is None:
        with pytest.raises(MissingComponentError, match="pip install nnunetv2"):
            segment_with_network(blocks(), folder(tmp_path))
    if importlib.util.find_spec("totalsegmentator") is None:
        with pytest.raises(MissingComponentError, match="pip install TotalSegmentator"):
            segment_with_network(blocks(), "TotalSegmentator")
    with pytest.raises(InputError, match="CT or MR"):
        segment_with_network(replace(blocks(), modality=Modality.UNKNOWN), "totalsegmentator")
    with pytest.raises(InputError, match="precision"):
        segment_with_network(blocks(), "totalsegmentator", precision="full")


@pytest.fixture
def trained(tmp_path):
    """A trained nnU-Net whose answer is known: the label whose grey level is nearest."""
    pytest.importorskip("nnunetv2")
    torch = pytest.importorskip("torch")
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    given = ARCHITECTURE["arch_kwargs"] | {"conv_op": torch.nn.Conv3d, "nonlin": torch.nn.LeakyReLU}
    network = PlainConvUNet(input_channels=1, num_classes=len(LEVELS), deep_supervision=False, **given)
    state = {k: torch.zeros_like(v) for k, v in network.state_dict().items()}
    t = torch.tensor(LEVELS) / 1000
    for key, value in state.items():
        if key.startswith(("encoder.stages.0", "decoder.encoder.stages.0")) and key.endswith("weight"):
            value[:] = 1e-3
        elif key.startswith("decoder.stages.0") and key.endswith("weight"):
            value[:, 1] = 1.0  # what skips, not what comes up from below
        elif key.startswith("decoder.seg_layers") and key.endswith("weight"):
            value[:, 0, 0, 0, 0] = 400 * t
        elif key.startswith("decoder.seg_layers"):
            value[:] = -200 * t**2
    out = folder(tmp_path)
    checkpoint = {"network_weights": state, "trainer_name": "nnUNetTrainer", "init_args": {"configuration": "3d_fullres"},
                  "inference_allowed_mirroring_axes": (0, 1, 2), "logging": {"ema": [np.float64(0.5), np.float32(0.25)]}}  # fmt: skip
    torch.save(checkpoint, out / "fold_0/checkpoint_final.pth")
    return out


def test_a_trained_nnunet_finds_what_it_knows(trained, capsys):
    seen = []
    found = segment_with_network(blocks(), trained, device="cpu", progress=lambda f, m: seen.append((f, m)))
    assert np.array_equal(found.mask("L3"), blocks().voxels == 400)
    assert np.array_equal(found.mask("femur_left"), blocks().voxels == 1000)
    assert found["L3"].confidence > 0.95
    assert "Dataset001_Blocks" in found["L3"].source
    assert any("window" in m for _, m in seen)
    assert [f for f, _ in seen] == sorted(f for f, _ in seen)
    assert capsys.readouterr().out == ""


def test_a_cancel_is_heard_by_a_trained_nnunet(trained):
    from MSKFusionLib.errors import Cancelled

    def cancel(fraction: float, message: str) -> None:
        if "window" in message:
            raise Cancelled(message)

    with pytest.raises(Cancelled):
        segment_with_network(blocks(), trained, device="cpu", progress=cancel)


def test_a_checkpoint_with_code_is_refused(trained, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)

    class Malicious:
        def __reduce__(self):
            import os

            return os.mkdir, ("owned",)

    torch.save({"network_weights": Malicious()}, trained / "fold_0/checkpoint_final.pth")
    with pytest.raises(InputError, match="could run code"):
        segment_with_network(blocks(), trained, device="cpu")
    assert not (tmp_path / "owned").exists()


def test_totalsegmentator_downloads_and_reports_nothing(tmp_path, monkeypatch):
    pytest.importorskip("totalsegmentator")
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(tmp_path))
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
    with pytest.raises(MissingComponentError, match="totalseg_download_weights -t total"):
        segment_with_network(blocks(), "totalsegmentator", device="cpu")
