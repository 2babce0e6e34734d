"""What the planner's panel says of an osteotomy and of the leg's measures."""

from __future__ import annotations

import math

from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.translation import tr as _

from .anatomy.limb_measures import MEASURES
from .osteotomy.cut_shape import CutKind
from .plan_osteotomy import BeforeAfter, Limb, Osteotomy
from .table_area import verdict_in_words

_UNKNOWN = "–"


def cut_in_words(cut: Osteotomy | None, limb: Limb | None = None) -> str:
    """Return what there is to say of an osteotomy under the table."""
    if cut is None:
        return _("Choose a bone and add a cut. Drag its plane by the handles; the hinge is where they meet.")
    shift = cut.gap_mm if cut.kind == CutKind.STEP.value else None
    facts = [
        _("{kind} of {angle:.1f}°").format(kind=kind_in_words(cut.what), angle=cut.angle_deg)
        if shift is None
        else _("Step, lengthened by {mm:.1f} mm").format(mm=shift)
    ]
    if cut.gap_mm is not None and shift is None:
        kerf = cut.planes[0].kerf_mm if cut.kind == CutKind.OPENING.value else 0.0
        # The sawn faces lie half the slot beside the plane each, and open with the wedge.
        wide = cut.gap_mm + kerf * math.cos(math.radians(cut.angle_deg / 2))
        gap = _("{gap:.1f} mm at the cortex").format(gap=cut.gap_mm)
        facts.append(_("{gap} ({wide:.1f} mm between the sawn faces)").format(gap=gap, wide=wide) if kerf else gap)
    if cut.hinge.bone_left_mm is not None:
        facts.append(_("{mm:.1f} mm of bone behind the hinge").format(mm=cut.hinge.bone_left_mm))
    if cut.removed_mm3:
        facts.append(_("{ml:.1f} ml of bone lost").format(ml=cut.removed_mm3 / 1000))
    facts += [f"{name} {mm:z.1f} mm" for name, mm in list(cut.structures_mm.items())[:2]]
    if cut.target is not None:
        info = MEASURES[cut.target.measure]
        facts.append(
            _("for {measure} {value:.1f}{unit}").format(
                measure=info.title,
                value=cut.target.value * shown_per_unit(cut.target.measure),
                unit=_unit(cut.target.measure),
            )
        )
    lines = [f"{cut.name}: {verdict_in_words(cut.verdict)}. {', '.join(facts)}."]
    lines += [f"✗ {reason}" for reason in cut.reasons]
    lines += [f"• {note}" for note in (*cut.notes, *(limb.notes if limb is not None and cut.role else ()))]
    return "\n".join(lines)


def kind_in_words(what: str) -> str:
    """Return the kind or form of a cut (`plan_osteotomy.Osteotomy.what`) as a sentence begins with it."""
    return {
        "opening wedge": _("Opening wedge"),
        "closing wedge": _("Closing wedge"),
        "derotation": _("Derotation"),
        "dome": _("Dome"),
        "step": _("Step"),
        "biplanar": _("Biplanar"),
        "biplanar closing": _("Biplanar closing wedge"),
        "biplanar opening wedge": _("Biplanar opening wedge"),
        "biplanar closing wedge": _("Biplanar closing wedge"),
    }.get(what, what.capitalize())


def cut_cells(cut: Osteotomy) -> tuple[str, ...]:
    """Return what the table of osteotomies shows of one."""
    short = {
        "opening wedge": _("opens"),
        "closing wedge": _("closes"),
        "derotation": _("turns"),
        "dome": _("dome"),
    }.get(cut.kind, _("step"))
    if cut.form is not None and cut.form.name == "biplanar":
        short = _("biplanar, closes") if cut.kind == CutKind.CLOSING.value else _("biplanar")
    kind = f"{short} ✗" if cut.verdict is Verdict.REJECTED else short
    gap = _UNKNOWN if cut.gap_mm is None else f"{cut.gap_mm:z.1f}"
    hinge = _UNKNOWN if cut.hinge.bone_left_mm is None else f"{cut.hinge.bone_left_mm:z.1f}"
    return cut.bone, kind, f"{cut.angle_deg:z.1f}", gap, hinge, "✓" if cut.reviewed else ""


def measure_cells(measure: BeforeAfter) -> tuple[str, ...]:
    """Return what the table of measures shows of one."""
    scale, unit = shown_per_unit(measure.name), _unit(measure.name)

    def text(value: float | None, *, sign: bool = False) -> str:
        if value is None:
            return _UNKNOWN
        return f"{value * scale:+z.1f}" if sign else f"{value * scale:z.1f}"

    change = None if measure.before is None or measure.after is None else measure.after - measure.before
    title = f"{measure.title} ({unit.strip()})" if unit else measure.title
    return title, text(measure.before), text(measure.after), text(change, sign=True)


def shown_per_unit(measure: str) -> float:
    """Return what a measure is multiplied by when it is shown: a share of the plateau is in percent."""
    return 100.0 if measure == "weight_bearing_share" else 1.0


def _unit(measure: str) -> str:
    if measure == "weight_bearing_share":
        return " %"
    return "°" if measure.endswith("_deg") else " mm"
