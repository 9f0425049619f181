"""Cameras: COLMAP's, given ones, their lenses and poses."""

MODEL_FILES = ("cameras.bin", "frames.bin", "images.bin", "points3D.bin", "rigs.bin")  # of COLMAP, since 3.12
