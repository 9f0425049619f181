# mixdepth: from synchronised videos (and photos) to a free-viewpoint video, with or without depth supervision.
#
#   snakemake --cores 2 results/<scene>/video.mp4                                       the main job
#   snakemake --cores 2 results/<scene>/viewer.html                                     a result to look around in
#   snakemake --cores 2 --configfile config/<file>.yaml -- results/<scene>/report.html  another capture
#   snakemake --cores 2 results/ablation/report.html                                    every variant, fewer cameras, seeds
#
include: "workflow/Snakefile"
