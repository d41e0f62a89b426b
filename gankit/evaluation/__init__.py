"""What samples are worth: metrics, the judge that applies them, scores with their protocol."""

from gankit.evaluation.metric import Extracted, Extractor, Metric, Seen, Source, Statistics
from gankit.evaluation.reference import comparable
from gankit.evaluation.statistics import KEPT, Moments, Selection

__all__ = [
    "KEPT", "Extracted", "Extractor", "Metric", "Moments", "Seen", "Selection", "Source", "Statistics", "comparable",
]  # fmt: skip
