"""How long judging takes: the classifier's one training on Fashion-MNIST, and 10,000 images by every metric.

The images are the data set's test split, judged as if they were samples, so the figures are those of a perfect
generator. Run it on an idle machine, with an empty cache (GANKIT_CACHE) to see the training.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from gankit.data.catalogue import DataOptions
from gankit.evaluation.evaluate import evaluate
from gankit.evaluation.metric import Source
from gankit.plugins.datasets.idx import FashionMNIST
from gankit.plugins.extractors.classifier import Classifier
from gankit.runs.folder import processor

METRICS = "fid,kid,precision,recall,density,coverage,inception-score,swd,class-balance"


def main() -> None:
    """Print one figure a line."""
    print(f"machine: {processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    data = DataOptions(data="fashion-mnist")
    real = FashionMNIST().load(data, 0)
    start = time.perf_counter()
    classifier = Classifier(Source(real, data))
    print(f"classifier training s: {time.perf_counter() - start:.1f}")
    print(f"classifier accuracy: {classifier.accuracy:.4f}")
    test = FashionMNIST().load(DataOptions(data="fashion-mnist", split="test"), 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.npy"
        np.save(path, test.images.movedim(1, -1).numpy())
        for what in ("judging 10000 images s", "judging them again with cached statistics s"):
            start = time.perf_counter()
            figures = evaluate(path, METRICS, data="fashion-mnist")
            print(f"{what}: {time.perf_counter() - start:.1f}")
    for figure in figures:
        print(f"{figure.metric}: {figure.value:.5g}")


if __name__ == "__main__":
    main()
