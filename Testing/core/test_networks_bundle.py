"""What a bundle may say, and what is refused before anything of it is run."""

import contextlib
import json
import os
import re
import zipfile
from pathlib import Path

import pytest
from core.bundle_maker import changed, inference, metadata, scale_step, write_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from MSKFusionLib.errors import InputError
from MSKFusionLib.networks import read_bundle
from MSKFusionLib.networks.allowed import FLOW_NETWORKS, GEOMETRY, INTENSITY, NETWORKS, POSTPROCESSING
from MSKFusionLib.networks.plain_config import PlainConfig, read_json
from MSKFusionLib.networks.structure_names import name_structures
from MSKFusionLib.terminology import structure_term
from MSKFusionLib.volume import Modality

STEPS = "preprocessing::transforms"


def test_a_bundle_is_read(tmp_path):
    bundle = read_bundle(write_texts(tmp_path / "b"))
    assert (bundle.name, bundle.version, bundle.modality) == ("Nearest level", "1.2.0", Modality.CT)
    assert bundle.labels == ("background", "vertebrae_L3", "disc L3/L4", "femur_left")
    assert [s.call.name for s in bundle.steps] == ["Orientation", "Spacing", "ScaleIntensityRange"]
    assert bundle.steps[1].call.arguments == {"pixdim": [2.0, 2.0, 2.0], "mode": "bilinear"}
    assert bundle.network.name == "UNet"
    assert bundle.window.size == (24, 24, 24)
    assert bundle.window.overlap == 0.5
    assert bundle.window.gaussian
    assert bundle.sigmoid_threshold is None


