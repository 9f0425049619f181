"""Where results come from: hashes, and their comparison."""
