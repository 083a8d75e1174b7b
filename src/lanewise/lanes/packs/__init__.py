"""Packs of lanes: how they are fed, how they run, and how that is chosen."""
