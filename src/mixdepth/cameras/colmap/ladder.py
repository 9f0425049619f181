"""Structure from motion as a ladder: step by step harder settings until every image is registered and the poses are
verified without knowing the truth.

A step that every image passes is not yet believed: look-alike panels can register a whole dome wrongly with a small
reprojection error. Only :func:`mixdepth.cameras.verification.verify.verify` ends the climb; where no step is believed
the best one is written and said to be flagged.
"""

import itertools
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mixdepth.cameras.colmap import mapping as colmap
from mixdepth.cameras.colmap.features import Features, detect, thorough
from mixdepth.cameras.colmap.overlay import laid_over
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.model import Model
from mixdepth.cameras.verification.verify import Verification, verify
from mixdepth.errors import CaptureError

PARTNERS = 4  # other images that a camera's candidate images are compared on: those its first one matches best
BETTER = 1.1  # a later candidate is taken only where it has this many times the matches of the first
WEAK = 0.5  # score of an image below which the last step tries without it
MOST_LEFT_OUT = 0.5  # share of the images that may be left out: a model of the fewer is not one of the capture


@dataclass(frozen=True)
class Rung:
    """One step of the ladder."""

    name: str
    thorough: bool = False  # a lower threshold and more features
    guided: bool = False  # match again along the epipolar lines of verified pairs
    known_lenses: bool = False  # hold known intrinsics fixed


@dataclass
class Evidence:
    """What the images say before any pose is known, as configured or with more features."""

    features: dict[str, Features]
    matches: colmap.Pairs
    # Verified matches, by whether known lenses were used and whether matching was guided.
    geometries: dict[tuple[bool, bool], colmap.Geometries] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """What a step found."""

    rung: Rung
    model: Any  # COLMAP's model, pixels of the originals
    arrays: Model  # the same
    names: tuple[str, ...]  # the images it was to register
    verification: Verification

    @property
    def missing(self) -> list[str]:
        return [name for name in self.names if name not in self.arrays.c2w]

    @property
    def rank(self) -> tuple[int, float, float]:
        """The better of two attempts has the larger one: images registered, score, and the images' own scores."""
        scores = [figures["score"] for figures in self.verification.images.values()]
        return len(self.arrays.c2w), self.verification.score, sum(scores)

    @property
    def good(self) -> bool:
        return not self.missing and self.verification.trusted


