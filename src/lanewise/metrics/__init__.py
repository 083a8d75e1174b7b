"""Metrics: the scores by which recipes are compared, by name."""

from lanewise.metrics.metric import Metric, Unit
from lanewise.metrics.names import METRICS, PREDICTED, find_metric, for_classes, is_known, metric_names, quantile_level

__all__ = [
    "METRICS",
    "PREDICTED",
    "Metric",
    "Unit",
    "find_metric",
    "for_classes",
    "is_known",
    "metric_names",
    "quantile_level",
]
