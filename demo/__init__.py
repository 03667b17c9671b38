"""Everything the demo shows without a download: pretend photos, drawn on the spot."""
