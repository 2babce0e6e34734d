"""Each bone's own pose in the MR, from its CT label and a common rigid pose.

All bones share one table of which MR value goes with which CT tissue, learned at the poses so far: a single vertebra
shows too little of each tissue to learn its own. Every bone then moves to where its surroundings agree best with the
table, held weakly to how its neighbours moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ..distance_map import signed_distance_mm
from ..errors import InputError
from ..frames import FloatArray, invert_rigid, transform_points
from ..progress import Progress
from ..segmentation.labels import Segmentation
from ..volume import Volume
from .climb import minimise
from .mutual_information import MutualInformation, Samples, information_table, mean_apart_mm, motion, moved_away
from .pair import Pair
from .polyrigid import log_motion
from .sampling import samples_at

#: What is looked at: so far around a bone, where no other bone is nearer.
SHELL_MM = 4.0
_SAMPLES = 20_000
#: With a smaller share of its points in the MR a bone is not placed.
LEAST_SEEN = 0.3
#: Passes over all bones: spacing of the MR (None: as it is) and how often.
_LEVELS: tuple[tuple[float | None, int], ...] = ((4.0, 2), (2.0, 2), (None, 2))
#: Price in nats of moving against a neighbour by so much.
_COUPLING_NATS, _COUPLING_DEG, _COUPLING_MM = 0.02, 4.0, 4.0
#: Bones whose surfaces come this near are neighbours.
_NEIGHBOUR_MM = 15.0
_RADIUS_MM = 30.0


@dataclass(eq=False)
class BoneFitting:
    """The bones that are in the MR, with their samples and their poses so far.

    Parameters
    ----------
    poses
        4x4 by name, CT RAS to MR RAS.
    seen_share
        By name, for every bone: the share of its points that lie in the MR.
    """

    pair: Pair
    samples: dict[str, Samples]
    poses: dict[str, FloatArray]
    seen_share: dict[str, float]
    neighbours: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls, pair: Pair, bones: Segmentation, names: Sequence[str], ct_to_mr_ras: FloatArray, seed: int
    ) -> BoneFitting:
        """Draw the samples of every bone, and start each that the MR shows from the common pose.

        Raises
        ------
        InputError
            When the MR shows none of the bones.
        """
        rng = np.random.default_rng([seed, 7])
        drawn = {name: _shell_samples(pair.ct, bones, name, names, rng) for name in names}
        seen = {name: MutualInformation(s, pair.mr).share_inside(ct_to_mr_ras) for name, s in drawn.items()}
        placed = {name: s for name, s in drawn.items() if seen[name] >= LEAST_SEEN}
        if not placed:
            raise InputError(
                "the MR shows none of the bones that the CT's labels name", "Check that both show the same region."
            )
        trees = {name: cKDTree(s.points_ras[::20]) for name, s in placed.items()}
        near = {
            a: tuple(b for b in placed if b != a and trees[a].sparse_distance_matrix(trees[b], _NEIGHBOUR_MM).nnz > 0)
            for a in placed
        }
        return cls(pair, placed, {n: ct_to_mr_ras.copy() for n in placed}, seen, near)

    def fit(self, progress: Progress) -> None:
        """Move every bone to its place, coarse to fine."""
        total, done = sum(rounds for _, rounds in _LEVELS) * len(self.samples), 0
        for spacing, rounds in _LEVELS:
            image = self.pair.mr if spacing is None else self.pair.at(spacing)[1]
            for number in range(rounds):
                table = self.table(image)
                for name in self.samples:
                    progress(done / total, f"placing {name}")
                    done += 1
                    starts = [self.poses[name]]
                    if spacing == 4.0 and number == 0:
                        # A neighbour that has moved far already shows where this bone may be.
                        starts += [self.poses[n] for n in self.neighbours[name]]
                    self.poses[name] = self.place(name, image, table, starts)

    def place(
        self,
        name: str,
        image: Volume,
        table: FloatArray,
        starts: Sequence[FloatArray],
        keep: NDArray[np.bool_] | None = None,
    ) -> FloatArray:
        """Return the best pose of a bone from some starts, under a table, with all of its samples or those of `keep`."""
        samples = self.samples[name] if keep is None else self.samples[name].subset(keep)
        information = MutualInformation(samples, image)
        centre = transform_points(self.poses[name], samples.points_ras.mean(axis=0))
        scale = np.r_[np.full(3, 1.0 / _RADIUS_MM), np.ones(3)]
        found: list[tuple[float, int, FloatArray]] = []
        for start in starts:

            def cost(y: FloatArray, start: FloatArray = start) -> tuple[float, FloatArray]:
                x = y * scale
                pose = motion(x, centre) @ start
                value, gradient, _ = information.under_table(table, pose, centre)
                price, slope = self._coupling(name, pose, centre)
                return price - value, (slope - gradient) * scale

            y, lowest = minimise(cost, 8.0, longest_step=1.5, steps=30)
            found.append((lowest, len(found), motion(y * scale, centre) @ start))
        return min(found)[2]

    def table(self, image: Volume) -> FloatArray:
        """Return what each tissue of the CT says about each value of an MR (the pair's, at any spacing), at the poses so far."""
        counts = np.zeros(1)
        for name, samples in self.samples.items():
            information = MutualInformation(samples, image)
            inside, value = information.values(transform_points(self.poses[name], samples.points_ras))
            counts = counts + information.joint_histogram(samples.classes[inside], value)
        smooth = ndimage.gaussian_filter(counts, (0.4, 1.0))
        return information_table(smooth + 0.05)[1]

    def _coupling(self, name: str, pose: FloatArray, centre: FloatArray) -> tuple[float, FloatArray]:
        """Return the price of a bone's motion against its neighbours, in nats, and its gradient over the motion."""
        near = self.neighbours[name]
        if not near:
            return 0.0, np.zeros(6)
        about = np.eye(4)
        about[:3, 3] = centre
        back = invert_rigid(about)
        weight = np.r_[np.full(3, np.radians(_COUPLING_DEG) ** -2), np.full(3, _COUPLING_MM**-2)]
        weight *= _COUPLING_NATS / len(near)
        price, slope = 0.0, np.zeros(6)
        for other in near:
            apart = log_motion(back @ pose @ invert_rigid(self.poses[other]) @ about)
            price += 0.5 * float((weight * apart**2).sum())
            slope += weight * apart
        return price, slope


@dataclass(frozen=True)
class PoseEvidence:
    """What speaks for one bone's pose.

    Parameters
    ----------
    split_half_mm
        How far two fits on two halves of its samples lie apart, over the bone.
    return_share
        Share of poses, moved 4 mm and 5 degrees away in random ways, that came back within 1 mm.
    gain_nats
        What its own pose says about the MR above the common pose.
    """

    split_half_mm: float
    return_share: float
    gain_nats: float


def weigh_poses(
    fitting: BoneFitting, ct_to_mr_ras: FloatArray, seed: int, progress: Progress, tries: int = 4
) -> Mapping[str, PoseEvidence]:
    """Gather evidence for every placed bone that its fit did not maximise."""
    rng = np.random.default_rng([seed, 8])
    table = fitting.table(fitting.pair.mr)
    coarse = fitting.pair.at(2.0)[1]
    coarse_table = fitting.table(coarse)
    found = {}
    for number, (name, samples) in enumerate(fitting.samples.items()):
        progress(number / len(fitting.samples), f"checking {name}")
        pose, points = fitting.poses[name], samples.points_ras[::10]
        colour = np.floor(samples.points_ras / 12.0).astype(int).sum(axis=1) % 2
        halves = [fitting.place(name, fitting.pair.mr, table, [pose], colour == half) for half in (0, 1)]
        settled = fitting.place(name, coarse, coarse_table, [pose])
        centre = transform_points(pose, points.mean(axis=0))
        back = 0
        for _ in range(tries):
            away = moved_away(pose, centre, 4.0, 5.0, rng)
            again = fitting.place(name, coarse, coarse_table, [away])
            back += mean_apart_mm(again, settled, points) < 1.0
        information = MutualInformation(samples, fitting.pair.mr)
        gain = information.under_table(table, pose, centre)[0] - information.under_table(table, ct_to_mr_ras, centre)[0]
        found[name] = PoseEvidence(mean_apart_mm(halves[0], halves[1], points), back / tries, float(gain))
    return found


def _shell_samples(
    ct: Volume, bones: Segmentation, name: str, names: Sequence[str], rng: np.random.Generator
) -> Samples:
    """Draw points on and around a bone, with their tissue class."""
    part = bones.around(name, SHELL_MM + 2.0)
    own = part.voxels == bones[name].value
    other = np.isin(part.voxels, [bones[n].value for n in names if n != name])
    near = signed_distance_mm(own, part.spacing_mm[::-1])
    keep = near < SHELL_MM
    keep &= signed_distance_mm(other, part.spacing_mm[::-1]) > near
    places = np.argwhere(keep)
    places = places[rng.choice(len(places), min(_SAMPLES, len(places)), replace=False)]
    kji = places + rng.uniform(-0.5, 0.5, places.shape)
    return samples_at(ct, transform_points(part.ijk_to_ras, kji[:, ::-1]))
