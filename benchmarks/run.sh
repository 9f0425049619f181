#!/usr/bin/env bash
# The figures of docs/benchmarks.md, from scratch: every scene in turn, alone on the machine (about an hour on two cores).
#
#   benchmarks/run.sh            REMOVES results/{demo,arc8,arc8_3,basketball,fern} and the demo capture, then makes all anew
#   KEEP=1 benchmarks/run.sh     goes on with what is there
#
# Where ../shared/data has no captures only the demo is run. Exit status: the number of commands that failed.
set -u
cd "$(dirname "$0")/.." || exit 1
make --no-print-directory .venv/.installed || exit 1
scenes=(demo arc8 arc8_3 basketball fern)
failed=0

step() { # name, then the command; its output goes to benchmarks/out/<name>.log
  local name=$1 start=$SECONDS
  shift
  echo "$name ..."
  if "$@" >"benchmarks/out/$name.log" 2>&1; then
    echo "$name: $((SECONDS - start)) s"
  else
    echo "$name: FAILED after $((SECONDS - start)) s, see benchmarks/out/$name.log"
    failed=$((failed + 1))
  fi
}

snakemake() { .venv/bin/snakemake --cores 2 "$@"; }

mkdir -p benchmarks/out
if [ -z "${KEEP:-}" ]; then
  for scene in "${scenes[@]}"; do rm -rf "results/$scene"; done
  rm -rf data/demo
fi

step demo make --no-print-directory demo
if [ -d ../shared/data ]; then
  step arc8 snakemake --configfile config/arc8.yaml -- results/arc8/none/metrics.json
  step arc8_3 snakemake --configfile config/arc8.yaml -- results/arc8_3/{none,distilled,inherited}/metrics.json \
    results/arc8_3/static/metrics.json
  step basketball snakemake --configfile config/panoptic.yaml -- results/basketball/{none,colmap}/metrics.json \
    results/basketball/video.mp4 results/basketball/comparison.png
  step fern snakemake --configfile config/fern.yaml -- results/fern/static/metrics.json results/fern/photos.json \
    results/fern/poses_bounds.npy
fi

.venv/bin/python benchmarks/figures.py | tee benchmarks/out/figures.md
exit "$failed"
