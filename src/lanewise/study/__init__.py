"""A race from its first draw to its confirmation: settings, stages, budget, progress."""
