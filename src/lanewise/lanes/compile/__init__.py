"""Compiled programs: the only place that touches torch's private parts."""
