"""The report: one HTML file that opens without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from vtkmodules.vtkFiltersCore import vtkQuadricDecimation

from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.terminology import Colour

from ..colours import hex_colour
from ..mesh import Mesh
from ..osteotomy.planned import whole_change
from ..plan import Guide, Plan, Screw
from ..plan_columns import GUIDE_COLUMNS, OSTEOTOMY_COLUMNS, SCREW_COLUMNS, Column
from ..plan_osteotomy import Osteotomy
from .html import bullets, figures, page, table
from .registration_report import input_table, registration_table

#: Triangles a body may have in the interactive view; more makes the file slow to open and shows nothing new.
_TRIANGLES_PER_BODY = 12_000


@dataclass(frozen=True)
class Picture:
    """A picture file (PNG) and what it shows."""

    path: Path
    caption: str
    section: str = "overview"


@dataclass(frozen=True)
class Body:
    """One surface of the interactive view."""

    name: str
    mesh: Mesh
    colour: Colour
    opacity: float = 1.0


def render_report(
    plan: Plan, pictures: Sequence[Picture] = (), bodies: Sequence[Body] = (), notes: Sequence[str] = ()
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    notes
        What the reader must know about this report itself, such as pictures that could not be made.
    """
    return page(
        "report.html",
        title=escape(f"Plan {plan.plan_id}"),
        verdict_class=str(plan.verdict),
        verdict=escape(_verdict_words(plan)),
        reasons=bullets(plan.reasons),
        summary=escape(summary(plan)),
        notes=bullets((*plan.notes, *notes)),
        registration=_registration(plan),
        overview=_pictures(p for p in pictures if p.section == "overview"),
        screws=_metrics_table(SCREW_COLUMNS, plan.screws) + _risk_words(plan) + _construct_table(plan),
        osteotomies=_osteotomies(plan),
        screw_pictures=_pictures(p for p in pictures if p.section == "screws"),
        guides=_metrics_table(GUIDE_COLUMNS, plan.guides),
        checks=_check_table(plan),
        guide_pictures=_pictures(p for p in pictures if p.section == "guides"),
        segments=_segment_table(plan),
        inputs=input_table(plan.inputs),
        software=table(["Part", "Version"], [[k, v] for k, v in plan.software.items()]),
        created=escape(plan.created),
        interactive=_interactive(bodies),
    )


def summary(plan: Plan) -> str:
    """Return the plan in one paragraph, also what the command line prints."""
    levels = list(dict.fromkeys(s.level for s in plan.screws if s.site == "pedicle"))
    elsewhere = [s.name for s in plan.screws if s.site != "pedicle"]
    grades = "".join(sorted({s.grade for s in plan.screws}))
    parts = [] if plan.screws or plan.osteotomies else ["No screws"]
    if levels:
        count = len(plan.screws) - len(elsewhere)
        parts.append(f"{count} screws in {len(levels)} vertebrae ({', '.join(levels)})")
    if elsewhere:
        parts.append(f"{len(elsewhere)} screws elsewhere ({', '.join(elsewhere)})")
    if plan.screws:
        parts.append(
            f"grades {grades}, least clearance {min(s.clearance_mm for s in plan.screws):.1f} mm, "
            f"diameters {min(s.diameter_mm for s in plan.screws):.1f} to {max(s.diameter_mm for s in plan.screws):.1f} mm"
        )
    if plan.osteotomies:
        parts.append("; ".join(f"{o.name}: {o.what}, {_amount(o)}" for o in plan.osteotomies))
    if plan.guides:
        good = sum(g.verdict is Verdict.ACCEPTED for g in plan.guides)
        parts.append(f"{good} of {len(plan.guides)} guides passed their checks")
    if plan.registration is not None:
        error = plan.registration.get("expected_error_mm")
        parts.append(
            f"CT-MR registration {plan.registration['verdict']}"
            + (f", expected error {error:.1f} mm" if error is not None else "")
        )
    return "; ".join(parts) + f". Verdict: {plan.verdict}."


def _verdict_words(plan: Plan) -> str:
    if plan.verdict is Verdict.ACCEPTED:
        return "Accepted by its own checks. Not for clinical use without review."
    return "REJECTED by its own checks. Do not use it before the points below are cleared."


def _metrics_table(columns: Sequence[Column], parts: Sequence[Screw] | Sequence[Guide] | Sequence[Osteotomy]) -> str:
    # A part's name says its level and side.
    shown = [c for c in columns if c.heading not in ("Level", "Side")]
    rows = [[c.text(part) for c in shown] for part in parts]
    return table([c.title for c in shown], rows, [str(part.verdict) for part in parts])


def _risk_words(plan: Plan) -> str:
    """Say what the risks were counted with."""
    budget = plan.parameters.get("error_budget")
    if not budget or not any(s.risk for s in plan.screws):
        return ""
    sizes = ", ".join(
        f"{words} {budget[key]:g} {unit}"
        for key, words, unit in (
            ("entry_sd_mm", "entry", "mm"),
            ("turn_sd_deg", "direction", "degrees"),
            ("depth_sd_mm", "depth", "mm"),
            ("registration_sd_mm", "registration", "mm"),
            ("surface_sd_mm", "surface of the bone", "mm"),
        )
        if budget.get(key)
    )
    return (
        f'<p class="soft">Breach risk and grades to expect are counted with the error budget {escape(str(budget["name"]))}'
        f" (standard deviation along each axis: {sizes}; {escape(str(budget['source']))}). They are as good as these numbers:"
        " put in your own.</p>"
    )


