"""Structure from motion with COLMAP."""