class Ladder:
    """The images, and what has been computed of them so far."""

    def __init__(
        self,
        candidates: Mapping[str, Sequence[Path]],
        options: Mapping,
        masks: Mapping[str, Path],
        known: Mapping[str, Lens],
    ):
        self.candidates = {name: [Path(path) for path in candidates[name]] for name in sorted(candidates)}
        self.images = {name: paths[0] for name, paths in self.candidates.items()}
        self.options, self.masks, self.known = options, masks, known
        self.evidence: dict[bool, Evidence] = {}  # by whether it is that of thorough steps

    def rungs(self) -> Iterator[Rung]:
        """The steps in order."""
        yield Rung("configured")
        if self.options["ladder"]:
            yield Rung("more features, guided matching", thorough=True, guided=True)
            if self.known:
                yield Rung("known lenses", known_lenses=True)
                name = "known lenses, more features, guided matching"
                yield Rung(name, thorough=True, guided=True, known_lenses=True)

    def choose_references(self) -> None:
        """Of each camera's candidate images, take the one with most verified matches.

        Compared on a few images that the first candidate matches best, so that the work grows with the number of
        candidates and not with that times the number of cameras.
        """
        others = {f"{name} {path}": (name, path) for name, paths in self.candidates.items() for path in paths[1:]}
        if not others:
            return
        seed = self.options["seed"]
        evidence, verified = self.gather(), self.verified()
        features = evidence.features | self._detect(others)
        cameras = self.cameras(evidence.features, known_lenses=False)
        cameras |= {key: cameras[name] for key, (name, _) in others.items()}
        partners = {name: _best_partners(name, evidence.matches, verified) for name, _ in others.values()}
        pairs = {key: [_pair(key, partner) for partner in partners[name]] for key, (name, _) in others.items()}
        every = sorted(itertools.chain.from_iterable(pairs.values()))
        (matches,) = colmap.match_pairs(every, features, colmap.RATIO)
        found = colmap.verify_pairs(matches, features, cameras, seed)
        most = {name: BETTER * _total(verified, [_pair(name, p) for p in mine]) for name, mine in partners.items()}
        chosen = {}
        for key, (name, path) in others.items():
            if _total(found, pairs[key]) > most[name]:
                most[name], chosen[name] = _total(found, pairs[key]), (path, features[key])
        if chosen:
            self.images |= {name: path for name, (path, _) in chosen.items()}
            features = evidence.features | {name: taken for name, (_, taken) in chosen.items()}
            changed = [pair for pair in evidence.matches if chosen.keys() & set(pair)]
            (again,) = colmap.match_pairs(changed, features, colmap.RATIO)
            self.evidence[False] = self._evidence(features, evidence.matches | again)

    def gather(self, more: bool = False) -> Evidence:
        """Features and matches as configured, or ``more`` of them; those computed before are reused."""
        if more not in self.evidence:
            features = self._detect({name: (name, path) for name, path in self.images.items()}, more)
            pairs = list(itertools.combinations(sorted(features), 2))
            (matches,) = colmap.match_pairs(pairs, features, colmap.RATIO)
            self.evidence[more] = self._evidence(features, matches)
        return self.evidence[more]

    def _evidence(self, features: dict[str, Features], matches: colmap.Pairs) -> Evidence:
        """``features`` and their ``matches`` without what is laid over the pictures."""
        while over := laid_over(matches, features, self.cameras(features, known_lenses=False), self.options["seed"]):
            features = {name: own.subset(~over[name]) if name in over else own for name, own in features.items()}
            (again,) = colmap.match_pairs([pair for pair in matches if over.keys() & set(pair)], features, colmap.RATIO)
            matches = matches | again
        return Evidence(features, matches)

    def verified(self, more: bool = False, known_lenses: bool = False, guided: bool = False) -> colmap.Geometries:
        """The verified matches of :meth:`gather`; those computed before are reused."""
        evidence, key = self.gather(more), (known_lenses, guided)
        if key not in evidence.geometries:
            features, seed = evidence.features, self.options["seed"]
            cameras = self.cameras(features, known_lenses)
            evidence.geometries[key] = (
                colmap.match_guided(self.verified(more, known_lenses), features, cameras, seed)
                if guided
                else colmap.verify_pairs(evidence.matches, features, cameras, seed)
            )
        return evidence.geometries[key]

    def climb(self, rung: Rung, names: Collection[str]) -> Attempt | None:
        """Map the images ``names`` as ``rung`` says and verify; None where there is no model."""
        features = {name: self.gather(rung.thorough).features[name] for name in sorted(names)}
        geometries = self.verified(rung.thorough, rung.known_lenses, rung.guided)
        cameras, fixed = self.cameras(features, rung.known_lenses), self.known if rung.known_lenses else ()
        model = colmap.map_images(features, cameras, geometries, fixed, self.options["seed"])
        return None if model is None else self.judge(rung, model, tuple(features))

    def judge(self, rung: Rung, model: Any, names: tuple[str, ...]) -> Attempt:
        """Verify ``model`` as one of the images ``names`` alone."""
        # Guided matches agree with the geometry that guided them, so that they prove nothing.
        pairs = colmap.inliers(self.verified(rung.thorough, rung.known_lenses))
        pairs = {pair: indices for pair, indices in pairs.items() if set(pair) <= set(names)}
        features, arrays = self.gather(rung.thorough).features, colmap.as_arrays(model)
        found = verify(arrays, {name: features[name].uv for name in names}, pairs, list(names))
        return Attempt(rung, model, arrays, names, found)

    def cameras(self, features: Mapping[str, Features], known_lenses: bool) -> dict[str, Any]:
        """COLMAP's cameras of these images before mapping."""
        images = {name: self.images[name] for name in features}
        return colmap.initial_cameras(images, features, self.options, self.known if known_lenses else {})

    def settings(self, more: bool) -> Mapping:
        """The ``colmap`` section, as configured or for ``more`` features."""
        return thorough(self.options) if more else self.options

    def _detect(self, images: Mapping[str, tuple[str, Path]], more: bool = False) -> dict[str, Features]:
        """Features by key of ``images``: (name of the image, which its mask has too, and file)."""
        masks = {key: self.masks[name] for key, (name, _) in images.items() if self.masks.get(name)}
        return detect({key: path for key, (_, path) in images.items()}, self.settings(more), masks)


