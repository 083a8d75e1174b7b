"""Training cohorts of lanes: scores, checkpoints, early stopping."""
