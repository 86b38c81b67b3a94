"""Writes intervals.json: SciPy's percentile bootstrap of a mean over independent people, and NumPy's quantiles (type 7).

Needs NumPy and SciPy; writes beside itself."""

import json
from pathlib import Path

import numpy
import scipy
from scipy.stats import bootstrap

random = numpy.random.default_rng(5)
samples = {
    "right or wrong": random.integers(0, 10, 120).clip(0, 1).astype(float),
    "skewed": random.exponential(1.0, 60),
    "few people": random.normal(0.3, 0.1, 12),
    "many people": random.normal(-1.0, 2.0, 800),
}
means = []
for name, values in samples.items():
    found = bootstrap((values,), numpy.mean, n_resamples=200_000, confidence_level=0.9, method="percentile",
                      batch=10_000, rng=numpy.random.default_rng(1))
    means.append({
        "name": name, "values": [round(float(value), 6) for value in values],
        "low": float(found.confidence_interval.low), "high": float(found.confidence_interval.high),
        "deviation": float(found.standard_error),
    })
values = numpy.sort(random.normal(size=37).round(6))
shares = [0.0, 0.025, 0.1, 0.5, 0.77, 0.975, 1.0]
quantiles = {
    "values": values.tolist(), "shares": shares, "quantiles": [float(numpy.quantile(values, share)) for share in shares],
}
cases = {"scipy": scipy.__version__, "numpy": numpy.__version__, "means": means, "quantiles": quantiles}
Path(__file__).with_name("intervals.json").write_text(json.dumps(cases) + "\n")
