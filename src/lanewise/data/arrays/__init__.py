"""Arrays, checked: inputs, targets and classes."""
