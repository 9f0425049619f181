"""What a machine lacks, and what scenes will cost."""
