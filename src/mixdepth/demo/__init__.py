"""The built-in demo capture: a rendered place, filmed by five cameras and photographed from twelve positions."""

from mixdepth.demo.capture import CAMERA_NAMES, PHOTO_FILES, digest, make_demo, render_photo, render_video
from mixdepth.demo.render import Shot
from mixdepth.demo.rig import PHOTO_CAMERAS, VIDEO_CAMERAS
from mixdepth.demo.scene import FPS, FRAMES

__all__ = [
    "CAMERA_NAMES",
    "FPS",
    "FRAMES",
    "PHOTO_CAMERAS",
    "PHOTO_FILES",
    "VIDEO_CAMERAS",
    "Shot",
    "digest",
    "make_demo",
    "render_photo",
    "render_video",
]
