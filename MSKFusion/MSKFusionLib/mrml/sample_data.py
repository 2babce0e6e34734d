"""Patients that are made on the spot, for whoever wants to try the modules without one: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..phantom import PatientOptions, generate_patient
from .segmentations import segmentation_to_node
from .volumes import volume_to_node

#: Made with it; every number of it is known.
_SEED = 1


@dataclass(frozen=True)
class Sample:
    """One sample: its name in the Sample Data module, and what puts it into a scene."""

    name: str
    load: Callable[[Any], tuple[Any, ...]]


def images(scene: Any) -> tuple[Any, Any]:
    """Add a CT of a lumbar spine, and a T1 MR of it that lies elsewhere: to be brought together in MSK Fusion."""
    patient = generate_patient(PatientOptions(seed=_SEED))
    return volume_to_node(scene, patient.ct, "Generated CT"), volume_to_node(scene, patient.mr_t1, "Generated T1")


def images_with_bones(scene: Any) -> tuple[Any, Any]:
    """Add a CT of a lumbar spine with its true bones as a segmentation: to be planned on in MSK Planner."""
    patient = generate_patient(PatientOptions(seed=_SEED))
    ct = volume_to_node(scene, patient.ct, "Generated CT")
    bones = segmentation_to_node(scene, patient.labels, "Generated bones")
    bones.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    return ct, bones


SAMPLES = (Sample("GeneratedSpineCTMR", images), Sample("GeneratedSpineBones", images_with_bones))
"""In the order of the module's page."""
