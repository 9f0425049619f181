"""What Snakemake needs around the work of a rule."""
