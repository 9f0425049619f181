"""mixdepth: depth-supervised MixVoxels, from raw synchronised videos to a free-viewpoint video."""

import os

__version__ = "0.2.0"

# Read when torch is loaded, so it must be set before. Idle OpenMP threads sleep instead of spinning: training beside
# any other job (two on two cores, say) is otherwise several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
