"""The sections of the rules, and the stages that they are taken from."""

import contextlib
import inspect
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.captures import capture
from helpers.checkout import REPOSITORY
from mixdepth.errors import DamagedFile
from mixdepth.files.certificate import certify
from mixdepth.results import MODEL_FILES, Results
from mixdepth.scene.config import Scenes, load_config
from mixdepth.workflow import segments, stages
from mixdepth.workflow.dates import check_dates
from mixdepth.workflow.graph import AFTER, PHOTOS, SIZES, SOURCE, Job, flat, given
from mixdepth.workflow.made import made_from, outdated, roles
from mixdepth.workflow.sections import Sections
from mixdepth.workflow.stages import STAGES
from mixdepth.workflow.versions import STAGE_VERSIONS

OTHERS = {
    "camera": "cam01", "variant": "inherited", "path": "spiral", "source": "renders", "name": "cam01", "kind": "png",
    "segment": "0",
}  # fmt: skip


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    """A scene of COLMAP's cameras with photos, and one of given ones with none."""
    given = capture(tmp_path / "given", cameras=4)
    options = {
        "found": {"data": str(capture(tmp_path / "found", cameras=4, photos=3)), "ablation": {"cameras": [2]}},
        "given": {"data": str(given), "poses": {"source": "llff"}, "variants": ["none", "colmap"]},
    }
    return load_config({"scenes": options})


def sections_of(name: str, scenes: Scenes) -> Sections:
    return Sections(name, scenes, "found|given")


def wildcards(name: str, scene: str) -> SimpleNamespace:
    return SimpleNamespace(scene=scene, **{key: OTHERS[key] for key in STAGES[name].wildcards})


@pytest.mark.parametrize("name", STAGES)
def test_every_rule_asks_for_memory_and_time_and_knows_its_version(name: str, scenes: Scenes) -> None:
    at, of = sections_of(name, scenes), wildcards(name, "found")
    assert at.resources["mem_mb"](of, {}, 1) > 0
    assert at.resources["mem_mb"](of, {}, 2) > at.resources["mem_mb"](of, {}, 1)
    assert at.resources["runtime"](of, {}, 1) > 0
    assert at.params["version"] == STAGE_VERSIONS[STAGES[name].version]
    assert all(f"{{{key}}}" in at.log and f"{{{key}}}" in at.benchmark for key in ("scene", *STAGES[name].wildcards))


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_has_a_script_and_a_rule(name: str) -> None:
    script = "report" if name == "report_html" else name
    assert (REPOSITORY / f"workflow/scripts/{script}.py").is_file()
    rules = "\n".join(path.read_text() for path in (REPOSITORY / "rules").glob("*.smk"))
    assert f'at = rule_of("{name}"' in rules
    assert f"{'checkpoint' if name == 'movement' else 'rule'} {name}:" in rules


def test_who_trains_is_told_to_a_job_and_makes_nothing_anew(scenes: Scenes) -> None:
    """Snakemake counts params that are functions of the input among the consequences of it."""
    params = sections_of("train_dynamic", scenes).params
    assert "input" in inspect.signature(params["scene"]).parameters
    told = params["scene"](wildcards("train_dynamic", "found"), input=None)
    assert told["train_cameras"] == ["cam01", "cam02", "cam03"]
    assert "options" not in told


def test_files_of_the_capture_are_where_the_configuration_says_below_any_prefix(scenes: Scenes) -> None:
    named = sections_of("frame_store", scenes)._inputs(wildcards("frame_store", "found"))
    assert named[SOURCE].flags == {"local": True}
    assert all(path.flags == {"local": True, "ancient": True} for path in named[SIZES])
    assert not hasattr(named["cameras"], "flags")


def test_the_record_has_every_file_behind_a_scene_s_targets_once(scenes: Scenes) -> None:
    results = Results("results/found")
    recorded = stages.recorded(results, scenes["found"])
    assert len(recorded) == len(set(recorded))
    assert set(recorded) >= {*results.sfm_model, results.space, results.held_out_depth, results.static_depth}
    assert not {results.provenance, results.report, results.viewer, results.held_out_report} & set(recorded)
    given = stages.recorded(Results("results/given"), scenes["given"])
    assert not [path for path in given if "static" in path.parts or "sfm" in path.parts]
    assert Results("results/given").held_out_report in given


