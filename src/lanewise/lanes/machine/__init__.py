"""The machine: threads, memory, random streams."""
