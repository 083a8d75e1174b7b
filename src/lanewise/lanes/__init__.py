"""Lanes: many candidates trained as one program."""