def test_stages_stand_in_the_order_in_which_they_depend_on_each_other(scenes: Scenes) -> None:
    for name in ("found", "given"):
        made, results = set(), Results(f"results/{name}")
        for job in stages.jobs(scenes[name]):
            named = job.reads(results, scenes[name])
            own = (SOURCE, PHOTOS, SIZES)
            asked = {path for key, value in named.items() if key not in own for path in stages.flat({key: value})}
            assert asked <= made, job.stage.name
            made |= set(stages.flat(job.makes(results)))


def test_none_and_colmap_never_read_the_static_model(scenes: Scenes) -> None:
    results, scene = Results("results/found"), scenes["found"]
    for variant, depth in (("none", set()), ("colmap", {results.colmap_depth})):
        named = STAGES["train_dynamic"].reads(results, scene, variant=variant)
        assert not [path for path in stages.flat(named) if "static" in path.parts]
        assert {named[key] for key in ("sparse", "static_depth", "static") if key in named} == depth


def test_a_derived_scene_shares_what_does_not_depend_on_its_cameras_and_seed(scenes: Scenes) -> None:
    member = scenes.results("ablation/found.c2.s0")
    own, rig, base = (Results(f"results/{name}") for name in ("ablation/found.c2.s0", "ablation/found.c2", "found"))
    assert (member.cameras, member.store("a").rgb, member.static_set) == (
        base.cameras,
        base.store("a").rgb,
        base.static_set,
    )
    assert (member.space, member.colmap_depth, member.cameras_report) == (
        rig.space,
        rig.colmap_depth,
        rig.cameras_report,
    )
    assert (member.model("none"), member.static_depth) == (own.model("none"), own.static_depth)
    assert scenes.results("found").folder == base.folder


def test_colmap_s_models_are_named_once() -> None:
    assert [path.name for path in Results("x").sfm_model] == list(MODEL_FILES)


def test_functions_are_given_results_alone(scenes: Scenes) -> None:
    named = STAGES["evaluate"].reads(Results("results/found"), scenes["found"], variant="none")
    assert AFTER in named
    assert set(given(named)) == set(named) - {SOURCE, SIZES, AFTER}
    assert roles(scenes["found"])["data"] == str(scenes["found"].data)


def write_frames(folder: Path, count: int) -> Scenes:
    """A scene of two cameras with so many frames each, empty files."""
    for name in ("cam00", "cam01", "cam02"):
        (folder / "videos" / name).mkdir(parents=True)
        for frame in range(count):
            (folder / "videos" / name / f"{frame:03d}.png").touch()
    return load_config({"scenes": {"found": {"data": str(folder)}}})


