"""The arguments of `mskplanner`, and what their texts mean."""

from __future__ import annotations

import argparse
from typing import Any

from MSKFusionLib import __version__
from MSKFusionLib.errors import InputError
from MSKFusionLib.segmentation import LevelHint

_EPILOG = "Exit status: 0 done; 2 the input or the call is wrong; 3 done, but the result is rejected; 1 a bug."
_IMAGE = "a DICOM folder or an image file (NRRD, NIfTI, MetaImage, ...)"
_LEVEL = (
    "names the vertebrae from one of them: L3@R,A,S (a RAS point in mm inside L3), L5@lowest or T9@highest "
    "(of those in view); without it they are numbered V1, V2, ... from head to foot"
)
_SURFACE = "a mesh (STL, PLY, ...; LPS as Slicer writes it) or a label map (NRRD, NIfTI, DICOM)"
_THREE: dict[str, Any] = {"nargs": 3, "type": float, "metavar": ("R", "A", "S")}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = argparse.ArgumentParser(
        prog="mskplanner",
        description="Plans on CT and MR: registration, bones, pedicle screws, printable drill guides.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"mskplanner {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    for add in (
        _demo,
        _run,
        _register,
        _segment,
        _segment_mr,
        _combine,
        _screws,
        _guide,
        _cutguide,
        _skinframe,
        _path,
        _resect,
        _reduce,
        _limb,
        _mirror,
        _forearm,
        _spine,
        _export,
        _send,
        _check,
    ):
        add(commands)
    return parser


def _demo(commands: argparse._SubParsersAction) -> None:
    demo = _command(commands, "demo", "generate a patient with known truth, plan on it, compare with the truth")
    demo.add_argument("--seed", type=int, default=1, help="which patient (default 1)")
    _output(demo)


def _run(commands: argparse._SubParsersAction) -> None:
    run = _command(commands, "run", "plan a whole case from one readable file")
    run.add_argument("case", metavar="CASE.toml", help="what to plan on and how; see docs/case-file.md")
    _output(run)


def _register(commands: argparse._SubParsersAction) -> None:
    register = _command(commands, "register", "bring MOVING onto FIXED (CT and MR, either way round)")
    register.add_argument("fixed", metavar="FIXED", help=_IMAGE)
    register.add_argument("moving", metavar="MOVING", help=_IMAGE)
    register.add_argument(
        "--method",
        choices=["rigid", "piecewise", "deformable"],
        default="rigid",
        help="one motion for all (default), one for every bone: the spine lay differently in the two scans, or a field "
        "that bends soft tissue round bones that stay as they are (needs PyTorch)",
    )
    register.add_argument(
        "--bones",
        metavar="LABELMAP",
        help="for piecewise and deformable: the CT's bones (.seg.nrrd, .nii.gz); found in the CT if left out",
    )
    register.add_argument(
        "--start",
        choices=["rigid", "piecewise"],
        help="for deformable: what places the bones (default rigid)",
    )
    register.add_argument(
        "--device", metavar="NAME", help="for deformable: auto (default: a GPU where there is one), cpu, cuda or cuda:1"
    )
    register.add_argument(
        "--network",
        metavar="BUNDLE",
        help="for deformable: a VoxelMorph as a MONAI bundle whose field is tried as a second start; see docs/networks.md",
    )
    _numbering(register)
    register.add_argument("--fixed-modality", choices=["ct", "mr"], help="where the file does not tell")
    register.add_argument("--moving-modality", choices=["ct", "mr"], help="where the file does not tell")
    register.add_argument(
        "--fixed-series", metavar="N", help="the series of a DICOM folder: number, UID or description"
    )
    register.add_argument("--moving-series", metavar="N", help="the same for MOVING")
    both = ("FIXED.mrk.json", "MOVING.mrk.json")
    register.add_argument(
        "--landmarks",
        nargs=2,
        metavar=both,
        help="the same points in both images, as Slicer saves them: they start a rigid registration and count in it",
    )
    register.add_argument(
        "--landmark-sd", type=float, default=2.0, metavar="MM", help="how exactly they were placed (default 2 mm)"
    )
    register.add_argument(
        "--check-landmarks",
        nargs=2,
        metavar=both,
        help="points to measure the result by; they are not used in making it",
    )
    register.add_argument("--fused", action="store_true", help="also write both images as one in colour (large)")
    register.add_argument("--seed", type=int, default=0, help="of the random samples (default 0)")
    _output(register)


def _segment(commands: argparse._SubParsersAction) -> None:
    segment = _command(commands, "segment", "find the bones in a CT, or what a network knows in a CT or MR")
    segment.add_argument("image", metavar="IMAGE", help=_IMAGE)
    segment.add_argument("--out", required=True, metavar="FILE", help=".seg.nrrd, or .nrrd/.nii.gz for a labelmap")
    segment.add_argument(
        "--modality", choices=["ct", "mr"], help="where the file does not tell (without a network: ct)"
    )
    segment.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    segment.add_argument("--level", metavar="NAME@WHERE", help=_LEVEL)
    segment.add_argument(
        "--network",
        metavar="BUNDLE",
        help="find what this network knows: a MONAI bundle (folder or zip), or the folder of a trained nnU-Net; or "
        "'totalsegmentator' where that is installed; see docs/networks.md",
    )
    segment.add_argument(
        "--device", metavar="NAME", help="for a network: auto (default: a GPU where there is one), cpu, cuda or cuda:1"
    )
    segment.add_argument(
        "--precision", choices=["auto", "full", "mixed"], help="for a bundle: auto (default) is mixed on a GPU"
    )
    segment.add_argument(
        "--uncertainty",
        metavar="FILE",
        help="also write how sure the bones' surfaces are: an image of the half width in mm of the band in which the true "
        "surface lies nine times out of ten",
    )
    segment.add_argument("--force", action="store_true", help="replace an existing file")
    segment.add_argument("--json", action="store_true", help="print the result as JSON")


def _segment_mr(commands: argparse._SubParsersAction) -> None:
    segment = _command(
        commands, "segment-mr", "find vertebral bodies, discs, canal and lesions in an MR, without a network"
    )
    segment.add_argument("image", metavar="MR", help=_IMAGE)
    segment.add_argument("--out", required=True, metavar="FILE", help=".seg.nrrd, or .nrrd/.nii.gz for a labelmap")
    segment.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    segment.add_argument(
        "--click", **_THREE, help="a point in any vertebral body, RAS mm (default: the spine is looked for)"
    )
    segment.add_argument("--level", metavar="NAME@WHERE", help=_LEVEL)
    segment.add_argument(
        "--lesion",
        action="append",
        default=[],
        **_THREE,
        help="a point in a lesion, RAS mm: it is labelled too; repeat",
    )
    segment.add_argument("--no-spine", action="store_true", help="the lesions alone")
    segment.add_argument("--force", action="store_true", help="replace an existing file")
    segment.add_argument("--json", action="store_true", help="print the result as JSON")


def _combine(commands: argparse._SubParsersAction) -> None:
    combine = _command(commands, "combine", "bones of a CT and other structures of an MR in one label set")
    combine.add_argument("bones", metavar="BONES", help="labels on the CT, as `segment` writes them")
    combine.add_argument("labels", metavar="LABELS", help="labels on the MR: discs, canal, roots, muscle, a tumour")
    combine.add_argument("--registration", required=True, metavar="JSON", help="registration.json of CT and MR (rigid)")
    combine.add_argument(
        "--labels-in", choices=["moving", "fixed"], default="moving", help="image of it that LABELS belong to"
    )
    combine.add_argument(
        "--registration-error", type=float, metavar="MM", help="expected error to use (default: what the file says)"
    )
    combine.add_argument("--out", required=True, metavar="FILE", help=".seg.nrrd, or .nrrd/.nii.gz for a labelmap")
    combine.add_argument(
        "--disagreement",
        metavar="FILE",
        help="also write where the MR's labels lie deeper in bone than is explained, as an image in mm",
    )
    combine.add_argument("--force", action="store_true", help="replace an existing file")
    combine.add_argument("--json", action="store_true", help="print the result as JSON")


def _screws(commands: argparse._SubParsersAction) -> None:
    screws = _command(commands, "screws", "plan screws on a CT")
    screws.add_argument("ct", metavar="CT", help=_IMAGE)
    screws.add_argument(
        "--site",
        default="pedicle",
        metavar="SITES",
        help="one or several of pedicle (default), iliosacral_s1, iliosacral_s2, trans_sacral_s1, trans_sacral_s2, lc2, "
        "superior_ramus, anterior_column, posterior_column, s2_alar_iliac, supra_acetabular, femoral_neck, "
        "scaphoid_antegrade, scaphoid_retrograde, c1_lateral_mass, c2_pedicle, c2_pars, a .toml of your own (see Resources/Sites), or free, separated by commas",
    )
    screws.add_argument("--side", choices=["left", "right"], help="only this side (not for pedicles)")
    screws.add_argument(
        "--allow-displaced",
        type=float,
        metavar="MM",
        help="plan in the sacrum of a pelvis whose bones are displaced by up to so much (default: 5)",
    )
    screws.add_argument(
        "--landmarks",
        metavar="FILE.mrk.json",
        help="points you placed instead of those found, one side. Of femoral_neck: head_centre, neck_centre, shaft_proximal and "
        "shaft_distal (on its axis), lesser_trochanter; of the hip bone's sites: asis, aiis, psis, pubis, ischium, sacral_dorsum; "
        "of a scaphoid: proximal_pole, distal_pole; of C1 and C2, which need them: entry, target",
    )
    screws.add_argument("--in", dest="free_bones", metavar="BONE,BONE", help="for free: the segments it may run in")
    screws.add_argument("--entry", metavar="R,A,S", help="for free: middle of the entry region, RAS mm, in bone")
    screws.add_argument("--target", metavar="R,A,S", help="for free: middle of the region it ends in, RAS mm")
    screws.add_argument("--radius", type=float, metavar="MM", help="for free: half side of both regions (default 3)")
    screws.add_argument("--diameters", metavar="3.5,4.5", help="for free: screws that there are, mm")
    screws.add_argument("--lengths", metavar="40,45", help="for free: their lengths, mm")
    screws.add_argument("--across-joints", action="store_true", help="for free: it may cross the joints between them")
    screws.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    _planning(screws)
    _output(screws)


def _guide(commands: argparse._SubParsersAction) -> None:
    guide = _command(commands, "guide", "design drill guides for a plan")
    guide.add_argument("plan", metavar="PLAN", help="an output folder with a plan.json and a segmentation.seg.nrrd")
    guide.add_argument("--ct", metavar="CT", help="the CT of the plan, for the surface and the pictures")
    guide.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    guide.add_argument("--levels", metavar="L3,L4", help="only these (default: every level with screws)")
    guide.add_argument(
        "--regenerate",
        action="store_true",
        help="make the plan's guides again, each by its own recipe, options and all",
    )
    _guide_options(guide)
    _output(guide)


def _cutguide(commands: argparse._SubParsersAction) -> None:
    cutguide = _command(commands, "cutguide", "design the guide of a saw's plane on the surface of a bone")
    cutguide.add_argument("bone", metavar="BONE", help="its closed surface: STL, PLY, OBJ, 3MF or VTK")
    cutguide.add_argument("--point", **_THREE, help="a point of the plane in the bone, RAS mm")
    cutguide.add_argument("--normal", **_THREE, help="the direction across the plane")
    cutguide.add_argument("--plan", metavar="PLAN", help="take the plane from the osteotomy of a plan instead")
    cutguide.add_argument("--cut", metavar="NAME", help="which osteotomy of the plan, where it holds several")
    cutguide.add_argument(
        "--face", type=int, choices=[1, 2], default=1, help="which face of a closing wedge (1: of the part that stays)"
    )
    cutguide.add_argument("--approach", required=True, **_THREE, help="the direction from the bone to the surgeon")
    cutguide.add_argument(
        "--insertion", **_THREE, help="the direction to put it on along, towards the bone (default: searched)"
    )
    cutguide.add_argument("--neighbour", action="append", default=[], metavar="MESH", help="a bone to keep off; repeat")
    cutguide.add_argument("--label", default="C1", help="name on the guide (default C1)")
    cutguide.add_argument("--preset", default="saw", metavar="NAME", help="guide preset or .toml file (default saw)")
    _output(cutguide)


def _skinframe(commands: argparse._SubParsersAction) -> None:
    frame = _command(commands, "skinframe", "design a frame on the skin for percutaneous screws, needles and wires")
    frame.add_argument("image", metavar="IMAGE", help=f"CT or MR that shows the skin: {_IMAGE}")
    frame.add_argument("--paths", metavar="PATHS", help="what `mskplanner path` wrote (folder or paths.json)")
    frame.add_argument("--use", metavar="N,N", help="which of its paths, by number (default 1)")
    frame.add_argument("--plan", metavar="PLAN", help="a plan with screws, in the coordinates of IMAGE")
    frame.add_argument("--screws", metavar="NAME,NAME", help="which of its screws")
    frame.add_argument(
        "--way",
        action="append",
        default=[],
        metavar="NAME=R,A,S:R,A,S",
        help="a line from outside to its target, RAS mm; repeat",
    )
    frame.add_argument("--modality", choices=["ct", "mr"], help="where the file does not tell")
    frame.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    frame.add_argument("--label", default="1", help="name on the frame (default 1)")
    frame.add_argument("--preset", default="skin", metavar="NAME", help="frame preset or .toml file (default skin)")
    _output(frame)


def _path(commands: argparse._SubParsersAction) -> None:
    path = _command(commands, "path", "plan a needle from the skin to a target: biopsy, ablation")
    path.add_argument("image", metavar="IMAGE", help=f"CT or MR: {_IMAGE}")
    path.add_argument("--target", metavar="R,A,S", help="RAS mm (write --target=-4,12,-310)")
    path.add_argument("--target-file", metavar="FILE.mrk.json", help="its first point")
    path.add_argument("--lesion", metavar="NAME", help="a segment: its middle is the target, and it is what is ablated")
    path.add_argument("--labels", metavar="LABELMAP", help="bones and structures (default: bones found in the CT)")
    _numbering(path)
    path.add_argument("--modality", choices=["ct", "mr"], help="where the file does not tell")
    path.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    path.add_argument(
        "--avoid",
        metavar="NAME=MM,NAME=MM",
        help="more segments to keep away from; canal, nerves and vessels are known by their names, gas in CT is found",
    )
    path.add_argument(
        "--bone",
        choices=["avoid", "target", "through"],
        default="target",
        help="bone on the way: never, only the bone that holds the target (default), any",
    )
    path.add_argument("--needle", type=float, default=2.0, metavar="MM", help="outer diameter (default 2)")
    path.add_argument("--longest", type=float, default=150.0, metavar="MM", help="longest needle (default 150)")
    path.add_argument(
        "--position",
        choices=["any", "supine", "prone", "left side", "right side"],
        default="any",
        help="how the patient lies for it: skin on the table cannot be reached",
    )
    path.add_argument("--options", type=int, default=5, metavar="N", help="how many paths (default 5)")
    path.add_argument("--apart", type=float, default=25.0, metavar="MM", help="between their entries (default 25)")
    path.add_argument("--zone", metavar="MM[xMM]", help="ablation: width of a zone, or width x length along the needle")
    path.add_argument("--margin", type=float, metavar="MM", help="round the lesion (default 3)")
    path.add_argument(
        "--coverage", type=float, metavar="SHARE", help="of lesion and margin that is wanted (default 0.99)"
    )
    path.add_argument("--zones", type=int, metavar="N", help="at most (default 4)")
    path.add_argument("--same-needle", action="store_true", help="all zones on one needle, drawn back between them")
    _output(path)


def _resect(commands: argparse._SubParsersAction) -> None:
    resect = _command(commands, "resect", "plan the cuts that free a tumour from a bone with a margin")
    resect.add_argument("--bone", required=True, metavar="FILE", help=f"the bone in its CT's frame: {_SURFACE}")
    resect.add_argument("--tumour", required=True, metavar="FILE", help=f"the tumour: {_SURFACE}")
    resect.add_argument("--bone-segment", metavar="NAME", help="which structure of a label map is the bone")
    resect.add_argument("--tumour-segment", metavar="NAME", help="which structure of a label map is the tumour")
    resect.add_argument(
        "--registration", metavar="JSON", help="registration.json that carries the tumour into the bone's image"
    )
    resect.add_argument(
        "--tumour-in", choices=["moving", "fixed"], default="moving", help="image of it that the tumour was drawn in"
    )
    resect.add_argument(
        "--registration-error", type=float, metavar="MM", help="expected error to use (default: what the file says)"
    )
    resect.add_argument("--margin", type=float, default=10.0, metavar="MM", help="in bone, everywhere (default 10)")
    resect.add_argument("--planes", type=int, default=3, metavar="N", help="at most, 1 to 5 (default 3)")
    resect.add_argument(
        "--approach",
        default="anterior",
        metavar="SIDE",
        help="anterior, posterior, left, right, superior, inferior, or R,A,S from the bone to the surgeon",
    )
    resect.add_argument(
        "--tilt", type=float, default=35.0, metavar="DEG", help="of the saw off it at most (default 35)"
    )
    resect.add_argument("--kerf", type=float, default=1.0, metavar="MM", help="thickness of the blade (default 1)")
    resect.add_argument("--saw-sd", type=float, default=1.0, metavar="MM", help="error of a cut's place (default 1)")
    resect.add_argument("--saw-turn-sd", type=float, default=2.0, metavar="DEG", help="of its direction (default 2)")
    resect.add_argument(
        "--tumour-sd", type=float, default=0.0, metavar="MM", help="of the tumour's outline (default 0)"
    )
    resect.add_argument(
        "--no-obstacles", action="store_true", help="other structures of --bone are not in the saw's way"
    )
    resect.add_argument("--seed", type=int, default=0, help="of the draws of errors (default 0)")
    _output(resect)


def _reduce(commands: argparse._SubParsersAction) -> None:
    reduce = _command(commands, "reduce", "bring the fragments of a broken bone to where they belong")
    reduce.add_argument("--fragments", required=True, metavar="FILE", help="label map with one structure a fragment")
    reduce.add_argument("--names", metavar="A,B", help="only these structures of it (default: all)")
    reduce.add_argument("--healthy", required=True, metavar="FILE", help=f"the other, healthy side: {_SURFACE}")
    reduce.add_argument("--healthy-segment", metavar="NAME", help="which structure of a label map that is")
    reduce.add_argument("--same-side", action="store_true", help="--healthy is of this side already: do not mirror it")
    reduce.add_argument("--main", metavar="NAME", help="the fragment that stays (default: the largest)")
    reduce.add_argument("--turn", type=float, default=30.0, metavar="DEG", help="displacement looked for (default 30)")
    reduce.add_argument("--shift", type=float, default=25.0, metavar="MM", help="displacement looked for (default 25)")
    reduce.add_argument("--no-paths", action="store_true", help="do not look for collision-free ways")
    reduce.add_argument("--seed", type=int, default=0, help="of the starts (default 0)")
    _output(reduce)


def _limb(commands: argparse._SubParsersAction) -> None:
    limb = _command(commands, "limb", "measure a leg from its bones, and plan the wedge that corrects it")
    mesh = "a closed surface (STL, PLY, OBJ, 3MF or VTK), or with --bones the name of its segment"
    for bone in ("femur", "tibia", "fibula", "talus"):
        limb.add_argument(f"--{bone}", metavar="MESH", help=mesh if bone == "femur" else "the same of this bone")
    limb.add_argument("--bones", metavar="LABELMAP", help="a segmentation with the bones instead of surfaces")
    _numbering(limb)
    limb.add_argument("--side", choices=["left", "right"], help="needed where neither hip nor ankle is in view")
    limb.add_argument("--up", metavar="R,A,S", help="from foot to hip, for one short piece of bone alone")
    limb.add_argument(
        "--landmarks",
        metavar="FILE",
        help="points that you placed, as Slicer saves them, labelled 'hip centre', 'ankle centre', ...: they count "
        "instead of those that are found",
    )
    limb.add_argument(
        "--target",
        metavar="WHAT:VALUE",
        help="plan the correction: a wedge for fujisawa:62 (where the line from hip to ankle shall cross the plateau, percent), hka:0 "
        "(degrees of valgus, or hka:183), mpta:88, ldfa:87, mad:0; or a derotation: femoral-torsion:15, tibial-torsion:30",
    )
    limb.add_argument("--cut", choices=["tibia", "femur"], default="tibia", help="which bone is cut (default tibia)")
    limb.add_argument("--wedge", choices=["opening", "closing"], default="opening", help="default opening")
    limb.add_argument(
        "--femoral-target",
        metavar="WHAT:VALUE",
        help="correct at two levels: the femur to this (ldfa:87, femoral-torsion:15), then the tibia to --target",
    )
    limb.add_argument(
        "--femoral-wedge", choices=["opening", "closing"], default="closing", help="of two levels (default closing)"
    )
    limb.add_argument("--kerf-mm", type=float, default=0.0, metavar="MM", help="what the saw takes (default 0)")
    limb.add_argument(
        "--entry-mm", type=float, metavar="MM", help="where the saw enters, from the knee's joint surface"
    )
    limb.add_argument("--hinge-mm", type=float, metavar="MM", help="where the hinge lies, from the joint surface")
    limb.add_argument(
        "--hinge-depth-mm", type=float, default=10.0, metavar="MM", help="how far inside the cortex (default 10 mm)"
    )
    _output(limb)


def _mirror(commands: argparse._SubParsersAction) -> None:
    mirror = _command(
        commands, "mirror", "compare a deformed bone with the mirrored healthy side, and plan its correction"
    )
    mirror.add_argument("--bone", required=True, metavar="MESH", help="the deformed bone: a closed surface")
    mirror.add_argument("--healthy", required=True, metavar="MESH", help="the same bone of the other side, in any pose")
    mirror.add_argument("--side", required=True, choices=["left", "right"], help="the deformed side")
    mirror.add_argument("--level", required=True, metavar="R,A,S", help="a point at the level of the deformity, RAS mm")
    mirror.add_argument("--moves", required=True, metavar="R,A,S", help="a point on the part that is moved")
    mirror.add_argument("--kerf", type=float, default=0.0, metavar="MM", help="thickness of the saw (default 0)")
    _output(mirror)


def _forearm(commands: argparse._SubParsersAction) -> None:
    forearm = _command(
        commands, "forearm", "measure a wrist: radial inclination, volar tilt, radial height, ulnar variance"
    )
    mesh = "a closed surface (STL, PLY, OBJ, 3MF or VTK), or with --bones the name of its segment"
    forearm.add_argument("--radius", metavar="MESH", help=mesh)
    forearm.add_argument("--ulna", metavar="MESH", help="the same of this bone")
    forearm.add_argument("--bones", metavar="LABELMAP", help="a segmentation with the bones instead of surfaces")
    _numbering(forearm)
    forearm.add_argument(
        "--side", choices=["left", "right"], required=True, help="volar and dorsal follow from it: check it"
    )
    forearm.add_argument("--distal", metavar="R,A,S", help="from elbow to hand, for a piece that does not tell")
    forearm.add_argument(
        "--landmarks",
        metavar="FILE",
        help="points that you placed, as Slicer saves them, labelled 'radial styloid', 'volar rim', 'ulnar head', ...: they "
        "count instead of those that are found",
    )
    _output(forearm)


def _spine(commands: argparse._SubParsersAction) -> None:
    spine = _command(commands, "spine", "measure Cobb angle, lordosis and the tilt of each vertebra in a segmentation")
    spine.add_argument("bones", metavar="LABELMAP", help="a segmentation with named vertebrae")
    _numbering(spine)
    spine.add_argument("--out", metavar="FILE.json", help="also write the result as JSON")
    spine.add_argument("--force", action="store_true", help="replace an existing file")
    spine.add_argument("--json", action="store_true", help="print the result as JSON")


def _export(commands: argparse._SubParsersAction) -> None:
    export = _command(commands, "export", "write the guides, bones and screws of a plan as mesh or DICOM files")
    export.add_argument("plan", metavar="PLAN", help="an output folder with a plan.json, or that file")
    export.add_argument(
        "--format", default="stl", metavar="3mf,stl", help="stl (default), 3mf, ply, obj, dicom, or several"
    )
    export.add_argument(
        "--frame", choices=["lps", "ras"], default="lps", help="patient coordinates in the files (default lps)"
    )
    export.add_argument(
        "--what",
        default="guides",
        metavar="guides,bones,screws,fragments,fragments-before",
        help="which bodies (default: the guides; fragments of osteotomies as planned, or before as they lie in the image); as "
        "DICOM also labels and registration",
    )
    export.add_argument("--merged", action="store_true", help="all in one file, in place of a file a body")
    export.add_argument(
        "--ct",
        metavar="CT",
        help="the CT of the plan: bones then end where it shows their cortex to end; DICOM is filed in its study",
    )
    export.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    export.add_argument("--mr", metavar="MR", help="the DICOM folder of the plan's MR, for the registration")
    export.add_argument("--mr-series", metavar="N", help="its series")
    export.add_argument(
        "--with-patient", action="store_true", help="DICOM with the patient's name and number (default: without)"
    )
    export.add_argument(
        "--allow-outdated", action="store_true", help="write guides that no longer fit the plan, marked OUT OF DATE"
    )
    _output(export)


def _send(commands: argparse._SubParsersAction) -> None:
    send = _command(commands, "send", "send screws or needle paths to a navigation system, over OpenIGTLink")
    send.add_argument("plan", metavar="PLAN", help="an output folder with a plan.json or paths.json, or that file")
    send.add_argument(
        "address", metavar="HOST:PORT", help="where the receiver listens (port 18944 where none is given)"
    )
    send.add_argument("--listen", action="store_true", help="wait at HOST:PORT for a receiver that calls instead")
    send.add_argument("--registration", action="store_true", help="also the transform from the MR to the CT")
    send.add_argument(
        "--frame",
        choices=["ras", "lps"],
        default="ras",
        help="frame of the numbers: ras (default, as Slicer takes them)",
    )
    send.add_argument("--allow-rejected", action="store_true", help="send trajectories too that the plan rejected")
    send.add_argument("--timeout", type=float, default=10.0, metavar="S", help="seconds to wait for the receiver")
    send.add_argument("--json", action="store_true", help="print the result as JSON")


def _check(commands: argparse._SubParsersAction) -> None:
    check = _command(commands, "check", "tell whether meshes can be printed")
    check.add_argument("mesh", nargs="+", metavar="MESH", help="STL, PLY, OBJ, 3MF or VTK")
    check.add_argument(
        "--printer", metavar="NAME", help="limits of this printer: sla (default), sls, fdm, or a .toml file of your own"
    )
    check.add_argument(
        "--build-direction",
        **_THREE,
        help="how it stands in the printer, RAS (default: what overhangs least and fits on the bed)",
    )
    check.add_argument("--json", action="store_true", help="print the result as JSON")


def parse_level_hint(text: str | None) -> LevelHint | None:
    """Return the hint that ``L3@R,A,S``, ``L5@lowest`` or ``T9@highest`` names.

    Raises
    ------
    InputError
        When it is none of these.
    """
    if text is None:
        return None
    level, at, place = text.partition("@")
    if not at:
        raise InputError(f"'{text}' does not say where {text} is", "Write L3@R,A,S or L5@lowest.", where="--level")
    if place in ("lowest", "highest"):
        return LevelHint(level.upper(), place)
    try:
        r, a, s = (float(v) for v in place.split(","))
    except ValueError:
        raise InputError(f"'{place}' is not a RAS point", "Write L3@R,A,S or L5@lowest.", where="--level") from None
    return LevelHint(level.upper(), (r, a, s))


def parse_levels(text: str | None) -> tuple[str, ...] | None:
    """Return the levels of ``L3,L4``."""
    return None if text is None else tuple(part.strip().upper() for part in text.split(",") if part.strip())


def _command(commands: argparse._SubParsersAction, name: str, what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", epilog=_EPILOG
    )
    return parser


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="the output folder, written whole or not at all")
    parser.add_argument("--force", action="store_true", help="replace results that are there already")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _numbering(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--numbering", choices=["verse", "totalsegmentator"], help="what the values of a plain labelmap mean"
    )


def _planning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bones", metavar="LABELMAP", help="a ready segmentation (default: found in the CT)")
    _numbering(parser)
    parser.add_argument("--level", metavar="NAME@WHERE", help=_LEVEL)
    parser.add_argument("--levels", metavar="L3,L4", help="only these (default: every one wholly in view)")
    parser.add_argument("--implants", metavar="CSV", help="an implant table of your own (default: generic)")


def _guide_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fit-clearance", type=float, metavar="MM", help="gap between guide and bone")
    parser.add_argument("--drill", type=float, metavar="MM", help="diameter of the drill or wire the sleeves take")
    parser.add_argument("--printer", metavar="NAME", help="printer preset (default SLA)")
