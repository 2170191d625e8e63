"""Scores of a model, verdicts with honest intervals, delta-m and ranks. Pure numpy but for the scores."""
