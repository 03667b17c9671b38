"""The chat platforms: a file here with a `connect(settings, host)` function is one, and nothing else names it."""
