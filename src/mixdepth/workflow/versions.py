"""Version of each stage's algorithm, an openly chosen reason to redo it.

Snakemake re-runs a stage when its inputs, its settings or its thin script change, but it cannot see into this package.
Whoever changes what a stage computes adds one to its number here, and every result of that stage and what follows
from it is redone on the next run. A change that leaves the results alone (speed, wording, a refactoring) does not.
"""

STAGE_VERSIONS: dict[str, int] = {
    "demo": 1,
    "frames": 3,
    "motion": 1,
    "reference": 4,
    "sync": 3,
    "cameras": 6,
    "static": 7,
    "dynamic": 9,
    "rendering": 8,
    "exports": 1,
    "evaluation": 5,
    "report": 7,
    "viewer": 1,
    "ablation": 1,
}
