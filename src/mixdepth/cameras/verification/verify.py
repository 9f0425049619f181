"""Whether cameras can be trusted, judged without the truth, from matches that knew nothing of the poses.

A registration count and a small reprojection error prove nothing: a model satisfies the matches that built it. What a
wrong model cannot do is to satisfy the others. So the evidence is ALL matches, of all pairs of images, that agree with
a two-view geometry of their own (RANSAC without poses), also those that the mapping threw away. The questions are:

- *joint*: across every cut (the images divided in two), do the matches agree with the poses, or contradict them? One
  wrong image is such a cut, and so are two right halves that were glued together wrongly. In a place of look-alike
  parts (the panels of a dome) false matches contradict right poses too, but across every cut they are the fewer, or
  at least not the great majority.
- *pairs*: do the pairs of each image with others agree, however few matches each has? An image that shows another place
  (a mirrored photo) finds a pose that pleases one pair and no other.
- *support*: do enough matches agree across every cut to say anything at all?
- *prediction*: how far does a key point lie from where the OTHER images place it? This finds small errors (a camera
  moved along the row, a wrong focal length) that leave every match on its epipolar line.
- *parallax*: do rays meet at angles that place points, and so cameras?
- *sides*: do all see a point from one side? A mirrored picture of a wall agrees with a pose behind the wall.

Lengths in images are shares of the image diagonal, so that the limits hold for every size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixdepth.cameras.model import Model
from mixdepth.cameras.verification.cuts import smallest_cut, weakest_cut
from mixdepth.cameras.verification.view import View, misses
from mixdepth.words import first_of

AGREEMENT = 0.003  # of the diagonal: how far a match that agrees may lie from where the poses allow it
NEARNESS = 0.02  # the same for poses that are about right, whose exactness the predictions then measure
PAIR_SHARE = 0.75  # share of a pair's matches that must agree, else the pair contradicts the poses
LEAST_MATCHES = 15  # that make a pair (COLMAP's least number of inliers)
CHANCE = 25  # matches of a pair that do not weigh: nine in ten pairs of unrelated look-alikes have no more (basketball)
SMALL_ANGLE = np.radians(1.5)  # rays that meet at less place no point
EXTRAPOLATION = 2.0  # a point is predicted for rays up to this many times the angle between the rays that place it
LEAST_POINTS = 20  # key points that a median of an image needs

# Limits. The first three lie about half way, as factors, between the good and the bad cases of benchmarks/verify.py.
JOINT_LIMIT = 1 / 6
PAIRS_LIMIT = 0.2
PREDICTION_LIMIT = 0.003
SUPPORT_LIMIT = 25  # COLMAP places an image by 30
PARALLAX_LIMIT = 1.5  # degrees; points whose rays meet at less are dropped from the depth (`min_angle`)
SIDES_LIMIT = 90.0  # degrees; nobody sees both sides of a surface, and SIFT matches up to some 60
CONDEMNING = 20  # contradicting matches, beyond chance, that it takes to fail the joint where none agree
PRIOR = CONDEMNING * JOINT_LIMIT / (1 - JOINT_LIMIT)  # agreeing matches granted for that
GRANTED = 0.5  # agreeing pairs granted to every image, so that two contradicting ones do not condemn
NAMED = 6  # images that a reason names


@dataclass(frozen=True)
class Verification:
    """What :func:`verify` found; its fields are ready for JSON."""

    verdict: str  # "trusted", "contradicted" (evidence against the poses) or "unproven" (too little evidence)
    score: float  # 0..1, the worst check's; below 0.5 it is not passed
    reason: str  # a few sentences that name the images concerned
    images: dict[str, dict]  # per image: score and reason; where it has a pose also the figures behind them
    checks: list[dict]  # name, value (None where it cannot be measured), limit, passed, meaning

    @property
    def trusted(self) -> bool:
        """Whether nothing speaks against the poses and enough speaks for them."""
        return self.verdict == "trusted"


def verify(
    model: Model,
    keypoints: Mapping[str, np.ndarray],
    pairs: Mapping[tuple[str, str], np.ndarray],
    expected: Sequence[str],
) -> Verification:
    """Judge the cameras of ``model`` by matches that were found without them.

    Args:
        model: lenses and c2w of the registered images; its points are not looked at.
        keypoints: image name to [N, 2] pixels of the original image.
        pairs: two image names to [K, 2] key points, the matches that agree with a two-view geometry of this pair alone.
            Also pairs that the mapping did not use. Not from guided matching, which finds matches between look-alike
            parts for any geometry.
        expected: the images that must have a pose.
    """
    evidence = _measure(model, keypoints, pairs)
    missing = sorted(set(expected) - set(evidence.names))
    images = {name: _image(evidence, i) for i, name in enumerate(evidence.names)}
    images |= {name: {"score": 0.0, "reason": "has no pose"} for name in missing}
    checks = [
        _registered(evidence, missing),
        _joint(evidence, images),
        _pairs(evidence, images),
        _support(evidence),
        _prediction(evidence),
        _parallax(evidence),
        _sides(evidence),
    ]
    failed = [check for check in checks if not check.passed]
    against = [check for check in failed if check.contradicts]
    # What contradicts comes first and once: a wrong pose leaves its mark on several checks.
    told = [*against[:1], *(check for check in failed if check.name == "registered")] if against else failed
    return Verification(
        "contradicted" if against else "unproven" if failed else "trusted",
        min(check.score for check in checks),
        " ".join(check.complaint for check in told) or _praise(evidence, checks),
        dict(sorted(images.items())),
        [{key: getattr(check, key) for key in ("name", "value", "limit", "passed", "meaning")} for check in checks],
    )


# What the matches say


@dataclass(frozen=True)
class _Pair:
    """Two registered images (numbers) and their matches."""

    one: int
    two: int
    matches: np.ndarray  # [K, 2] key points
    miss: np.ndarray  # [K] how far each lies from where the poses allow it, of the diagonal

    @property
    def agrees(self) -> bool:
        """Whether the pair as a whole agrees with the poses."""
        return bool(np.mean(self.miss <= AGREEMENT) >= PAIR_SHARE)

    @property
    def is_near(self) -> bool:
        """Whether the poses are at least about right for the pair."""
        return bool(np.mean(self.miss <= NEARNESS) >= PAIR_SHARE)

    @property
    def weight(self) -> int:
        """Matches beyond those that look-alikes produce."""
        return max(0, len(self.matches) - CHANCE)


@dataclass(frozen=True)
class _Evidence:
    """What was measured on the N registered images."""

    names: list[str]
    views: list[View]
    pairs: list[_Pair]
    agree: np.ndarray  # [N, N] weights of the pairs that agree
    contradict: np.ndarray  # [N, N] and of those that contradict
    support: np.ndarray  # [N, N] matches of the pairs that agree
    predicted: np.ndarray  # [N] median distance from the predicted place, of the diagonal; NaN where unknown
    angles: np.ndarray  # [N] median angle of an image's rays to those of others, degrees; NaN where unknown


def _measure(
    model: Model, keypoints: Mapping[str, np.ndarray], pairs: Mapping[tuple[str, str], np.ndarray]
) -> _Evidence:
    names = sorted(model.c2w)
    number = {name: i for i, name in enumerate(names)}
    views = [View.of(model.lenses[name], model.c2w[name], keypoints[name]) for name in names]
    known = []
    for pair, indices in sorted(pairs.items()):
        if all(name in number for name in pair):
            one, two = (number[name] for name in pair)
            matches = np.asarray(indices).reshape(-1, 2).astype(int)
            seen = np.isfinite(views[one].xy[matches[:, 0]] + views[two].xy[matches[:, 1]]).all(axis=1)
            if seen.sum() >= LEAST_MATCHES:
                known.append(_Pair(one, two, matches[seen], misses(views[one], views[two], matches[seen])))
    agree, contradict, support = np.zeros((3, len(names), len(names)))
    for both in known:
        table = agree if both.agrees else contradict
        table[both.one, both.two] = table[both.two, both.one] = both.weight
        if both.agrees:
            support[both.one, both.two] = support[both.two, both.one] = len(both.matches)
    # An image that contradicts the others is no witness against them.
    witness = _shares(agree, contradict) >= JOINT_LIMIT
    predicted, angles = _predictions(views, [pair for pair in known if pair.is_near], witness)
    return _Evidence(names, views, known, agree, contradict, support, predicted, angles)


def _shares(agree: np.ndarray, contradict: np.ndarray) -> np.ndarray:
    """The share of each image's matches that agree with the poses, [N]."""
    return (agree.sum(axis=1) + PRIOR) / (agree.sum(axis=1) + contradict.sum(axis=1) + PRIOR)


