"""Writes mcnemar.json: for counts of pairs that only one of two models judges rightly, SciPy's exact two-sided
binomial probability. Needs SciPy; writes beside itself."""

import json
from pathlib import Path

from scipy.stats import binomtest

counts = [(0, 0), (0, 1), (3, 3), (0, 6), (2, 9), (10, 30), (100, 140), (1000, 1200), (5, 5000)]
cases = [(a, b, float(binomtest(a, a + b, 0.5).pvalue) if a + b else 1.0) for a, b in counts]
Path(__file__).with_name("mcnemar.json").write_text(json.dumps(cases, indent=0) + "\n")
