"""Long captures train in overlapping segments in front of one static branch, and are shown as one video."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from helpers.tiny import FRAMES, HEIGHT, WIDTH, tiny_config, write_tiny_capture
from helpers.training import CUBE, blinking
from mixdepth.cameras.camera import load_cameras
from mixdepth.cli import parser as cli
from mixdepth.errors import DamagedFile
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.region import Region
from mixdepth.fields.static import StaticField
from mixdepth.fields.storage import join_models, load_model, save_model
from mixdepth.files.io import read_json
from mixdepth.frames.motion import find_motion
from mixdepth.rendering.mixed_view import blend
from mixdepth.rendering.tasks import render_depths, shares
from mixdepth.scene.sizes import OVERLAP
from mixdepth.train import tasks
from mixdepth.train.segments import segments
from mixdepth.train.video import Video


@pytest.mark.parametrize(("frames", "longest"), [(301, 300), (600, 300), (5000, 300), (40, 17), (5, 3), (4, 2)])
def test_segments_cover_every_frame_overlap_and_are_no_longer_than_asked(frames: int, longest: int):
    found = segments(frames, longest)
    overlap = min(OVERLAP, longest // 2)
    assert (found[0][0], found[-1][1]) == (0, frames)
    assert len({last - first for first, last in found}) == 1
    assert found[0][1] <= longest
    shared = [before[1] - after[0] for before, after in itertools.pairwise(found)]
    assert min(shared) >= overlap
    assert len(found) <= -(-(frames - overlap) // (longest - overlap)), "no more than are needed"


def test_a_short_capture_is_one_segment():
    assert segments(300, 300) == segments(300, None) == [(0, 300)]


def test_what_stands_still_in_a_segment_but_not_in_the_static_branch_moves_there():
    video = blinking()[0]
    rgb = np.concatenate([np.repeat(video.rgb[:1], 12, 0), np.repeat(video.rgb[1:2], 6, 0)])  # comes and stays
    video = Video.of(video.camera, rgb, find_motion(rgb))
    part = video.frames(12, 18)
    assert (part.rgb == rgb[12:]).all()
    assert (part.colours[part.places] == rgb[12:, part.moving].swapaxes(0, 1)).all()
    assert part.plate is video.plate
    assert rgb[12:].std(0).max() == 0, "nothing changes in this segment"
    assert part.moving[8, 12]
    assert not part.moving[0, 0]
    assert not video.frames(0, 12).moving.any()


def test_joined_models_hold_what_their_parts_hold(tmp_path: Path):
    generator = torch.Generator().manual_seed(0)
    static = StaticField(8, 2, 3, 8, 3, generator=generator)
    parts = [tmp_path / "static"]
    save_model(parts[0], {}, static=static)
    fields = []
    for index in range(3):  # an odd number of single bytes must not shift what follows it
        region = Region(torch.randint(2**7, (5, 5, 5), generator=generator), *CUBE, 7)
        fields.append(DynamicField(region, 6, 2, 3, 5, generator))
        parts.append(tmp_path / f"{index}")
        save_model(parts[-1], {}, **{f"dynamic{index or ''}": fields[-1]})
    for name in ("one", "two"):
        join_models(tmp_path / name, {"a": 1}, parts)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    safetensors.torch.load_file(tmp_path / "one")  # by the format's own reader: no holes, nothing twice
    for index, field in enumerate(fields):
        header, static_again, again = load_model(tmp_path / "one", index)
        assert header == {"a": 1}
        for expected, found in ((static, static_again), (field, again)):
            for key, value in expected.state_dict().items():
                assert torch.equal(value, found.state_dict()[key]), key


def test_parts_that_are_not_those_of_the_capture_are_refused(tmp_path: Path):
    branch, parts = tmp_path / "static.safetensors", [tmp_path / f"{index}.safetensors" for index in range(2)]
    static = StaticField(8, 2, 3, 8, 3, generator=torch.Generator().manual_seed(0))
    header = {"cameras": ["a"], "hull": {"moving_share": {"a": 0.1}}, "segments": [[0, 3], [1, 4]]}
    save_model(branch, header, static=static)
    told = {"moving": [0.1], "explained": [0.5], "psnr": 20.0}
    region = Region(torch.zeros(5, 5, 5, dtype=torch.int64), *CUBE, 3)
    for index, part in enumerate(parts):
        save_model(part, told, **{f"dynamic{index or ''}": DynamicField(region, 6, 2, 3, 5)})
    with pytest.raises(DamagedFile, match="there are 2 segments, and 1 were planned"):
        tasks._join(tmp_path / "model", [branch, parts[0]])
    tasks._join(tmp_path / "model", [branch, *parts])
    joined = load_model(tmp_path / "model", 1)[0]
    assert joined["training_psnr"] == 20.0
    assert joined["segments"] == header["segments"]


def test_one_segment_fades_into_the_next():
    before = np.full((3, 1, 1, 3), 100, np.uint8), np.ones((3, 1, 1), np.float32)
    after = np.full((3, 1, 1, 3), 200, np.uint8), np.full((3, 1, 1), 2, np.float32)
    (_, _, first), (index, _, share) = shares([(0, 6), (3, 9)], np.arange(9))
    assert (first == 1).all()
    assert index.tolist() == [3, 4, 5, 6, 7, 8]
    assert (share[3:] == 1).all()
    blend(before, after, share[:3])
    assert before[0][:, 0, 0, 0].tolist() == [125, 150, 175]
    assert before[1].ravel().tolist() == [1, 1, 2]


@pytest.mark.slow
def test_an_interrupted_capture_of_segments_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, monkeypatch):
    folder = write_tiny_capture(tmp_path)
    config = tiny_config(variants=["none"])
    config["scenes"]["x"]["dynamic"]["segment"] = 3
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(folder)
    assert cli.main(["--config", "config.yaml", "prepare"]) == 0
    train, output, trained = tasks.train_dynamic_field, Path("results/x/none/model.safetensors"), []

    def interrupted(videos, *rest):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(len(videos[0].rgb))
        return train(videos, *rest)

    monkeypatch.setattr(tasks, "train_dynamic_field", interrupted)
    assert cli.main(["train", "none"]) == 130
    assert not output.exists()

    def counted(videos, *rest):
        trained.append(len(videos[0].rgb))
        return train(videos, *rest)

    monkeypatch.setattr(tasks, "train_dynamic_field", counted)
    assert cli.main(["train", "none"]) == 0
    assert trained == [3, 3], "the first segment is not trained again"
    assert load_model(output)[0]["segments"] == [[0, 3], [1, 4]]
    kept = output.read_bytes()
    assert not list(Path("results/x/runs").rglob("*.safetensors"))
    shutil.rmtree("results/x/runs")
    assert cli.main(["train", "none", "--force"]) == 0
    assert output.read_bytes() == kept
    assert cli.main(["render", "none"]) == 0
    rgb, depth = (np.load(f"results/x/none/renders/cam00/{name}.npy") for name in ("rgb", "depth"))
    assert rgb.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert np.isfinite(depth).all()
    assert depth.min() > 1
    assert cli.main(["evaluate", "none"]) == 0
    # Scores render a few frames of other cameras by the same rules, without compiling.
    camera = load_cameras(Path("results/x/cameras.json"))["cam00"]
    again = render_depths({"cam00": camera}, range(FRAMES), model=output, space=Path("results/x/space.json"))["cam00"]
    assert np.isclose(again, depth, rtol=1e-4).mean() > 0.99
    assert read_json(Path("results/x/none/metrics.json"))["depth_consistency"]["pixels"] > 1000
