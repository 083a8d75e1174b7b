"""Lanewise's parts in other libraries' loops."""
