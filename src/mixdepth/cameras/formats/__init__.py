"""Other programs' files of cameras."""
