"""What the command line does by itself: each function takes (settings, args) and returns an exit code."""
