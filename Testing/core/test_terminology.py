"""Standard terms and colours of structures."""

import itertools

import numpy as np
import pytest

from MSKFusionLib.segmentation.labels import LEVELS_CRANIAL_TO_CAUDAL
from MSKFusionLib.terminology import structure_colour, structure_term, unnamed_vertebra_value
from MSKPlannerLib.colours import GUIDE_COLOUR, REJECTED_COLOUR, SCREW_COLOUR


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("L1", "vertebra", "66794005"),
        ("S1", "sacrum", "54735007"),
        ("sacrum", "sacrum", "54735007"),
        ("V3", "vertebra", "51282000"),
        ("disc_L4_L5", "disc", "84020006"),
        ("disc L4/L5", "", "84020006"),
        ("disc of somewhere", "disc", "360499006"),
        ("spinal_canal", "canal", "61853006"),
        ("nerve_roots", "nerve", "119410002"),
        ("nerve root L4 left", "", "119410002"),
        ("aorta", "artery", "15825003"),
        ("vena_cava", "vein", "64131007"),
        ("pelvis", "bone", "272673000"),
        ("lesion 2", "lesion", "52988006"),
    ],
)
def test_codes(name, kind, code):
    term = structure_term(name, kind)
    assert term is not None
    assert term.type[:2] == ("SCT", code)
    assert term.serialized().count("~") == 6


def test_every_level_has_its_own_code():
    codes = [structure_term(level).type[1] for level in LEVELS_CRANIAL_TO_CAUDAL]
    assert len(set(codes)) == len(codes)


def test_what_is_unknown_is_grey_and_has_no_term():
    assert structure_term("implant") is None
    assert len(set(structure_colour("implant"))) == 1


def test_numbers_of_unnamed_vertebrae():
    assert [unnamed_vertebra_value(n) for n in ("V1", "V12", "L1", "Vx")] == [101, 112, None, None]


# Machado, Oliveira & Fernandes 2009 (doi 10.1109/TVCG.2009.113), severity 1.0, on linear RGB.
_VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def _lab(colour, vision):
    rgb = np.asarray(colour)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(_VISION[vision]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 0.008856))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", _VISION)
def test_neighbours_differ_for_every_eye(vision):
    """At least 15 CIELAB units: about six times what is just noticeable."""
    pairs = list(itertools.pairwise(LEVELS_CRANIAL_TO_CAUDAL)) + [("aorta", "vena_cava"), ("V1", "V2"), ("L5", "S1")]
    for a, b in pairs:
        difference = np.linalg.norm(_lab(structure_colour(a), vision) - _lab(structure_colour(b), vision))
        assert difference > 15, (a, b, difference)


@pytest.mark.parametrize("vision", _VISION)
def test_accepted_and_rejected_screws_differ_for_every_eye(vision):
    for a, b in itertools.combinations((SCREW_COLOUR, GUIDE_COLOUR, REJECTED_COLOUR), 2):
        assert np.linalg.norm(_lab(a, vision) - _lab(b, vision)) > 15