def _construct_table(plan: Plan) -> str:
    """Say how a rod would run through the heads of each side."""
    if not plan.constructs:
        return ""
    rows = []
    for c in plan.constructs:
        far, steep = (max(m.items(), key=lambda item: item[1]) for m in (c.rod_deviation_mm, c.head_turn_deg))
        rows.append(
            [c.side, ", ".join(c.screws), f"{c.rod_length_mm:.0f}", f"{far[1]:.1f} ({far[0]})", f"{c.largest_kink_deg:.0f}",
             f"{steep[1]:.0f} ({steep[0]})", "; ".join(c.notes)]
        )  # fmt: skip
    head = [
        "Rod",
        "Screws",
        "Length mm",
        "Farthest head off its arc mm",
        "Largest kink °",
        "Most turned head °",
        "Remarks",
    ]
    return "<h3>Rods</h3>" + table(head, rows)


def _amount(osteotomy: Osteotomy) -> str:
    """Return by how much: a step lengthens, all others turn."""
    if osteotomy.form is not None and osteotomy.form.name == "step":
        return f"{osteotomy.form.shift_mm:.1f} mm"
    return f"{osteotomy.angle_deg:.1f} degrees"


def _osteotomies(plan: Plan) -> str:
    """Return the osteotomies, and the leg's measures before and after all of them."""
    if not plan.osteotomies:
        return ""
    html = "<h2>Osteotomies</h2>" + _metrics_table(OSTEOTOMY_COLUMNS, plan.osteotomies)
    rows = [
        [m.title, m.before, m.after, None if m.before is None or m.after is None else m.after - m.before, m.unit]
        for m in whole_change(plan.osteotomies)
    ]
    return html + (table(["The leg", "Before", "After", "Change", "Unit"], rows) if rows else "")


def _check_table(plan: Plan) -> str:
    rows, marks = [], []
    for g in plan.guides:
        for c in g.checks:
            unit = f" {c.unit}" if c.unit else ""
            value = "–" if c.value is None else f"{c.value:.3g}{unit}"
            limit = "–" if c.limit is None else f"{c.limit:.3g}{unit}"
            rows.append([g.name, c.name, value, limit, "passed" if c.passed else "FAILED", c.message])
            marks.append("accepted" if c.passed else "rejected")
    return table(["Guide", "Check", "Found", "Bar", "Result", "In words"], rows, marks)


def _registration(plan: Plan) -> str:
    if plan.registration is None:
        return "<p>No MR was given: nothing was registered.</p>"
    return bullets((*plan.registration["reasons"], *plan.registration.get("warnings", ()))) + registration_table(
        plan.registration
    )


def _segment_table(plan: Plan) -> str:
    segments = (plan.segmentation or {}).get("segments", [])
    rows = [
        [s["name"], s["kind"], s["volume_mm3"] / 1000, "yes" if s["complete"] else "no", s["confidence"],
         s["source"], "; ".join(s["notes"])]
        for s in segments
    ]  # fmt: skip
    return table(["Segment", "Kind", "Volume cm³", "Wholly in view", "Confidence", "Source", "Remarks"], rows)


def _pictures(pictures: Iterable[Picture]) -> str:
    return figures((p.path.read_bytes(), p.caption) for p in pictures)


def _interactive(bodies: Sequence[Body]) -> str:
    if not bodies:
        return "<p>No surfaces to show.</p>"
    import plotly.graph_objects as go

    figure = go.Figure([_trace(go.Mesh3d, b) for b in bodies])
    axis = {"visible": False, "showspikes": False}
    figure.update_layout(
        scene={
            "aspectmode": "data",
            "xaxis": axis, "yaxis": axis, "zaxis": axis,
            "camera": {"eye": {"x": 0.3, "y": -1.6, "z": 0.4}, "up": {"x": 0, "y": 0, "z": 1}},
        },
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        height=640,
        legend={"itemsizing": "constant"},
    )  # fmt: skip
    return str(figure.to_html(full_html=False, include_plotlyjs=True, div_id="view3d", config={"displaylogo": False}))


def _trace(mesh3d: type, body: Body) -> object:
    mesh = _decimated(body.mesh)
    # 0.01 mm and single precision keep the file small; the numbers that count are in the tables.
    x, y, z = np.round(mesh.vertices_ras, 2).astype(np.float32).T
    i, j, k = mesh.faces.astype(np.int32).T
    return mesh3d(
        x=x, y=y, z=z, i=i, j=j, k=k,
        name=body.name, color=hex_colour(body.colour), opacity=body.opacity, showlegend=True, hoverinfo="name",
        lighting={"ambient": 0.45, "diffuse": 0.7, "specular": 0.15}, flatshading=False,
    )  # fmt: skip


def _decimated(mesh: Mesh) -> Mesh:
    count = len(mesh.faces)
    if count <= _TRIANGLES_PER_BODY:
        return mesh
    reduce = vtkQuadricDecimation()
    reduce.SetInputData(mesh.to_polydata())
    reduce.SetTargetReduction(1.0 - _TRIANGLES_PER_BODY / count)
    reduce.Update()
    return Mesh.from_polydata(reduce.GetOutput())
