"""Every camera shows the same moment in the same output frame, whatever its rate, its start and its container."""

import numpy as np
import pytest

from helpers.clips import H264, clip, ffmpeg_cli, folder, numbers
from mixdepth.errors import UserError
from mixdepth.frames.decode import read_frames
from mixdepth.frames.probe import probe_capture
from mixdepth.frames.timing import Timeline, Track, read_rate, read_track

ALL = {"start": 0, "count": None, "step": 1, "fps": None, "offsets": {}}
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
# Presentation times of frame N: 30 a second, then a pause, then 60 a second with some jitter.
UNEVEN = "setpts='if(lt(N,12),N/30,(12+6)/30+(N-12)/60+0.002*mod(N*7,3))/TB'"


def shown(videos, options, name) -> list[int]:
    """The numbers on the frames of camera ``name`` that the timeline takes, in two ways that must agree."""
    frames = Timeline.of(videos, {**ALL, **options}).source_frames(name)
    assert frames == numbers(read_frames(videos[name], frames))
    return frames


def uneven(path, count=24, codec=H264):
    """A video of variable rate, and the times of its frames."""
    clip(path, count, *codec, "-vf", f"settb=1/90000,{UNEVEN}", "-fps_mode", "passthrough", "-enc_time_base", "1/90000")
    n = np.arange(count)
    return path, np.where(n < 12, n / 30, 18 / 30 + (n - 12) / 60 + 0.002 * (n * 7 % 3))


# -------------------------------------------------------------------------------------- one rate, no offsets


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
@pytest.mark.parametrize("rate", ["30", "30000/1001", "12.5"])
def test_a_constant_rate_without_offsets_takes_the_selected_indices(tmp_path, name, rate):
    videos = {n: clip(tmp_path / f"{n}{name}", 20, *H264, "-bf", "2", rate=rate) for n in ("cam00", "cam01")}
    assert shown(videos, {}, "cam00") == list(range(20))
    assert shown(videos, {"start": 3, "step": 4}, "cam01") == [3, 7, 11, 15, 19]
    assert shown(videos, {"start": 2, "count": 5, "step": 3}, "cam01") == [2, 5, 8, 11, 14]


def test_rounded_timestamps_over_a_long_video_move_no_index():
    # Matroska: 29.97 frames a second in whole milliseconds, for 10 minutes.
    times = np.round(np.arange(18000) * 1001 / 30) / 1000
    for rate in (30000 / 1001, 29.97, None):
        track = Track(18000, rate, times, 0)
        assert not track.variable
        np.testing.assert_allclose(track.positions(30000 / 1001), np.arange(18000), atol=0.26)
    assert Track(18000, 30000 / 1001, times, 0).positions(30000 / 1001)[-1] == pytest.approx(17999)


# -------------------------------------------------------------------------------------------------- offsets


def test_offsets_line_shifted_videos_up(tmp_path):
    # Frame f of the event is frame f + 7 - offset... of each: cam00 starts 7 frames late, cam02 12 early.
    offsets = {"cam00": -7, "cam01": 0, "cam02": 12}
    videos = {n: clip(tmp_path / f"{n}.mp4", 40, start=12 - o) for n, o in offsets.items()}
    options = {**ALL, "offsets": {"cam00": -7, "cam02": 12}, "count": 21}
    seen = {n: numbers(read_frames(videos[n], Timeline.of(videos, options).source_frames(n))) for n in videos}
    assert seen["cam00"] == seen["cam01"] == seen["cam02"] == list(range(19, 40))
    options |= {"start": 2, "count": 4, "step": 5}
    seen = {n: numbers(read_frames(videos[n], Timeline.of(videos, options).source_frames(n))) for n in videos}
    assert seen["cam00"] == seen["cam01"] == seen["cam02"] == [21, 26, 31, 36]


