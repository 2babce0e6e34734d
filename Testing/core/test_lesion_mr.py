"""A lesion in MR from one click: against known geometry, and refused where its border is not seen."""

import numpy as np
import pytest
from core.mr_blocks import block_spine, dice

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.segmentation import Segment, Segmentation
from MSKFusionLib.segmentation.mr import add_lesion, segment_lesion_mr
from MSKFusionLib.volume import Modality

#: The middle of the middle body.
MIDDLE = np.array([0.0, 8.0, 0.0])


@pytest.mark.parametrize(
    ("weighting", "noise", "spacing", "beside"),
    [
        ("T2", 0.02, (1.5, 1.5, 1.5), (3.0, -3.0, -2.0)),
        pytest.param("T2", 0.06, (4.0, 0.8, 0.8), (3.0, -3.0, -2.0), marks=pytest.mark.slow),
        pytest.param("T1", 0.06, (1.5, 1.5, 1.5), (0.0, 4.0, 0.0), marks=pytest.mark.slow),
        pytest.param("T1", 0.02, (4.0, 0.8, 0.8), (-3.0, 0.0, 3.0), marks=pytest.mark.slow),
    ],
)
def test_a_ball_in_a_body(weighting, noise, spacing, beside):
    mr, truth = block_spine(weighting, bodies=1, lesion_mm=9.0, noise=noise, spacing=spacing)
    found = segment_lesion_mr(mr, MIDDLE + beside)
    assert dice(found.mask("lesion"), truth == 60) > 0.88
    lesion = found["lesion"]
    assert lesion.kind == "lesion"
    assert lesion.confidence > 0.6
    assert abs(float(lesion.notes[0].split()[0]) - (truth == 60).sum() * mr.voxel_mm3 / 1000) < 0.6  # ml
    bodies = Segmentation(
        mr.with_voxels((truth > 0).astype(np.uint8), modality=Modality.LABEL), (Segment(1, "V1", "vertebra"),)
    )
    both = add_lesion(bodies, found)
    assert np.array_equal(both.mask("lesion"), found.mask("lesion"))
    assert not (both.mask("V1") & both.mask("lesion")).any()
    assert "lies in V1" in both["lesion"].notes


def test_where_the_border_is_not_seen_nothing_is_labelled():
    # A ball that fades into the marrow around it has no border.
    mr, _ = block_spine(lesion_mm=0.0)
    kji = np.moveaxis(np.indices(mr.voxels.shape, dtype=float)[::-1], 0, -1)
    ras = kji * mr.spacing_mm + mr.origin_ras
    fading = 300.0 * np.exp(-((ras - MIDDLE) ** 2).sum(-1) / (2 * 14.0**2))
    with pytest.raises(ProcessingError, match=r"border|beside"):
        segment_lesion_mr(mr.with_voxels((fading + 200.0 + mr.voxels % 7).astype(np.int16)), MIDDLE)


def test_wrong_calls_are_refused():
    mr, _ = block_spine()
    with pytest.raises(InputError, match="is CT"):
        segment_lesion_mr(mr.with_voxels(mr.voxels, modality=Modality.CT), MIDDLE)
    with pytest.raises(InputError, match="outside the image"):
        segment_lesion_mr(mr, (0.0, 900.0, 0.0))
    with pytest.raises(InputError, match="three finite numbers"):
        segment_lesion_mr(mr, (0.0, 1.0))
