"""Whether videos show the same moments."""
