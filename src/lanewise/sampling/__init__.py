"""Drawing candidates, with Optuna, and recording what became of them."""
