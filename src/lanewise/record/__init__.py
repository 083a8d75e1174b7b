"""The record of a run: its folder, lock, checkpoints, decisions and traces."""
