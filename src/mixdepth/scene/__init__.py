"""The configuration and the scenes that it describes."""
