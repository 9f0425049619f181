"""What renders can be exported as."""

from mixdepth.errors import ConfigurationError, listed, nearest

KINDS = ("cameras", "depth_exr", "depth_png", "exr", "mp4", "mp4_10bit", "ply", "png")


def check_kind(kind: str) -> str:
    """``kind`` itself.

    Raises:
        UserError: there is no export of this kind.
    """
    if kind not in KINDS:
        raise ConfigurationError(
            f'there is no export of the kind "{kind}"{nearest(kind, KINDS)}; there are {listed(KINDS)}'
        )
    return kind
