"""Statistics, as pure numbers: intervals, paired means, critical values, power."""