def looks(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """How often each file is looked at from now on."""
    looked: Counter = Counter()
    scan, plain = os.scandir, os.stat

    class Entry:
        """An entry of a folder that counts how often its file is asked for."""

        def __init__(self, entry: os.DirEntry):
            self.entry, self.name, self.path = entry, entry.name, entry.path
            self.is_dir, self.is_file = entry.is_dir, entry.is_file

        def stat(self) -> os.stat_result:
            looked[self.path] += 1
            return self.entry.stat()

    @contextlib.contextmanager
    def counted(path: Path) -> Iterator[Iterator[Entry]]:
        with scan(path) as entries:
            yield map(Entry, entries)

    def stat(path: Path, **options: bool) -> os.stat_result:
        looked[str(path)] += 1
        return plain(path, **options)

    monkeypatch.setattr(os, "scandir", counted)
    monkeypatch.setattr(os, "stat", stat)
    return looked


def test_a_folder_of_frames_is_one_input_and_each_of_its_files_is_looked_at_twice_at_most(tmp_path, monkeypatch):
    scenes = write_frames(tmp_path, 50)
    looked = looks(monkeypatch)
    check_dates(scenes["found"].files, tmp_path / "results")
    every = [
        job
        for job in stages.jobs(scenes["found"])
        if SOURCE in job.stage.reads(Results("r"), scenes["found"], **job.wildcards)
    ]
    inputs = [file for job in every for file in flat(job.reads(Results("r"), scenes["found"]))]
    assert len([file for file in inputs if file.suffix == ".png"]) == 6  # two jobs of each camera
    frames = {path: count for path, count in looked.items() if path.endswith(".png")}
    assert len(frames) == 150
    assert max(frames.values()) <= 2


def test_photos_of_a_folder_are_one_input_of_each_job_and_are_looked_at_twice_at_most(tmp_path, monkeypatch):
    data = capture(tmp_path, cameras=3, photos=50)
    looked = looks(monkeypatch)
    scenes = load_config({"scenes": {"found": {"data": str(data), "test_photos_every": 5}}})
    scene = scenes["found"]
    check_dates(scene.files, tmp_path / "results")
    every = [job for job in stages.jobs(scene) if job.stage.photos]
    assert len(every) == 6
    for job in every:
        named = sections_of(job.stage.name, scenes)._inputs(SimpleNamespace(scene="found", **job.wildcards))
        assert len(named[PHOTOS]) == 1
        assert outdated(job, scene, Results("r")) == ""
    photos = {path: count for path, count in looked.items() if path.endswith(".jpg")}
    assert len(photos) == 50
    assert sorted(photos.values())[-2] <= 2  # but for the first one, which tells that photos lie here


def test_a_photo_redoes_what_reads_it_and_nothing_else(tmp_path):
    def seen() -> dict[str, tuple]:
        scenes = load_config({"scenes": {"found": {"data": str(tmp_path), "test_photos_every": 2}}})
        found = {}
        for job in stages.jobs(scenes["found"]):
            at, of = sections_of(job.stage.name, scenes), SimpleNamespace(scene="found", **job.wildcards)
            paths = at._inputs(of).get(PHOTOS, [])
            found[job.stage.name] = (
                at.params.get("images", str)(of),
                paths,
                [Path(path).stat().st_mtime for path in paths],
            )
        return found

    def redone(change: Callable[[], object]) -> set[str]:
        before = seen()
        change()
        now = seen()
        return {name for name in now if now[name] != before[name]}

    photos = capture(tmp_path, cameras=3, photos=6) / "photos"  # photo00, photo02 and photo04 are held out
    for path in photos.iterdir():
        os.utime(path, (1e9, 1e9))
    found, training = {"probe", "structure_from_motion"}, {"triangulate", "held_out_points", "static_set"}
    assert redone(lambda: (photos / "notes.txt").touch()) == set()
    assert redone(lambda: (photos / "photo02.jpg").touch()) == found | {"static_test_set"}
    assert redone(lambda: (photos / "photo01.jpg").touch()) == found | training
    assert redone(lambda: (photos / "photo03.jpg").touch()) == found | training
    everything = found | training | {"cameras", "static_test_set"}
    assert redone(lambda: (photos / "photo04.jpg").unlink()) == everything
    assert redone(lambda: (photos / "photo06.jpg").touch()) >= found | {"cameras"}


def test_photos_that_the_configuration_lists_are_inputs_each(tmp_path):
    """Rules of others may make them."""
    data = capture(tmp_path, cameras=3, photos=2)
    listed = [f"photo{number:02d}.jpg" for number in range(4)]
    scenes = load_config({"scenes": {"found": {"data": str(data), "photo_files": listed}}})
    for name in ("probe", "static_set"):
        at, of = sections_of(name, scenes), wildcards(name, "found")
        assert at._inputs(of)[PHOTOS] == [f"{data}/photos/{photo}" for photo in listed]
        assert at.params["images"](of) == ""
    assert len(sections_of("cameras", scenes)._inputs(wildcards("cameras", "found"))[SIZES]) == 7


def test_a_frame_that_is_added_removed_renamed_or_changed_is_noticed(tmp_path):
    def seen() -> tuple:
        scenes = load_config({"scenes": {"found": {"data": str(tmp_path)}}})
        for name in ("reference", "frame_store"):
            at, of = sections_of(name, scenes), wildcards(name, "found")
            found = at._inputs(of)["source"], at.params["images"](of), Path(at._inputs(of)["source"]).stat().st_mtime_ns
        return found

    write_frames(tmp_path, 5)
    folder, known = tmp_path / "videos" / "cam01", []
    known.append(seen())
    assert seen() == known[0]
    (folder / ".DS_Store").touch()
    (folder / "notes.txt").touch()
    assert seen() == known[0]
    for change in (
        lambda: (folder / "005.png").touch(),
        lambda: (folder / "000.png").unlink(),
        lambda: (folder / "001.png").rename(folder / "000.png"),
        lambda: os.utime(folder / "002.png", (2e9, 2e9)),
    ):
        change()
        known.append(seen())
    assert len(set(known)) == 5


@pytest.mark.parametrize("name", ["verify_held_out", "held_out_points"])
def test_what_is_made_of_the_held_out_cameras_depends_on_which_these_are(tmp_path, name):
    data = str(capture(tmp_path, cameras=4))
    found = []
    for camera in ("cam01", "cam02"):
        options = {"data": data, "poses": {"source": "llff"}, "test_cameras": [camera]}
        scenes = load_config({"scenes": {"given": options}})
        found.append(sections_of(name, scenes).params["settings"](wildcards(name, "given")))
    assert found[0] != found[1]


def dynamic(tmp_path: Path, **options: object) -> tuple[Scenes, Results]:
    """A scene ``x`` with these options in `dynamic`, and where its results lie; of them there is a capture.json of 100
    frames."""
    data = str(capture(tmp_path / "data", cameras=4))
    scenes = load_config({"scenes": {"x": {"data": data, "poses": {"source": "llff"}, "dynamic": options}}})
    results = Results(tmp_path / "results/x")
    results.folder.mkdir(parents=True)
    results.capture.write_text(json.dumps({"selected": 100}))
    return scenes, results


@pytest.mark.parametrize(
    ("options", "frames", "told"),
    [
        ({"segment": 100}, 100, 1),
        ({"segment": 40}, 100, 3),
        ({"segment": None}, 100_000, 1),
        ({}, 30, 1),  # no segment is shorter
        ({}, 31, None),
        ({"segment": 40}, None, None),  # what older versions of probe leave
    ],
)
def test_how_many_segments_there_are_is_foretold_where_the_settings_or_the_frames_say_it(
    tmp_path: Path, options: dict, frames: int | None, told: int | None
) -> None:
    scenes, results = dynamic(tmp_path, **options)
    results.capture.write_text(json.dumps({"selected": frames} if frames else {}))
    assert segments.foretold(results, scenes["x"], "none") == told
    results.capture.unlink()
    assert segments.foretold(results, scenes["x"], "none") is None


def test_a_capture_json_that_is_about_to_change_foretells_nothing(tmp_path: Path) -> None:
    scenes, results = dynamic(tmp_path, segment=40)
    scene = scenes["x"]
    own = replace(scene, options=STAGES["probe"].settings(scene))
    certify([results.capture], made_from(STAGES["probe"], own, {}, {"output": results.capture}))
    found = outdated(Job.of("probe"), scene, results)
    assert "made from other files" in found
    assert segments.foretold(results, scene, "none") is None


def test_what_moves_says_how_many_segments_there_are(tmp_path: Path) -> None:
    scenes, results = dynamic(tmp_path)
    scene, moving = scenes["x"], {"across": 40.0, "runs": [[3, 0.05], [25, 0.1], [50, 0.14], [100, 0.4]], "pixels": 1e5}
    assert segments.known(results, scene, "none") is None
    assert not set(Job.of("train_dynamic", variant="none").reads(results, scene)) & {"parts"}
    results.movement.write_text(json.dumps({**moving, "frames": 100}))
    assert segments.known(results, scene, "none") == 3  # of 50 frames at most
    parts = Job.of("train_dynamic", variant="none").reads(results, scene)["parts"]
    assert parts == [results.branch("none"), *(results.segment("none", part) for part in range(3))]
    for damaged in ("{}", '{"runs": 3}', "["):
        results.movement.write_text(damaged)
        with pytest.raises(DamagedFile, match=r"movement.json: damaged .* Delete it"):
            segments.known(results, scene, "none")


def test_a_variant_of_several_segments_waits_for_all_of_them(tmp_path: Path) -> None:
    """And what it learns from is known before how many they are."""
    scenes, results = dynamic(tmp_path)
    results.movement.write_text(json.dumps({"across": 40.0, "runs": [[100, 0.1]], "pixels": 1e5, "frames": 100}))
    asked: list[Results] = []

    def movement(of: Results) -> Path:
        asked.append(of)
        return results.movement

    at = Sections("train_dynamic", scenes, "x", movement=movement)
    of = SimpleNamespace(scene="x", variant="colmap")
    assert "parts" not in at._inputs(of)
    assert "results/x/movement.json" in at._inputs(of).values()
    assert not asked
    assert at._parts(of)["parts"] == [f"results/x/colmap/segments/{part}.safetensors" for part in ("static", 0, 1)]
    assert [one.folder for one in asked] == [Path("results/x")]
