"""Reference values for ROC, AUC and the scoring rules, by scikit-learn and NumPy.

    python3 -m venv v && v/bin/pip install scikit-learn numpy && v/bin/python make_verification_cases.py .

roc.json            scikit-learn's roc_curve (every threshold kept) and roc_auc_score, with and without ties
verification.json   vectors, pairs in five folds, and per fold the threshold and accuracy of two published rules,
                    restated here on plain arrays:
  insightface   thresholds numpy.arange(0, 4, 0.01) on squared distances of unit vectors, first maximum on the other
                folds, accepted where the distance is below; numpy.std over the folds
  sphereface    mean of both sides of the other folds subtracted, L2 normalised, thresholds -1 .. 1 in steps of 1e-4,
                mean of all maximisers, `>` accepts and `<` rejects
"""
import json, pathlib, sys
import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve


def roc_case(rng, genuine, impostor, decimals):
    scores = np.round(np.concatenate([rng.normal(0.45, 0.25, genuine), rng.normal(0.1, 0.2, impostor)]), decimals)
    labels = np.concatenate([np.ones(genuine), np.zeros(impostor)])
    order = rng.permutation(len(labels))
    scores, labels = scores[order], labels[order]
    far, tar, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    return {"scores": scores.tolist(), "genuine": [bool(l) for l in labels], "far": far.tolist(), "tar": tar.tolist(),
            "thresholds": thresholds[1:].tolist(), "area": roc_auc_score(labels, scores)}


def insightface(left, right, same, fold):
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    distance = np.sum(np.square(unit(left) - unit(right)), 1)
    thresholds, rows = np.arange(0, 4, 0.01), []
    accuracy = lambda at, where: np.mean((distance[where] < at) == same[where])
    for test in range(fold.max() + 1):
        best = np.argmax([accuracy(at, fold != test) for at in thresholds])
        rows.append((thresholds[best], accuracy(thresholds[best], fold == test)))
    return rows


def sphereface(left, right, same, fold):
    thresholds, rows = np.arange(-10000, 10001) / 10000, []
    for test in range(fold.max() + 1):
        train = fold != test
        mean = np.mean(np.concatenate([left[train], right[train]]), 0, keepdims=True)
        l, r = left - mean, right - mean
        l, r = l / np.linalg.norm(l, axis=1, keepdims=True), r / np.linalg.norm(r, axis=1, keepdims=True)
        cosine = np.sum(l * r, 1)
        accuracy = lambda at, where: (np.sum(cosine[where & same] > at) + np.sum(cosine[where & ~same] < at)) / where.sum()
        values = np.array([accuracy(at, train) for at in thresholds])
        at = np.mean(thresholds[values == values.max()])
        rows.append((at, accuracy(at, ~train)))
    return rows


def verification_case(rng):
    folds, each, dimension = 5, 12, 6
    offset = rng.normal(size=dimension)
    vectors, pairs = [], []
    for fold in range(folds):
        for genuine in (True, False):
            for _ in range(each):
                one = rng.normal(size=dimension)
                other = one + 0.9 * rng.normal(size=dimension) if genuine else rng.normal(size=dimension)
                for vector in (one, other):
                    vectors.append(np.round(offset + vector, 3).astype(np.float32).tolist())
                pairs.append([genuine, fold])
    rows = np.array(vectors)
    left, right = rows[0::2], rows[1::2]
    same, fold = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    case = {"vectors": [[round(v, 3) for v in row] for row in vectors], "pairs": pairs}
    for name, rule in (("insightface", insightface), ("sphereface", sphereface)):
        result = np.array(rule(left, right, same, fold))
        case[name] = {"thresholds": result[:, 0].tolist(), "accuracies": result[:, 1].tolist(),
                      "mean": result[:, 1].mean(), "std": np.std(result[:, 1])}
    return case


def main():
    out, rng = pathlib.Path(sys.argv[1]), np.random.default_rng(1801)
    cases = [roc_case(rng, 40, 60, 12), roc_case(rng, 60, 90, 1), roc_case(rng, 1, 7, 2)]
    (out / "roc.json").write_text(json.dumps(cases) + "\n")
    (out / "verification.json").write_text(json.dumps(verification_case(rng)) + "\n")


if __name__ == "__main__":
    main()
