"""One step of one lane, and the program for a block of lanes."""
