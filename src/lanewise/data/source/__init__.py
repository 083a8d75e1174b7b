"""Checked data, standardised, and split into the parts that train, validate and test."""