def _total(geometries: colmap.Geometries, pairs: Collection[tuple[str, str]]) -> int:
    """Verified matches of these pairs together."""
    return sum(len(geometries[pair].inlier_matches) for pair in pairs if pair in geometries)


def _pair(one: str, two: str) -> tuple[str, str]:
    return (one, two) if one < two else (two, one)


def _best_partners(name: str, matches: colmap.Pairs, verified: colmap.Geometries) -> list[str]:
    """The images that ``name`` has most verified matches with; most matches, where it has none verified."""
    mine = [pair for pair in matches if name in pair]
    best = sorted(mine, key=lambda pair: (-_total(verified, [pair]), -len(matches[pair]), pair))[:PARTNERS]
    return [two if one == name else one for one, two in best]


def run_sfm(
    candidates: Mapping[str, Sequence[Path]],
    output: Path,
    options: Mapping,
    masks: Mapping[str, Path] | None = None,
    known: Mapping[str, Lens] | None = None,
    optional: Collection[str] = (),
) -> dict[str, Any]:
    """Find the cameras of all images in one model, and say whether they can be trusted.

    Args:
        candidates: COLMAP image name ("cameras/cam00.png", "photos/x.jpg") to the files that may stand for it, of one
            size; the first is preferred. What stands before the "/" is the group that may share intrinsics.
        output: folder for the binary model, in pixels of the original images; world as COLMAP leaves it.
        options: the scene's ``colmap`` section.
        masks: image name to an image that is not 0 where things move; nothing is matched there.
        known: image name to its lens at the original size, where it is known.
        optional: images that may be left out where they do not fit.

    Returns:
        JSON-ready: rungs (per step name, settings, registered, of, points, error_px, verdict, trusted, score, reason),
        used (name of the step), references (camera image -> file name of the candidate taken), left_out (image names),
        verification (of the model written, see :class:`mixdepth.cameras.verification.verify.Verification`). A model
        that is not trusted is written all the same.

    Raises:
        UserError: fewer than two images, an unreadable image, or images that could not be registered at any step.
    """
    if len(candidates) < 2:
        raise CaptureError(
            f"COLMAP was given {len(candidates)} image(s) ({', '.join(candidates)}); it needs at least 2: add photos"
        )
    ladder = Ladder(candidates, options, masks or {}, known or {})
    ladder.choose_references()
    required = set(ladder.images) - set(optional)
    best, steps = _best_attempt(ladder, required)
    if best is None or required - best.arrays.c2w.keys():
        raise _not_registered(ladder, best, required)
    if not best.verification.trusted:
        print(f"warning: the poses are not trusted: {best.verification.reason}", file=sys.stderr, flush=True)
    colmap.write_model(best.model, output)
    return {
        "rungs": steps,
        "used": best.rung.name,
        "references": {name: path.name for name, path in ladder.images.items() if len(ladder.candidates[name]) > 1},
        "left_out": sorted(set(ladder.images) - best.arrays.c2w.keys()),
        "verification": asdict(best.verification) | {"trusted": best.verification.trusted},
    }


