"""Writes logistic.json: Platt's fit with both kinds weighted a half, minimised by SciPy. Needs NumPy and SciPy;
writes beside itself."""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

random = np.random.default_rng(1801)


def fit(genuine, impostor):
    x = np.concatenate([genuine, impostor])
    n, m = len(genuine), len(impostor)
    t = np.concatenate([np.full(n, (n + 1) / (n + 2)), np.full(m, 1 / (m + 2))])
    w = np.concatenate([np.full(n, 0.5 / n), np.full(m, 0.5 / m)])

    def loss(v):
        z = v[0] * x + v[1]
        p = 1 / (1 + np.exp(-z))
        return (w * (np.logaddexp(0, z) - t * z)).sum(), np.array([(w * (p - t) * x).sum(), (w * (p - t)).sum()])

    return minimize(loss, [0, 0], jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 10000}).x


cases = []
for n, m, shift, spread in [(40, 40, 0.4, 0.2), (25, 60, 0.2, 0.3), (20, 20, 0.9, 0.05)]:
    genuine = np.round(random.normal(shift, spread, n), 4)
    impostor = np.round(random.normal(0, spread, m), 4)
    slope, offset = fit(genuine, impostor)
    cases.append({"genuine": genuine.tolist(), "impostor": impostor.tolist(), "slope": slope, "offset": offset})
Path(__file__).with_name("logistic.json").write_text(json.dumps(cases) + "\n")
