"""A page of the live view, as far as its server can tell: over a websocket, without a browser."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import viser
import zstandard
from PIL import Image
from websockets.sync import client as websockets

from mixdepth.cameras.camera import Camera


def send(page: websockets.ClientConnection, kind: str, **message: Any) -> None:
    page.send(msgspec.msgpack.encode({"type": kind, **message}))


def seen(camera: Camera, **other: Any) -> dict[str, Any]:
    """What a page says of its camera."""
    told = {
        "wxyz": viser.transforms.SO3.from_matrix(camera.c2w[:3, :3]).wxyz.tolist(),
        "position": camera.centre.tolist(),
        "fov": 2 * math.atan(camera.height / 2 / camera.fy),
        "near": 0.01,
        "far": 1000.0,
        "image_height": camera.height,
        "image_width": camera.width,
        "look_at": (camera.centre + camera.c2w[:3, 2]).tolist(),
        "up_direction": (-camera.c2w[:3, 1]).tolist(),
    }
    return told | other


class Page:
    """What a page was sent, and what it sends."""

    def __init__(self, wire: websockets.ClientConnection):
        self.wire, self.controls, self.pictures = wire, dict[str, str](), list[bytes]()
        self.notes: list[str] = []  # that pop up

    def look(self, camera: Camera, **other: Any) -> None:
        send(self.wire, "ViewerCameraMessage", **seen(camera, **other))

    def set(self, label: str, value: Any) -> None:
        """Move the control of this name, or press the button."""
        send(self.wire, "GuiUpdateMessage", uuid=self.controls[label], updates={"value": value})

    @property
    def newest(self) -> np.ndarray:
        """The picture that is shown, [H, W, 3] uint8."""
        return np.asarray(Image.open(io.BytesIO(self.pictures[-1])))

    def read(self, seconds: float = 0.3) -> None:
        """Take what arrives, until nothing has for some time."""
        while True:
            try:
                raw = self.wire.recv(timeout=seconds)
            except TimeoutError:
                return
            size = int.from_bytes(raw[8:16], "little")
            inner = zstandard.ZstdDecompressor().decompress(raw[16 : 16 + size], int.from_bytes(raw[:8], "little"))
            for message in msgspec.msgpack.decode(inner)["messages"]:
                if message["type"] == "BackgroundImageMessage":
                    self.pictures += [message["rgb_data"]] if message["rgb_data"] else []
                elif message["type"] == "NotificationShowMessage":
                    self.notes.append(message["props"]["body"])
                elif label := (message.get("props") or {}).get("label"):
                    self.controls[label] = message["uuid"]


@contextmanager
def page_at(address: str) -> Iterator[Page]:
    """A page that has just been opened."""
    parts = urlsplit(address)
    with websockets.connect(
        f"ws://{parts.netloc}{parts.path.rstrip('/')}",
        origin=f"http://{parts.netloc}",
        subprotocols=[f"viser-v{viser.__version__}"],
        max_size=None,
        compression=None,
    ) as wire:
        yield Page(wire)