def test_only_differences_of_offsets_matter_and_unused_cameras_do_not(tmp_path):
    video = clip(tmp_path / "v.mp4", 20)
    videos = {"cam00": video, "cam01": video}
    for offsets in ({"cam01": 5}, {"cam00": -5}, {"cam00": 100, "cam01": 105}, {"1": 5}, {"cam01": "0.16666667 s"}):
        assert shown(videos, {"offsets": offsets}, "cam00") == list(range(20))
        assert shown(videos, {"offsets": offsets}, "cam01") == list(range(5, 20))
    timeline = Timeline.of(videos, {**ALL, "offsets": {"cam09": -50}}, known=["cam00", "cam01", "cam09"])
    assert timeline.shifts == {"cam00": 0, "cam01": 0}


def test_offsets_in_seconds_and_in_parts_of_a_frame(tmp_path):
    videos = {"cam00": clip(tmp_path / "a.mp4", 20), "cam01": clip(tmp_path / "b.mp4", 40, rate="60")}
    # A frame of cam01 lasts half a frame of the common rate, 30 a second.
    assert shown(videos, {"offsets": {"cam01": "0.1 s"}}, "cam01") == list(range(6, 40, 2))
    assert shown(videos, {"offsets": {"cam01": 1.5}}, "cam01") == list(range(3, 40, 2))
    # Nearest; the earlier of two that are equally near.
    for offset, first in ((0.4, 0), (0.5, 0), (0.6, 1), ("+0.03 s", 1)):
        assert shown(videos, {"offsets": {"cam00": offset}, "count": 5}, "cam00") == list(range(first, first + 5))


def test_an_offset_for_no_camera_and_one_that_is_no_offset_are_refused(tmp_path):
    videos = dict.fromkeys(("cam00", "cam01"), clip(tmp_path / "v.mp4", 5))
    with pytest.raises(UserError, match=r"frames\.offsets: there is no camera cam07; there are cam00, cam01, cam02"):
        Timeline.of(videos, {**ALL, "offsets": {"cam07": 1}}, known=["cam02"])
    for offset in ("1 minute", "s", float("nan"), None):
        with pytest.raises(UserError, match=r"frames\.offsets\.cam01: .*expected a number of frames or a time"):
            Timeline.of(videos, {**ALL, "offsets": {"cam01": offset}})
    folders = {f"cam0{i}": folder(tmp_path / f"cam0{i}", 9) for i in range(2)}
    with pytest.raises(UserError, match=r"frames\.offsets\.cam01: '0\.1 s' is a time.*`frames\.fps`"):
        Timeline.of(folders, {**ALL, "offsets": {"cam01": "0.1 s"}})


# ---------------------------------------------------------------------------------------------------- rates


