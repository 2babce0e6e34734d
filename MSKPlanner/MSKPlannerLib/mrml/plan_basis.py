"""What a plan in a scene rests on: which nodes, as they are now, and whether they are still what it was made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError, MSKError
from MSKFusionLib.mrml import node_to_segmentation, node_to_volume
from MSKFusionLib.segmentation import LevelHint, name_levels
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume, geometry_bytes

from ..bone.smooth_bone import BoneFields
from ..pipeline import Case
from ..plan import Plan
from ..records import labels_sha256

#: On the node of the plan document: the digest of what it was made of, and its CT and bones by reference.
DIGEST_ATTRIBUTE = "MSKPlanner.Basis"
LOWEST_ATTRIBUTE = "MSKPlanner.LowestLevel"
CT_REFERENCE, BONES_REFERENCE = "MSKPlanner.ct", "MSKPlanner.bones"


@dataclass(frozen=True, eq=False)
class Basis:
    """The nodes that a plan was made of, and what they were like then.

    Parameters
    ----------
    marks
        Of `marks_of` when the plan was made.
    digest
        Of `images_digest`.
    lowest_level
        What the lowest vertebra was named, where that was asked.
    """

    ct: Any
    bones: Any
    marks: tuple[Any, ...]
    digest: str
    lowest_level: str = ""

    @classmethod
    def of(cls, ct: Any, bones: Any, case: Case, lowest_level: str = "") -> Basis:
        """Return what a case was just made of."""
        return cls(ct, bones, marks_of(ct, bones), images_digest(case.ct, case.segmentation), lowest_level)

    @property
    def holds(self) -> bool:
        """Whether both nodes are in the scene and as they were."""
        return self.problem == ""

    @property
    def problem(self) -> str:
        """What has happened to the nodes since, in words; empty where nothing has."""
        for node, what in ((self.ct, "CT"), (self.bones, "segmentation")):
            if node is None or node.GetScene() is None:
                return f"the {what} that the plan was made on is no longer in the scene"
        if self.ct.GetParentTransformNode() is not self.bones.GetParentTransformNode():
            return "the CT and the bones are under different transforms"
        return "" if self.marks == marks_of(self.ct, self.bones) else "the images or the bones have changed since"


def marks_of(ct: Any, bones: Any) -> tuple[Any, ...]:
    """Return what two nodes are like: which they are, and when each part of them was last changed."""
    image = ct.GetImageData()
    segmentation = bones.GetSegmentation()
    segments = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
    masks = [segment.GetRepresentation("Binary labelmap") for segment in segments]
    return (
        ct.GetID(),
        image.GetMTime() if image is not None else 0,
        bones.GetID(),
        tuple((s.GetName(), s.GetLabelValue(), m.GetMTime() if m else 0) for s, m in zip(segments, masks, strict=True)),
    )


def images_digest(ct: Volume | None, bones: Segmentation) -> str:
    """Return a hash of voxels, labels and where they lie: the same before and after a scene is saved."""
    digest = hashlib.sha256(labels_sha256(bones).encode())
    if ct is not None:
        digest.update(geometry_bytes(ct.ijk_to_ras, 1e-3))
        digest.update(f"{ct.voxels.dtype.kind}{ct.voxels.shape}".encode())
        digest.update(np.ascontiguousarray(ct.voxels).data)
    return digest.hexdigest()


def read_inputs(ct_node: Any, bones_node: Any, lowest_level: str = "") -> tuple[Volume, Segmentation]:
    """Take CT and bones from the scene, the vertebrae named anew where that is asked.

    Raises
    ------
    MSKError
        When they cannot be planned on.
    """
    if ct_node.GetParentTransformNode() is not bones_node.GetParentTransformNode():
        raise InputError(
            "the CT and the bones are under different transforms",
            "Put both under the same transform, or harden it.",
            where=bones_node.GetName(),
        )
    ct = node_to_volume(ct_node)
    bones = node_to_segmentation(bones_node, reference=ct)
    return ct, name_levels(bones, LevelHint(lowest_level, "lowest")) if lowest_level else bones


def remember(document: Any, basis: Basis) -> None:
    """Write on the plan document's node what it rests on, so that the plan can be gone on with after loading."""
    document.SetAttribute(DIGEST_ATTRIBUTE, basis.digest)
    document.SetAttribute(LOWEST_ATTRIBUTE, basis.lowest_level)
    for role, node in ((CT_REFERENCE, basis.ct), (BONES_REFERENCE, basis.bones)):
        document.SetNodeReferenceID(role, node.GetID() if node is not None and node.GetScene() is not None else None)


def recalled(document: Any, plan: Plan) -> tuple[Case, Basis]:
    """Return the case of a plan that was loaded with its scene.

    Its guides' solids are not kept in a scene; the surfaces are, as models.

    Raises
    ------
    InputError
        When CT or bones are missing, or are not those that the plan was made on.
    """
    ct_node, bones_node = document.GetNodeReference(CT_REFERENCE), document.GetNodeReference(BONES_REFERENCE)
    where = document.GetName()
    if ct_node is None or bones_node is None:
        raise InputError(
            "the CT and the bones of the plan are not in the scene", "Load them, and plan again.", where=where
        )
    lowest = document.GetAttribute(LOWEST_ATTRIBUTE) or ""
    try:
        ct, bones = read_inputs(ct_node, bones_node, lowest)
    except MSKError as error:
        raise InputError(
            f"the CT and the bones of the plan cannot be read ({error})", "Plan again.", where=where
        ) from error
    digest = images_digest(ct, bones)
    if digest != document.GetAttribute(DIGEST_ATTRIBUTE):
        raise InputError("the CT or the bones are not those that the plan was made on", "Plan again.", where=where)
    case = Case(ct, None, bones, plan, fields=BoneFields(bones, ct))
    return case, Basis(ct_node, bones_node, marks_of(ct_node, bones_node), digest, lowest)
