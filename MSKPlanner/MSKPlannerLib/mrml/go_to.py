"""Bringing the slice views to a place of the plan."""

from __future__ import annotations

import numpy as np

from MSKFusionLib.frames import transform_points
from MSKFusionLib.mrml import node_to_world_ras

from ..guides.problems import Finding
from .plan_session import PlanSession
from .slice_views import jump_slices


def go_to_finding(session: PlanSession, finding: Finding) -> bool:
    """Bring every slice view to the place of a finding, or to the middle of its guide; tell whether there is such a place."""
    guide = session.nodes.guides.get(finding.guide) if session.nodes is not None else None
    if finding.place_ras is not None:
        # A plan is in the frame of its CT, which may lie under a transform.
        ct = session.basis.ct if session.basis is not None else None
        frame = node_to_world_ras(ct) if ct is not None and ct.GetScene() is not None else np.eye(4)
        jump_slices(session.scene, transform_points(frame, np.array(finding.place_ras)))
    elif guide is not None and guide.GetScene() is not None:
        box = [0.0] * 6
        guide.GetRASBounds(box)
        jump_slices(session.scene, np.array(box).reshape(3, 2).mean(axis=1))
    else:
        return False
    return True
