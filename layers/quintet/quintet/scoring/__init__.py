"""Scoring: validate, assemble, run the model, check. Pure: arrays in, arrays out."""

from quintet.scoring.scores import Model, Scores, joined_scores, score

__all__ = ["Model", "Scores", "joined_scores", "score"]