def _best_attempt(ladder: Ladder, required: set[str]) -> tuple[Attempt | None, list[dict[str, Any]]]:
    """The first step that is good, else the best one, and what to report of each; None where no step has a model."""
    attempts: list[Attempt] = []
    steps = []
    for rung in ladder.rungs():
        attempt = ladder.climb(rung, ladder.images)
        steps.append(_report(ladder, rung, attempt))
        if attempt:
            attempts.append(attempt)
            if attempt.good:
                break
    attempts.sort(key=lambda attempt: (required <= attempt.arrays.c2w.keys(), *attempt.rank), reverse=True)
    best = attempts[0] if attempts else None
    if best and not best.good and len(required) < len(ladder.images):
        partial = _without_some(ladder, attempts, required)
        if partial:
            best = partial
            steps.append(_report(ladder, best.rung, best))
    return best, steps


def _without_some(ladder: Ladder, attempts: Sequence[Attempt], required: set[str]) -> Attempt | None:
    """A trusted model without some of the images that are not ``required``; None where that does not help either.

    Of each attempt, the best first, left out is what it could not register, then also what the verification blames.
    """
    least = (1 - MOST_LEFT_OUT) * len(ladder.images)
    for attempt in attempts:
        rung = replace(attempt.rung, name=f"without some images ({attempt.rung.name})")
        registered = attempt.arrays.c2w.keys() & set(attempt.names)
        scores = {name: figures["score"] for name, figures in attempt.verification.images.items()}
        blameless = {name for name in registered if scores[name] >= WEAK}
        if required <= registered and least <= len(registered) < len(attempt.names):
            fewer = ladder.judge(rung, attempt.model, tuple(sorted(registered)))
            if fewer.good:
                return fewer
        if required <= blameless and least <= len(blameless) < len(registered):
            again = ladder.climb(rung, blameless)
            if again and again.good:
                return again
    return None


def _report(ladder: Ladder, rung: Rung, attempt: Attempt | None) -> dict[str, Any]:
    """A step for the report; also printed."""
    options, count = ladder.settings(rung.thorough), len(ladder.images)
    settings = {key: options[key] for key in ("max_features", "peak_threshold")}
    settings |= {"guided": rung.guided, "known_lenses": rung.known_lenses}
    line = {"name": rung.name, "settings": settings, "registered": 0, "of": count, "points": 0}
    if attempt is None:
        line |= {"error_px": None, "verdict": "unproven", "trusted": False, "score": 0.0, "reason": "no model at all"}
    else:
        error, found = attempt.arrays.error, attempt.verification
        line |= {"registered": len(attempt.arrays.c2w), "points": len(error)}
        line |= {"error_px": round(float(error.mean()), 4) if len(error) else None, "verdict": found.verdict}
        line |= {"trusted": found.trusted, "score": found.score, "reason": found.reason}
    print(
        f"colmap, {rung.name}: {line['registered']} of {count} images registered, {line['points']} points, "
        f"{line['verdict']} (score {line['score']:.2f}): {line['reason']}",
        file=sys.stderr,
        flush=True,
    )
    return line


def _not_registered(ladder: Ladder, best: Attempt | None, required: set[str]) -> CaptureError:
    """Names every required image that is not in the best model, and the matches it had there."""
    rung = best.rung if best else next(ladder.rungs())
    verified, total = ladder.verified(rung.thorough), len(ladder.images)
    lines = []
    for name in sorted(required - (best.arrays.c2w.keys() if best else set())):
        counts = [len(geometry.inlier_matches) for pair, geometry in verified.items() if name in pair]
        lines.append(f"  {name}: {sum(counts)} verified matches with {len(counts)} of {total - 1} images")
    found = f"a model of {len(best.arrays.c2w)} of {total} images" if best else "no model at all"
    steps = ", ".join(rung.name for rung in ladder.rungs())
    return CaptureError(
        f"COLMAP found {found}. Not registered:\n" + "\n".join(lines) + f"\nTried: {steps}. "
        "Expected every image in one model. An image needs some 30 matches with images that overlap it: take photos "
        "in between, leave the image out (`cameras`, `exclude_photos`, or `poses.allow_missing`), choose other "
        "`colmap.reference_frames`, lower `colmap.peak_threshold` or raise `colmap.upscale_to`, give the lenses "
        "(`poses.intrinsics`), or give the cameras (`poses.source`)."
    )
