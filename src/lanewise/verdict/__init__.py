"""The verdict: its data, the ranking behind it, and its sentences."""
