"""Cameras: COLMAP's, given ones, their lenses and poses."""
