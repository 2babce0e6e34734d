"""Changes of a case that another process can import: quick, and slow enough to be cancelled."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from MSKPlannerLib.guides.recipe import recipe_of
from MSKPlannerLib.plan import Guide

#: What the guide that is made here is called; its level is the number of the process that made it.
NAME = "guide from elsewhere"


def guide_from_elsewhere(case, asked, progress):
    progress(0.25, "a quarter")
    guide = Guide(
        NAME, str(os.getpid()), (), "g.stl", True, 1, 1.0, 2.0, 0.2, 0.2, 0.0, (0.0, 1.0, 0.0),
        recipe=recipe_of("skin", {}, {}),
    )  # fmt: skip
    return replace(case, plan=replace(case.plan, guides=(*case.plan.guides, guide)))


def never_ending(case, asked, progress):
    progress(0.5, "half")
    time.sleep(600)
