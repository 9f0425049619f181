"""Results to look around in."""
