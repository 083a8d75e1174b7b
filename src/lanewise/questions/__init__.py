"""Questions about given recipes: compare, ablate, sweep."""
