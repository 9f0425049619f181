"""`mixdepth view`: the models from where one looks, with rig, points and rendered clouds, in a browser, by viser."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from mixdepth.cameras.camera import Camera, load_cameras, moved
from mixdepth.cameras.formats.camera_path import write_camera_path
from mixdepth.cameras.space import Space
from mixdepth.errors import UserError
from mixdepth.fields.storage import model_header
from mixdepth.files.io import read_json
from mixdepth.rendering.paths import LEG, Clock, frame_rate, visited
from mixdepth.rendering.progressive import Model, View
from mixdepth.rendering.static_view import smaller
from mixdepth.results import Results
from mixdepth.scene.scene import Scene
from mixdepth.variants import VARIANTS
from mixdepth.viewer.guard import private_server
from mixdepth.viewer.rig import Surroundings, open_clouds, size_of, sparse_points, stand
from mixdepth.viewer.screen import Screen, Wish, eye_of, seen_from
from mixdepth.words import counted

if TYPE_CHECKING:
    import viser

IDLE = 0.02  # seconds between two looks at the controls, where there is nothing else to do
ALONE = 0.5  # seconds between two looks for somebody who looks
GRACE = 0.05  # seconds that a picture is worked on after it was shown, before time goes on
QUALITY = 90  # of the JPEG that is sent
MOST_STOPS = 100  # views of a camera path, and buttons pressed at once


def view_scene(scene: Scene, variant: str, results: Results, port: int) -> None:
    """Serve the scene on ``port`` of this machine (the next free one, where it is taken) until interrupted.

    Only who knows the address that is printed is shown it, see ``mixdepth.viewer.guard``.
    """
    live, address = open_view(scene, variant, results, port)
    print(f"{address} (for you alone; stop with Ctrl-C)", flush=True)
    try:
        live.run()
    finally:
        live.server.stop()


def open_view(scene: Scene, variant: str, results: Results, port: int) -> tuple["Live", str]:
    """Say what there is to see, and have it served; returns what does so, and the address.

    Raises:
        UserError: a model or renders are damaged, or not those of the scene's cameras.
    """
    cameras = load_cameras(results.cameras)
    start = cameras.get(scene.video_camera, next(iter(cameras.values())))
    clouds = open_clouds(results.renders(variant, scene.video_camera).folder.parent, cameras)
    points = sparse_points(results.sparse / "points3D.bin")
    models = [name for name in VARIANTS if results.model(name).exists()]
    lengths = [model_header(results.model(name))["segments"][-1][1] for name in models]
    frames = max([*lengths, clouds.frames if clouds else 1])
    fps = read_json(results.capture)["fps"] if results.capture.exists() else None
    clock = Clock(frames, frame_rate(fps, scene.config.frames.step, frames))

    @cache
    def open_model(name: str) -> Model:
        return Model(results.model(name), results.space)

    if variant in models:
        # Compiles, before somebody waits for it.
        for _ in View(open_model(variant), smaller(start)).pictures(0):
            pass
    told = [counted(len(cameras), "camera"), counted(0 if points is None else len(points), "point")]
    told += [
        f"{counted(len(clouds.cameras), 'rendered view')} of {variant}" if clouds else f"no renders of {variant} yet"
    ]
    told += [f"models: {', '.join(models)}" if models else "no model yet"]
    print(f"{scene.name}: {', '.join(told)}")
    server, address = private_server(f"mixdepth: {scene.name}", port)
    surroundings = Surroundings(server, scene, cameras, points, clouds)
    space = Space.load(results.space) if models else None
    stand(server, start, cameras, space if variant in models else None)
    controls = Controls(server, models, variant, clock, size_of(cameras))
    recording = Recording(results, clock, space.origin if space else np.zeros(3))
    return Live(server, controls, Screen(open_model), surroundings, recording, start.height), address


class Controls:
    """What the page can change: numbers, which :func:`within` holds to their bounds, and whether something is so.

    Args:
        models: the variants that have one.
        variant: the one that is shown first.
        size: a small length, world units.
    """

    def __init__(self, server: "viser.ViserServer", models: Sequence[str], variant: str, clock: Clock, size: float):
        gui = server.gui
        self.clicks: deque[tuple[str, viser.ClientHandle | None]] = deque(maxlen=MOST_STOPS)
        self.frame = gui.add_slider("Frame", 0, max(clock.frames - 1, 1), 1, 0)
        # A picture that stands still becomes sharp.
        self.playing = gui.add_checkbox("Play", variant not in models)
        self.speed = gui.add_slider("Frames per second", 1, 60, 1, min(max(round(clock.fps), 1), 60))
        with gui.add_folder("Models", visible=bool(models)):
            self.variants = {name: gui.add_checkbox(name, name == variant) for name in models}
            self.depth = gui.add_checkbox("Depth", False, hint="near is red, far is blue")
        with gui.add_folder("Cameras and points"):
            self.rig = gui.add_checkbox("Show them", variant not in models)
            self.point = gui.add_slider("Point size", 0.25 * size, 8 * size, 0.25 * size, 1.5 * size)
        with gui.add_folder("Camera path", visible=bool(models)):
            self._add_button(gui.add_button("Add this view"))
            self._add_button(gui.add_button("Write"))
            self.told = gui.add_markdown(f"{LEG:g} s from view to view")

    def _add_button(self, button: "viser.GuiButtonHandle") -> None:
        """Note by whom it is pressed: what there is to do waits until what goes on has come to an end."""
        button.on_click(lambda event: self.clicks.append((button.label, event.client)))

    @property
    def shown(self) -> tuple[str, ...]:
        """The variants that are ticked."""
        return tuple(name for name, box in self.variants.items() if box.value)


class Recording:
    """Views one after the other, and the camera path that goes from each to the next.

    Args:
        origin: of the space, [3]: what coordinates that leave have more than ours.
    """

    def __init__(self, results: Results, clock: Clock, origin: Sequence[float] | np.ndarray):
        self.results, self.clock, self.origin = results, clock, np.array(origin)
        self.stops: list[tuple[Camera, int]] = []

    def add(self, camera: Camera, frame: int) -> str:
        """Add a view of a frame; returns what there is to say of it."""
        if len(self.stops) < MOST_STOPS:
            self.stops.append((camera, frame))
        return f"{counted(len(self.stops), 'view')}, {LEG * (len(self.stops) - 1):g} s"

    def write(self) -> str:
        """Write a camera_path.json, and begin a new path; returns what there is to say of it."""
        if len(self.stops) < 2:
            return "A path takes two views"
        cameras, frames = zip(*self.stops, strict=True)
        path = visited(cameras, frames, self.clock.fps)
        outside = [replace(camera, c2w=moved(camera.c2w, self.origin)) for camera in path.cameras]
        file = self.results.recorded(datetime.now().strftime("%Y-%m-%d-%H%M%S")).absolute()
        try:
            write_camera_path(file, outside, path.fps, path.times / max(self.clock.frames - 1, 1))
        except (OSError, UserError) as error:  # results of others, which cannot be written to
            return f"Not written: {error}"
        self.stops = []
        told = f'{len(outside)} frames, in the configuration: `paths: {{mine: {{kind: file, file: "{file}"}}}}`'
        print(told, flush=True)
        return told


class Live:
    """What the controls ask for, while somebody looks; of several pages, for the one that moved last.

    Args:
        lines: rows of the largest picture: what the cameras have.
    """

    def __init__(
        self,
        server: "viser.ViserServer",
        controls: Controls,
        screen: Screen,
        surroundings: Surroundings,
        recording: Recording,
        lines: int,
    ):
        self.server, self.controls, self.screen, self.recording = server, controls, screen, recording
        self.surroundings, self.lines = surroundings, lines
        self.due = 0.0  # when time goes on
        self.asked: tuple[viser.ClientHandle, Wish] | None = None
        self.work: Iterator[np.ndarray | None] = iter(())
        self.begun = True  # whether a picture of what was asked for has been shown

    def run(self) -> None:
        """Go on until interrupted."""
        while True:
            self.step()

    def step(self) -> None:
        """Do what is to be done first, or wait a little."""
        clients = self.server.get_clients().values()
        if not clients:
            self.asked, self.work, self.begun = None, iter(()), True
            time.sleep(ALONE)
            return
        self._play()
        self._surround()
        self._record()
        self._ask(max(clients, key=lambda client: client.camera.update_timestamp))
        if not self._work():
            time.sleep(IDLE)

    @property
    def frame(self) -> int:
        """The one that the slider is at."""
        return min(int(within(self.controls.frame)), self.recording.clock.frames - 1)

    def _play(self) -> None:
        """Let time go on, but not before what it is was shown."""
        now = time.monotonic()
        if self.controls.playing.value and self.begun and now >= self.due:
            self.due = now + 1 / within(self.controls.speed)
            # viser's setter does not follow its getter, so that mypy misses it.
            self.controls.frame.value = (self.frame + 1) % self.recording.clock.frames  # type: ignore[misc]

    def _surround(self) -> None:
        """Show cameras and points where they are asked for, and one picture is behind them, which they fit."""
        visible = bool(self.controls.rig.value) and len(self.controls.shown) < 2
        self.surroundings.show(visible, self.frame, within(self.controls.point))

    def _record(self) -> None:
        """Do what the buttons ask for."""
        while self.controls.clicks:
            text, client = self.controls.clicks.popleft()
            if text == "Write":
                self.controls.told.content = self.recording.write()
            elif client and (camera := seen_from(client.camera, self.lines)):
                self.controls.told.content = self.recording.add(camera, self.frame)

    def _ask(self, client: "viser.ClientHandle") -> None:
        """Ask for what is wanted now; not before there was a picture of what was wanted before, so that who moves all
        the time sees something too."""
        camera = seen_from(client.camera, self.lines)
        if camera is None or not self.begun:
            return
        wish = Wish(self.controls.shown, self.frame, bool(self.controls.depth.value), eye_of(camera), camera)
        if (client, wish) == self.asked:
            return
        self.asked, self.begun = (client, wish), not wish.variants
        self.work = self.screen.pictures(wish) if wish.variants else iter(())
        if not wish.variants:
            client.scene.set_background_image(None)

    def _work(self) -> bool:
        """Do a part of what was asked for, and show what comes of it; whether there was something to do."""
        if self.asked is None:
            return False
        client, _ = self.asked
        try:
            picture = next(self.work)
        except StopIteration:
            return False
        except UserError as error:  # a model that is damaged, or was trained anew meanwhile
            client.add_notification("Not shown", str(error), color="red")
            self.begun = True
            return True
        if picture is not None:
            client.scene.set_background_image(picture, format="jpeg", jpeg_quality=QUALITY)
            self.begun, self.due = True, max(self.due, time.monotonic() + GRACE)
        return True


def within(slider: "viser.GuiSliderHandle") -> float:
    """The slider's value; where a page sent one beyond its ends, that end."""
    return min(max(slider.value, slider.min), slider.max)