def test_mixed_rates_are_brought_to_the_lowest_and_no_frame_is_invented(tmp_path):
    rates = {"cam00": "25", "cam01": "30", "cam02": "60"}
    videos = {n: clip(tmp_path / f"{n}.mp4", int(r) * 4 // 5, rate=r) for n, r in rates.items()}
    timeline = Timeline.of(videos, ALL)
    assert timeline.fps == 25
    assert timeline.notes == [
        "the videos' rates differ (cam00 25, cam01 30, cam02 60 frames per second): of each the frame nearest in time "
        "is taken, at 25 frames per second (the lowest; set `frames.fps` for another)."
    ]
    assert shown(videos, {}, "cam00") == list(range(20))
    for name, rate in (("cam01", 30), ("cam02", 60)):
        frames = shown(videos, {}, name)
        assert len(frames) == 20
        assert len(set(frames)) == 20
        assert np.abs(np.array(frames) / rate - np.arange(20) / 25).max() <= 0.5 / rate + 1e-9


def test_a_rate_from_the_configuration_thins_out_or_repeats(tmp_path):
    videos = {"cam00": clip(tmp_path / "a.mp4", 20), "cam01": clip(tmp_path / "b.mp4", 40, rate="60")}
    assert shown(videos, {"fps": 10}, "cam00") == [0, 3, 6, 9, 12, 15, 18]
    assert shown(videos, {"fps": 10, "start": 1, "step": 2}, "cam01") == [6, 18, 30]
    assert shown(videos, {"fps": 60}, "cam01") == list(range(40))
    assert shown(videos, {"fps": 60, "count": 6}, "cam00") == [0, 0, 1, 1, 2, 2]
    assert any(
        "above the rate of cam00: their frames repeat" in note for note in Timeline.of(videos, {**ALL, "fps": 60}).notes
    )


def test_rates_that_hardly_differ_do_not_drift_apart(tmp_path):
    videos = {"a": clip(tmp_path / "a.mp4", 20), "b": clip(tmp_path / "b.mp4", 20, rate="30000/1001")}
    timeline = Timeline.of(videos, ALL)
    assert timeline.fps == pytest.approx(30000 / 1001)
    assert "differ (a 30, b 29.97 " in timeline.notes[0]
    # After 100 seconds the camera of 30 a second is 3 frames ahead of that of 29.97.
    for rate, nearest in ((30000 / 1001, 2996), (30.0, 2999)):
        track = Track(3000, rate, np.arange(3000) / rate, 0)
        assert np.abs(track.positions(timeline.fps) - 2996).argmin() == nearest


def test_a_last_frame_of_another_duration_does_not_change_the_rate(tmp_path):
    longer = "setts=pts=PTS:dts=DTS:duration=if(eq(N\\,29)\\,1.6*DURATION\\,DURATION)"
    video = clip(tmp_path / "a.mp4", 30, *H264, "-bf", "0", "-bsf:v", longer)
    assert read_rate(video) == 30
    assert shown({"a": video}, {}, "a") == list(range(30))


@pytest.mark.parametrize(("name", "codec"), [("v.mp4", H264), ("v.mkv", H264), ("v.webm", VP9)])
def test_of_a_variable_rate_the_frame_nearest_in_time_is_taken(tmp_path, name, codec):
    path, times = uneven(tmp_path / name, codec=codec)
    track = read_track(path)
    assert track.variable
    np.testing.assert_allclose(track.times, times, atol=1.1e-3)
    videos = {"cam00": clip(tmp_path / "even.mp4", 20), "cam01": path}
    for options in ({"fps": 30}, {"fps": 30, "offsets": {"cam01": 3}}, {"fps": 30, "start": 2, "step": 3}):
        frames = shown(videos, options, "cam01")
        wanted = options.get("start", 0) + np.arange(len(frames)) * options.get("step", 1)
        wanted = (wanted + Timeline.of(videos, {**ALL, **options}).shifts["cam01"]) / 30
        best = np.abs(times[None] - wanted[:, None]).min(1)
        assert (np.abs(times[frames] - wanted) <= best + 2e-3).all()
        assert frames == sorted(frames)
    with pytest.raises(UserError, match="videos of different length"):
        probe_capture(videos, {}, ALL | {"fps": 30})
    notes = probe_capture(videos, {}, ALL | {"fps": 30, "count": 18})["notes"]
    assert "cam01: its frame rate varies: of its frames the one nearest in time is taken." in notes


@pytest.mark.parametrize("lost", [1, 20, 38])
def test_one_frame_lost_anywhere_is_noticed_and_not_made_up_for_by_the_others(tmp_path, lost):
    video = clip(tmp_path / "v.mp4", 40, *H264, "-vf", f"select='not(eq(n,{lost}))'", "-fps_mode", "passthrough")
    track = read_track(video)
    assert (track.frames, track.variable) == (39, True)
    frames = Timeline.of({"v": video}, ALL | {"fps": 30}).source_frames("v")
    seen = numbers(read_frames(video, frames))
    assert seen == [n - (n == lost) for n in range(40)]


def test_two_rates_joined_are_variable(tmp_path):
    for name, rate in (("a", "30"), ("b", "60")):
        clip(tmp_path / f"{name}.mkv", 20, rate=rate)
    (tmp_path / "list.txt").write_text("file a.mkv\nfile b.mkv\n")
    ffmpeg_cli("-f", "concat", "-i", str(tmp_path / "list.txt"), "-c", "copy", str(tmp_path / "both.mp4"))
    track = read_track(tmp_path / "both.mp4")
    assert (track.frames, track.variable) == (40, True)
    np.testing.assert_allclose(np.diff(track.times), [1 / 30] * 20 + [1 / 60] * 19, atol=2e-3)


def test_a_delayed_start_and_an_edit_list_count_from_the_first_frame_shown(tmp_path):
    whole = clip(tmp_path / "whole.mp4", 30, *H264, "-g", "30", "-bf", "2")
    ffmpeg_cli("-ss", "0.3", "-i", str(whole), "-c", "copy", str(tmp_path / "edit.mp4"))
    ffmpeg_cli("-itsoffset", "0.5", "-i", str(whole), "-c", "copy", str(tmp_path / "late.mp4"))
    videos = {"edit": tmp_path / "edit.mp4", "late": tmp_path / "late.mp4"}
    seen = {n: numbers(read_frames(p, Timeline.of(videos, ALL).source_frames(n))) for n, p in videos.items()}
    assert seen == {"edit": list(range(9, 30)), "late": list(range(30))}


# -------------------------------------------------------------------------------------- folders, and lengths


def test_folders_of_images_count_by_index_with_and_without_a_rate(tmp_path):
    folders = {f"cam0{i}": folder(tmp_path / f"cam0{i}", 12) for i in range(2)}
    assert Timeline.of(folders, ALL).fps is None
    assert shown(folders, {"start": 1, "step": 3}, "cam00") == [1, 4, 7, 10]
    assert shown(folders, {"offsets": {"cam01": 4}}, "cam01") == list(range(4, 12))
    assert shown(folders, {"fps": 30, "offsets": {"cam01": "0.1 s"}}, "cam01") == list(range(3, 12))
    mixed = folders | {"cam02": clip(tmp_path / "cam02.mp4", 12, rate="20")}
    assert shown(mixed, {"offsets": {"cam01": "0.1 s"}}, "cam01") == list(range(2, 12))
    assert "the rate of cam00, cam01 is unknown" in Timeline.of(mixed, ALL).notes[0]


def test_a_video_that_is_too_short_says_what_would_fit(tmp_path):
    videos = {"cam00": clip(tmp_path / "a.mp4", 20), "cam01": clip(tmp_path / "b.mp4", 12)}
    timeline = Timeline.of(videos, ALL | {"start": 1, "count": 10, "step": 2})
    assert len(timeline.source_frames("cam00")) == 10
    expected = r"b\.mp4: cam01 has 12 frames.*start 1, count 10, step 2 needs 20.*`frames\.count` to 6 or less"
    with pytest.raises(UserError, match=expected):
        timeline.source_frames("cam01")
    with pytest.raises(UserError, match=r"cam01 has 12 .*smaller `frames\.start`"):
        Timeline.of(videos, ALL | {"start": 12}).source_frames("cam01")


def test_the_other_videos_are_not_read_beyond_their_headers(tmp_path):
    first = clip(tmp_path / "a.mp4", 12)
    other = clip(tmp_path / "b.mp4", 60, *H264, "-movflags", "+faststart", size=(640, 480))
    videos = {"cam00": first, "cam01": other}
    before = Timeline.of(videos, ALL).source_frames("cam00")
    content = other.read_bytes()
    other.write_bytes(content[: content.index(b"mdat") + 2000])
    assert Timeline.of(videos, ALL).source_frames("cam00") == before == list(range(12))


def test_a_video_without_timestamps_counts_by_index():
    track = Track(10, 25.0, None, 0)
    assert not track.variable
    np.testing.assert_allclose(track.positions(50), np.arange(10) * 2)
    np.testing.assert_allclose(Track(10, None, None, 0).positions(50), np.arange(10))
