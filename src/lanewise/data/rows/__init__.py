"""Rows, wherever they come from: memory, a Dataset, a stream."""
