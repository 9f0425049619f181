"""Whether poses can be trusted."""
