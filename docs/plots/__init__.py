"""Draws the plots of the cards: `python -m docs.plots`."""
