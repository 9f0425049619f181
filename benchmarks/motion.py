#!/usr/bin/env python3
"""What the motion masks find when light and noise disturb arc8, and what the trained result then shows.

.venv/bin/python benchmarks/motion.py [--train] [--only NAME ...] [--data ../shared/data/arc8]   (masks: half a minute)

Every camera, the held-out one included, is disturbed alike, from its own frames. Masks are compared with the truth:
the pixels that the mover covers in any frame. With --train, `none` is trained on each disturbed capture (a minute each
on two cores), and the held-out camera's render is compared with its own frames without the noise, disturbed as they
were: PSNR of the pixels that move in the frame by the truth, over the frames that show the scene.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from mixdepth.frames.motion import find_motion

ROOT = Path(__file__).parents[1]
Frames = np.ndarray  # [T, H, W, 3] float64, 0..255


def _frames(frames: Frames, which: list[int], value: float) -> Frames:
    changed = frames.copy()
    changed[which] = value
    return changed


def _gains(frames: Frames, gains: np.ndarray) -> Frames:
    return frames * gains.reshape(-1, 1, 1, 1)


def _flicker(share: float) -> Callable[[Frames], Frames]:
    return lambda frames: _gains(frames, 1 + share * np.random.default_rng(3).choice([-1, 1], len(frames)))


def _ramp(share: float) -> Callable[[Frames], Frames]:
    return lambda frames: _gains(frames, np.linspace(1 - share, 1 + share, len(frames)))


def _lamp(frames: Frames) -> Frames:
    return _gains(frames, np.where(np.arange(len(frames)) < len(frames) // 2, 1.0, 0.4))


def _flash(frames: Frames) -> Frames:
    """One frame brighter, the left more than the right, as a flash from the side."""
    changed = frames.copy()
    changed[9] *= np.linspace(3.0, 1.2, frames.shape[2])[None, :, None]
    return changed


DISTURBED: dict[str, Callable[[Frames], Frames]] = {
    "undisturbed": lambda frames: frames,
    "black frame": lambda frames: _frames(frames, [7], 0),
    "white frame": lambda frames: _frames(frames, [7], 255),
    "three black frames": lambda frames: _frames(frames, [7, 8, 15], 0),
    "flash": _flash,
    "flicker 5 %": _flicker(0.05),
    "flicker 10 %": _flicker(0.10),
    "flicker 20 %": _flicker(0.20),
    "exposure ramp 5 %": _ramp(0.05),
    "exposure ramp 10 %": _ramp(0.10),
    "exposure ramp 20 %": _ramp(0.20),
    "light off half way": _lamp,
    "grain, sigma 10": lambda frames: frames,
}


def grain(camera: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(100 + camera).normal(0, 10, shape)


def disturbed(name: str, camera: int, frames: np.ndarray) -> np.ndarray:
    """``frames`` [T, H, W, 3] uint8 of a camera, disturbed."""
    changed = DISTURBED[name](frames.astype(np.float64))
    if "grain" in name:
        changed = changed + grain(camera, frames.shape)
    return np.rint(changed).clip(0, 255).astype(np.uint8)


def masks(name: str, videos: np.ndarray, moving: np.ndarray, train: list[int]) -> str:
    """A row of the table: how much of what moves is found, and how much else."""
    found, false = [], []
    for camera in train:
        motion = find_motion(disturbed(name, camera, videos[camera]))
        mask, truth = motion.parts > 0, moving[camera].any(axis=0)
        found.append(mask[truth].mean())
        false.append(mask[~truth].mean())
    ok = np.mean(found) >= 0.95 and min(found) >= 0.90 and np.mean(false) <= 0.05
    return (
        f"| {name} | {np.mean(found):.1%} | {min(found):.1%} | {np.mean(false):.1%} | {max(false):.1%} |"
        f" {'' if ok else 'fails'} |"
    )


def trained(name: str, videos: np.ndarray, moving: np.ndarray, data: Path, work: Path) -> str:
    """A row of the second table: how the render of the held-out camera scores, trained on the disturbed capture."""
    capture = work / name.replace(" ", "_").replace("%", "percent").replace(",", "")
    for camera, frames in enumerate(videos):
        folder = capture / "frames" / f"cam{camera:02d}"
        folder.mkdir(parents=True)
        for index, frame in enumerate(disturbed(name, camera, frames)):
            Image.fromarray(frame).save(folder / f"{index + 1:04d}.png")
    shutil.copy(data / "poses_bounds.npy", capture)
    scene = {
        "data": str(capture),
        "videos": "frames",
        "test_cameras": ["cam00"],
        "poses": {"source": "llff"},
        "variants": ["none"],
    }
    config = capture / "config.yaml"
    config.write_text(yaml.safe_dump({"scenes": {capture.name: scene}}))
    target = f"{work}/results/{capture.name}/none/renders/cam00"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(work)]
    command += [
        "--configfile",
        str(config),
        "--cores",
        "2",
        "--quiet",
        "all",
        "--",
        f"results/{capture.name}/none/metrics.json",
    ]
    subprocess.run(command, check=True, cwd=work, stdout=subprocess.DEVNULL)
    rendered = np.load(f"{target}/rgb.npy").astype(np.float64)
    wanted = np.rint(DISTURBED[name](videos[0].astype(np.float64))).clip(0, 255)
    lively = wanted.std(axis=(1, 2, 3)) > 1
    error = np.square(rendered - wanted).mean(axis=-1) / 255**2
    inside, outside = moving[0] & lively[:, None, None], ~moving[0] & lively[:, None, None]
    psnr = [-10 * np.log10(error[mask].mean()) for mask in (inside, outside)]
    changes = rendered[lively].std(axis=0).mean(axis=-1)[moving[0].any(axis=0)].mean()
    true = wanted[lively].std(axis=0).mean(axis=-1)[moving[0].any(axis=0)].mean()
    return f"| {name} | {psnr[0]:.2f} | {psnr[1]:.2f} | {changes:.1f} | {true:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help="train on each disturbed capture as well")
    parser.add_argument("--only", nargs="+", choices=list(DISTURBED), default=list(DISTURBED), metavar="NAME")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "arc8")
    args = parser.parse_args()
    names = sorted((args.data / "frames").iterdir())
    videos = np.stack([np.stack([np.asarray(Image.open(f)) for f in sorted(name.iterdir())]) for name in names])
    with np.load(args.data / "truth.npz", allow_pickle=False) as truth:
        moving = truth["moving"]
    print(
        "| disturbed | found, mean | worst camera | other pixels called moving | worst camera | |\n"
        "|---|---|---|---|---|---|"
    )
    for name in args.only:
        print(masks(name, videos, moving, list(range(1, len(videos)))), flush=True)
    if args.train:
        print("\n| disturbed | moving, dB | still, dB | temporal deviation | true |\n|---|---|---|---|---|")
        with tempfile.TemporaryDirectory(dir=ROOT.parent) as work:
            for name in args.only:
                print(trained(name, videos, moving, args.data, Path(work)), flush=True)


if __name__ == "__main__":
    main()
