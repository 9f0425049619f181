"""Out of memory, said with what lowers it."""

import contextlib
import errno
from collections.abc import Iterator

from mixdepth.errors import OutOfRoom

# Rule, or command of the command line -> the settings that its memory grows with.
SETTINGS = {
    "structure_from_motion": ("colmap.max_features", "colmap.upscale_to"),
    "triangulate": ("colmap.max_features", "colmap.upscale_to"),
    "verify_held_out": ("colmap.max_features", "colmap.upscale_to"),
    "static_set": ("photo_scale",),
    "static_test_set": ("photo_scale",),
    "train_static": ("static.resolution", "static.batch_samples", "photo_scale"),
    "static_depth": ("static.resolution", "scale"),
    **dict.fromkeys(("render", "render_path"), ("scale", "dynamic.resolution", "static.resolution")),
    "static_metrics": ("photo_scale", "static.resolution"),
    "train_branch": ("dynamic.static.resolution", "dynamic.static.batch_samples", "scale"),
    **dict.fromkeys(
        ("train_segment", "train_dynamic"), ("dynamic.segment", "dynamic.resolution", "dynamic.rays", "scale")
    ),
    "prepare": ("scale", "photo_scale", "colmap.max_features"),
    "train": ("dynamic.segment", "dynamic.resolution", "static.resolution", "scale"),
}
OTHERS = ("scale", "frames.count")  # frames, renders and what is made of them
# How PyTorch says it of main memory, for which it has no class of its own, and others of a GPU's.
SAID = ("can't allocate memory", "not enough memory", "out of memory")


@contextlib.contextmanager
def memory_errors(name: str) -> Iterator[None]:
    """Turn "out of memory" in a rule or command into an :class:`OutOfRoom` that names settings which lower it.

    Args:
        name: of the rule or command.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError, OutOfRoom) as error:
        if not _is_lack(error):
            raise
        raise OutOfRoom(
            f"{name}: out of memory ({' '.join(str(error).split())[:200] or 'no more could be had'}). {_advice(name)}"
        ) from error


def _is_lack(error: Exception) -> bool:
    """Whether ``error`` is one of memory; readers of files put their name to it."""
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in SAID)
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)


def killed(name: str, rule: str, sure: bool) -> str:
    """What is said for a job of this name that was ended from outside, and could not say anything itself.

    Args:
        sure: whether the kernel is known to have killed a process for want of memory meanwhile.
    """
    if sure:
        return f"mixdepth: error in rule {name}: killed by the system, which ran out of memory. {_advice(rule)}"
    return (
        f"mixdepth: error in rule {name}: it was ended from outside, or crashed. The same command goes on from what is"
        f" finished. Was memory short? {_advice(rule)}"
    )


def _advice(name: str) -> str:
    first, *rest = (f"`{key}`" for key in SETTINGS.get(name, OTHERS))
    return (
        f"Lower {first}{''.join(f', or {key}' for key in rest)}, end other programs, or run it where there is more"
        " memory; what is finished is kept."
    )