def _predictions(views: Sequence[View], pairs: Sequence[_Pair], witness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians over the matched key points of each image; NaN for fewer than LEAST_POINTS of them.

    Args:
        views: the images.
        pairs: the pairs whose matches count.
        witness: [N] bool, the images whose rays may place points for the others.

    Returns:
        [N] distance, as a share of the diagonal, from the place where a point is seen that lies nearest (least squares)
        to the rays of the key point's partners in two or more other images, its own ray left out; and [N] the
        largest angle, degrees, between the key point's ray and its partners'. What an image shares with those from its
        own place alone (a photo taken beside a camera) says nothing of that angle where it shares enough with others.
    """
    world = []
    for view in views:
        rays = view.rays @ view.pose[:3, :3].T
        world.append(rays / np.linalg.norm(rays, axis=1, keepdims=True))
    distances, angles = np.full((2, len(views)), np.nan)
    for image, view in enumerate(views):
        quadric, target = np.zeros((len(view.xy), 3, 3)), np.zeros((len(view.xy), 3))
        partners, widest = np.zeros(len(view.xy), int), np.zeros(len(view.xy))
        apart = np.zeros(len(view.xy), bool)  # whether seen from another place as well
        for pair in pairs:
            if image not in (pair.one, pair.two):
                continue
            order, partner = ([0, 1], pair.two) if image == pair.one else ([1, 0], pair.one)
            if not witness[partner]:
                continue
            # Matches are one to one: a key point occurs once per pair, so that plain indexing can add.
            own, theirs = pair.matches[pair.miss <= NEARNESS][:, order].T
            ray = world[partner][theirs]
            across = np.eye(3) - ray[:, :, None] * ray[:, None, :]
            quadric[own] += across
            target[own] += across @ views[partner].pose[:3, 3]
            partners[own] += 1
            chord = np.linalg.norm(ray - world[image][own], axis=1)
            angle = 2 * np.arcsin(np.minimum(chord / 2, 1))
            widest[own] = np.maximum(widest[own], angle)
            apart[own] |= bool(len(angle)) and np.median(angle) >= SMALL_ANGLE
        counted = apart if apart.sum() >= LEAST_POINTS else partners > 0
        if counted.sum() >= LEAST_POINTS:
            angles[image] = np.degrees(np.median(widest[counted]))
        # The least eigenvalue for two rays at an angle a is 1 - cos a = 2 sin^2(a / 2).
        spread = 2 * np.arcsin(np.sqrt(np.clip(np.linalg.eigvalsh(quadric)[:, 0] / 2, 0, 1)))
        placed = (partners >= 2) & (spread >= SMALL_ANGLE) & (widest <= EXTRAPOLATION * spread)
        if placed.sum() >= LEAST_POINTS:
            points = np.linalg.solve(quadric[placed], target[placed][:, :, None])[:, :, 0]
            distances[image] = np.median(_place_distance(view, points, view.xy[placed]))
    return distances, angles


def _place_distance(view: View, points: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Distance [K] of key points from the images of ``points`` [K, 3], of the diagonal; at most 1, also behind."""
    local = (points - view.pose[:3, 3]) @ view.pose[:3, :3]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.linalg.norm(local[:, :2] / local[:, 2:] - xy, axis=1) * view.scale
    return np.where((local[:, 2] > 0) & (distance < 1), distance, 1.0)


# What follows from it


@dataclass(frozen=True)
class _Check:
    name: str
    value: float | None
    limit: float
    score: float  # 0..1, from 0.5 on passed
    meaning: str
    complaint: str  # what to say where it is not passed
    contradicts: bool = False  # whether failing is evidence against the poses, not just too little for them

    @property
    def passed(self) -> bool:
        return self.score >= 0.5


def _at_least(value: float, limit: float) -> float:
    return min(1.0, value / (2 * limit))


def _at_most(value: float, limit: float) -> float:
    return min(1.0, limit / (2 * max(value, 1e-12)))


def _registered(evidence: _Evidence, missing: Sequence[str]) -> _Check:
    total = len(evidence.names) + len(missing)
    value = len(evidence.names) / total if total else 0.0
    return _Check(
        "registered",
        value,
        1.0,
        1.0 if value == 1 else value / 2,
        "share of the images that have a pose",
        f"{len(missing)} of {total} images have no pose: {_list(missing)}.",
    )


def _joint(evidence: _Evidence, images: Mapping[str, Mapping]) -> _Check:
    share, side = weakest_cut(evidence.agree, evidence.contradict, PRIOR)
    group = [name for name, here in zip(evidence.names, side, strict=True) if here]
    if len(group) == 1:
        complaint = f"{group[0]} {images[group[0]]['reason']}."
    else:
        agree, contradict = (table[np.ix_(side, ~side)].sum() for table in (evidence.agree, evidence.contradict))
        complaint = (
            f"{_list(group)} do not fit the other {len(side) - len(group)} images: of the matches between them (less "
            f"{CHANCE} per pair) {contradict:.0f} contradict the poses and {agree:.0f} agree."
        )
    alone = _shares(evidence.agree, evidence.contradict)
    others = [evidence.names[i] for i in np.argsort(alone) if alone[i] < JOINT_LIMIT and not side[i]]
    if others:
        complaint += f" Doubtful too: {_list(others)}."
    return _Check(
        "joint",
        share,
        JOINT_LIMIT,
        _at_least(share, JOINT_LIMIT),
        "share of the matches that agree with the poses, where the images hang together worst",
        complaint,
        contradicts=True,
    )


def _pairs(evidence: _Evidence, images: Mapping[str, Mapping]) -> _Check:
    """Not evidence against the poses: where parts look alike, right poses of images with little overlap fail it too."""
    share = _pair_shares(evidence)
    bad = [evidence.names[i] for i in np.argsort(share) if share[i] < PAIRS_LIMIT]
    value = float(share.min(initial=1.0))
    return _Check(
        "pairs",
        value,
        PAIRS_LIMIT,
        _at_least(value, PAIRS_LIMIT),
        "share of an image's pairs with other images that agree with the poses: the worst image's",
        " ".join(f"{name} {images[name]['reason']}." for name in bad[:2])
        + (f" Likewise: {_list(bad[2:])}." if bad[2:] else ""),
    )


def _pair_shares(evidence: _Evidence) -> np.ndarray:
    """The share of each image's pairs that agree with the poses, [N]; GRANTED of them are granted."""
    agree, every = np.zeros((2, len(evidence.names)))
    for pair in evidence.pairs:
        every[[pair.one, pair.two]] += 1
        agree[[pair.one, pair.two]] += pair.agrees
    return (agree + GRANTED) / (every + GRANTED)


def _support(evidence: _Evidence) -> _Check:
    value, side = 0.0, np.ones(len(evidence.names), bool)
    if len(evidence.names) > 1:
        value, side = smallest_cut(evidence.support)
    group = [name for name, here in zip(evidence.names, side, strict=True) if here]
    against = sum(side[pair.one] != side[pair.two] and not pair.agrees for pair in evidence.pairs)
    return _Check(
        "support",
        value,
        SUPPORT_LIMIT,
        _at_least(value, SUPPORT_LIMIT),
        "matches of pairs that agree with the poses, where the images hang together worst",
        f"Too few matches to trust {_list(group)}: {value:.0f} tie it to the others in agreement with the poses, "
        f"{SUPPORT_LIMIT} are needed; {against} image pairs contradict.",
    )


def _prediction(evidence: _Evidence) -> _Check:
    order = [i for i in np.argsort(-evidence.predicted) if np.isfinite(evidence.predicted[i])]
    value, complaint = None, ""
    if order:
        value = float(evidence.predicted[order[0]])
        bad = [evidence.names[i] for i in order if evidence.predicted[i] > PREDICTION_LIMIT]
        complaint = (
            f"{evidence.names[order[0]]} {_prediction_text(evidence, order[0])}: its pose or its "
            "focal length is not exact, or that of its neighbours."
        )
        if bad[1:]:
            complaint += f" Less so: {_list(bad[1:])}."
    return _Check(
        "prediction",
        value,
        PREDICTION_LIMIT,
        1.0 if value is None else _at_most(value, PREDICTION_LIMIT),
        "distance of key points from where other images place them, share of the diagonal: the worst image's median",
        complaint,
        contradicts=True,
    )


def _parallax(evidence: _Evidence) -> _Check:
    known = np.isfinite(evidence.angles)
    value = float(evidence.angles[known].min()) if known.any() else 0.0
    bad = [name for name, angle in zip(evidence.names, evidence.angles, strict=True) if angle < PARALLAX_LIMIT]
    return _Check(
        "parallax",
        value,
        PARALLAX_LIMIT,
        _at_least(value, PARALLAX_LIMIT),
        "angle in degrees at which an image's rays meet those of other images: the worst image's median",
        f"The rays of {_list(bad or evidence.names)} meet the others' at {value:.1f} degrees, too little to place "
        "anything.",
    )


def _sides(evidence: _Evidence) -> _Check:
    known = np.isfinite(evidence.angles)
    value = float(evidence.angles[known].max()) if known.any() else None
    bad = [name for name, angle in zip(evidence.names, evidence.angles, strict=True) if angle > SIDES_LIMIT]
    return _Check(
        "sides",
        value,
        SIDES_LIMIT,
        1.0 if value is None else _at_most(value, SIDES_LIMIT),
        "angle in degrees at which an image's rays meet those of other images, at most: the worst image's median",
        f"{_list(bad)} would see what the others see from behind: mirrored?",
        contradicts=True,
    )


def _praise(evidence: _Evidence, checks: Sequence[_Check]) -> str:
    value = {check.name: check.value for check in checks}
    assert value["joint"] is not None  # as it is of every check but "prediction" and "sides"
    text = (
        f"All {len(evidence.names)} images hang together: where they do so worst, {100 * value['joint']:.0f} % of the "
        "matches that were found without the poses agree with them"
    )
    if value["prediction"] is None:
        return f"{text}. No key point is seen from three places, so that distances along the rays are not checked."
    return (
        f"{text}, and key points lie within {100 * value['prediction']:.2g} % of the diagonal of where other images "
        "place them."
    )


def _image(evidence: _Evidence, image: int) -> dict:
    """Score, reason and figures of one registered image."""
    pairs = [pair for pair in evidence.pairs if image in (pair.one, pair.two)]
    against = sum(not pair.agrees for pair in pairs)
    matches = sum(len(pair.matches) for pair in pairs)
    support = float(evidence.support[image].sum())
    predicted, angle = float(evidence.predicted[image]), float(evidence.angles[image])
    tests = [
        (
            f"contradicts the others: {against} of its {len(pairs)} image pairs ({matches - support:.0f} of "
            f"{matches} matches) do not fit its pose",
            min(
                _at_least(float(_shares(evidence.agree, evidence.contradict)[image]), JOINT_LIMIT),
                _at_least(float(_pair_shares(evidence)[image]), PAIRS_LIMIT),
            ),
        ),
        (_prediction_text(evidence, image), 1.0 if np.isnan(predicted) else _at_most(predicted, PREDICTION_LIMIT)),
        (f"has only {support:.0f} matches that agree with its pose", _at_least(support, SUPPORT_LIMIT)),
        (
            f"meets the others' rays at {angle:.1f} degrees only",
            1.0 if np.isnan(angle) else _at_least(angle, PARALLAX_LIMIT),
        ),
        (
            f"sees from behind what others see ({angle:.0f} degrees between their rays): mirrored?",
            1.0 if np.isnan(angle) else _at_most(angle, SIDES_LIMIT),
        ),
    ]
    fits = f"{len(pairs) - against} of its {len(pairs)} image pairs agree with its pose"
    return {
        "score": min(score for _, score in tests),
        "reason": next((text for text, score in tests if score < 0.5), fits),
        "pairs_agree": len(pairs) - against,
        "pairs_contradict": against,
        "matches_agree": support,
        "matches_contradict": matches - support,
        "prediction": None if np.isnan(predicted) else predicted,
        "parallax": None if np.isnan(angle) else angle,
    }


def _prediction_text(evidence: _Evidence, image: int) -> str:
    share = float(evidence.predicted[image])
    pixels = share * evidence.views[image].diagonal
    return (
        f"sees points {pixels:.1f} pixels ({100 * share:.2g} % of the diagonal) from where the other images place them"
    )


def _list(names: Sequence[str]) -> str:
    return first_of(names, NAMED)