def test_a_zip_is_read_with_or_without_a_folder_in_it(tmp_path):
    write_texts(tmp_path / "b")
    for inside in ("", "nearest/"):
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            for file in (tmp_path / "b").rglob("*.json"):
                archive.write(file, inside + file.relative_to(tmp_path / "b").as_posix())
        assert read_bundle(tmp_path / "b.zip").name == "Nearest level"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (changed(inference(), "network_def::_target_", "os.system"), "os.system"),
        (changed(inference(), "network_def::_target_", "monai.apps.download_url"), "download_url"),
        (changed(inference(), "network_def::_target_", "FlexibleUNet"), "FlexibleUNet"),
        (changed(inference(), "network_def", "$__import__('os').system('touch owned')"), "network_def"),
        (changed(inference(), "network_def::channels", "$[2, 2]"), r"network_def::channels.*expression"),
        (changed(inference(), "network_def::channels", [{"_target_": "os.system", "command": "x"}]), "channels"),
        (changed(inference(), "network_def::act", {"_target_": "torch.nn.ReLU"}), "network_def::act"),
        (changed(inference(), "network_def::channels", [2, 10**6]), "channels"),
        (changed(inference(), "network_def::num_res_units", 4000), "num_res_units"),
        (changed(inference(), "network_def::pretrained", True), "pretrained"),
        (changed(inference(), "network_def", ...), "network"),
        (changed(inference(), "network_def::in_channels", ...), "in_channels"),
        (changed(inference(), "network_def::in_channels", 2), "2 channels"),
        (changed(inference(), "network_def::out_channels", 3), "gives 3 channels and channel_def names 4"),
        (changed(inference(), "inferer", ...), "inferer"),
        (changed(inference(), "inferer::_target_", "SaliencyInferer"), "SaliencyInferer"),
        (changed(inference(), "inferer::roi_size", [10**4] * 3), "roi_size"),
        (changed(inference(), "inferer::roi_size", [96, 96]), "roi_size"),
        (changed(inference(), "inferer::overlap", 0.9999), "overlap"),
        (changed(inference(), "preprocessing", ...), "preprocessing"),
        (changed(inference(), "pixdim", "$[1, 1, 1]"), "pixdim"),
        (changed(inference(), "pixdim", [1e-9, 1, 1]), "pixdim"),
        (changed(inference(), "pixdim", "@pixdim"), "refers to itself"),
        (changed(inference(), "pixdim", "@nowhere"), "nowhere.*missing"),
        (changed(inference(), f"{STEPS}::2", {"_target_": "Lambdad", "func": "$lambda x: x"}), "Lambdad"),
        (changed(inference(), f"{STEPS}::2", {"_target_": "RandFlipd", "keys": "image"}), "RandFlipd"),
        (changed(inference(), f"{STEPS}::2", {**scale_step(), "func": 1}), "func"),
        (changed(inference(), f"{STEPS}::2", "scale"), "no object"),
        (changed(inference(), "postprocessing::transforms::0", {"_target_": "Lambdad"}), "Lambdad"),
        (changed(inference(), "postprocessing::transforms::0", {"_target_": "Activationsd", "sigmoid": True}), "overlap"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_by_name(tmp_path, config, words):
    with pytest.raises(InputError, match=words):
        read_bundle(write_texts(tmp_path / "b", config=config))
    assert not os.path.exists("owned")


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        (changed(metadata(), "network_data_format", ...), "network_data_format"),
        (changed(metadata(), "network_data_format::outputs::pred::channel_def", ...), "channel_def"),
        (changed(metadata(), "network_data_format::outputs::pred::channel_def", {"0": "background", "7": "x"}), "0, 7"),
        (changed(metadata(), "network_data_format::inputs::image::num_channels", 4), "4 channels"),
        (metadata(("L1", "L2", "L3", "L4")), "background"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(tmp_path, meta, words):
    with pytest.raises(InputError, match=words):
        read_bundle(write_texts(tmp_path / "b", meta=meta))


def test_one_channel_with_a_sigmoid_is_one_structure(tmp_path):
    config = changed(inference(1), "postprocessing::transforms::0", {"_target_": "Activationsd", "sigmoid": True})
    config = changed(config, "postprocessing::transforms::2", {"_target_": "AsDiscreted", "threshold": 0.3})
    for names in (("bone",), ("background", "bone")):
        bundle = read_bundle(write_texts(tmp_path / "b", metadata(names), config))
        assert bundle.labels == ("background", "bone")
        assert bundle.sigmoid_threshold == 0.3
        assert bundle.channels == 1


@pytest.mark.parametrize(
    "text", [b"{", b"[1]", b"\xff\xfe", b'{"a": NaN}', b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b" " * 5_000_000]
)
def test_text_that_is_no_configuration_is_refused(text):
    with pytest.raises(InputError):
        read_json(text, "file")


def test_references_are_followed_and_nothing_is_evaluated():
    config = PlainConfig(
        {"a": {"b": [1, "@c"]}, "c": "@d::e", "d": {"e": 2.5}, "x": "$1+1", "y": {"z": "%file"}}, "file"
    )
    assert config.value("a") == {"b": [1, 2.5]}
    assert config.value("a::b::1") == 2.5
    assert config.value("a#b#0") == 1
    for key in ("x", "y"):
        with pytest.raises(InputError, match="never run"):
            config.value(key)


def test_what_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such"):
        read_bundle(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"lacks configs/metadata\.json"):
        read_bundle(tmp_path)
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(InputError, match="neither a folder nor a zip"):
        read_bundle(tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("../../configs/inference.json", "{}")
    with pytest.raises(InputError, match=r"no configs/metadata\.json"):
        read_bundle(tmp_path / "b.zip")
    write_texts(tmp_path / "c", config={})
    (tmp_path / "c/configs/inference.json").write_text(json.dumps([]))
    with pytest.raises(InputError, match="no object"):
        read_bundle(tmp_path / "c")


@pytest.mark.parametrize(
    ("label", "name", "kind", "code"),
    [
        ("vertebrae_L3", "L3", "vertebra", "36470004"),
        ("T12 vertebra", "T12", "vertebra", "23215003"),
        ("sacrum", "S1", "sacrum", "54735007"),
        ("femur_left", "femur_left", "bone", "71341001"),
        ("hip_right", "hip_right", "bone", "29836001"),
        ("rib_left_4", "rib_left_4", "bone", "113197003"),
        ("disc_L4_L5", "disc_L4_L5", "disc", "84020006"),
        ("spinal_cord", "spinal_cord", "spinal cord", "2748008"),
        ("tibia", "tibia", "bone", "12611008"),
    ],
)
def test_names_become_standard_terms(label, name, kind, code):
    ((value, found, of_kind),) = name_structures(("background", label))
    assert (found, of_kind) == (name, kind)
    assert structure_term(found, of_kind).type[:2] == ("SCT", code)
    assert value == {"L3": 22, "T12": 19, "S1": 26}.get(found, 201)


def test_names_cannot_break_a_files_header(tmp_path):
    ((_, name, _),) = name_structures(("background", "bone\nSegment0_Name:=x|~^" + 100 * "a"))
    assert not set(name) & set("\n:|~^=")
    assert len(name) <= 64
    meta = changed(metadata(), "name", "evil\x1b[2J\nname")
    assert read_bundle(write_texts(tmp_path / "b", meta)).name == "evil__2J_name"


def test_a_sacrum_beside_an_s1_keeps_its_name():
    names = name_structures(("background", "sacrum", "vertebrae_S1", "L5", "L5"))
    assert [n for _, n, _ in names] == ["sacrum", "S1", "L5", "L5 (4)"]
    assert len({v for v, _, _ in names}) == 4


def test_left_and_right_are_coded():
    assert structure_term("femur_left").serialized().split("~")[3] == "SCT^7771000^Left"
    assert structure_term("hip_right").serialized().split("~")[3] == "SCT^24028007^Right"
    assert structure_term("femur").serialized().split("~")[3] == "^^"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**7) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["@pixdim", "$1", "@@", "UNet", "Spacingd", "background", "constant"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["_target_", "0", "1", "keys", "x"]), inner),
    max_leaves=6,
)  # fmt: skip


def _places(content, way=()):
    """Every key of a JSON value, as a way to it."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in entries:
        yield (*way, str(key))
        yield from _places(value, (*way, str(key)))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_bundle_it_is_read_or_refused(tmp_path_factory, data):
    """Any value in any place: an error of ours or a bundle, never another exception."""
    meta, config = metadata(), inference()
    for _ in range(data.draw(st.integers(1, 2))):
        if data.draw(st.booleans()):
            meta = changed(meta, "::".join(data.draw(st.sampled_from(list(_places(meta))))), data.draw(_VALUES))
        else:
            config = changed(config, "::".join(data.draw(st.sampled_from(list(_places(config))))), data.draw(_VALUES))
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    with contextlib.suppress(InputError):
        read_bundle(write_texts(folder, meta, config))


def test_the_docs_list_what_is_allowed():
    text = (Path(__file__).resolve().parents[2] / "docs/networks.md").read_text(encoding="utf-8")
    for name in (*NETWORKS, *FLOW_NETWORKS, *GEOMETRY, *INTENSITY, *POSTPROCESSING):
        assert re.search(rf"\b{name}\b", text), name
