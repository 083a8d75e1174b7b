"""Each job in one call, for Python."""
