"""mixdepth: depth-supervised MixVoxels, from raw synchronised videos to a free-viewpoint video."""

__version__ = "0.1.0"
