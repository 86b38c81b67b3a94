"""Runs exported files with ONNX Runtime and keeps them with the features they gave.

`python check_onnx.py FOLDER` reads onnx_kept.onnx and onnx_folded.onnx from the folder that the failing test names,
and writes each as .hex with the computed feature as .txt; made with onnx 1.23 and onnxruntime 1.32.
"""

import pathlib
import sys

import numpy
import onnx
import onnxruntime

here = pathlib.Path(__file__).parent
index = numpy.arange(3 * 14 * 12)
image = ((index * 37 % 129) / 64 - 1).astype(numpy.float32).reshape(1, 3, 14, 12)
for name in ["onnx_kept", "onnx_folded"]:
    path = pathlib.Path(sys.argv[1]) / f"{name}.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path))
    two = session.run(["feature"], {"image": numpy.concatenate([image, -image])})[0]
    (feature,) = session.run(["feature"], {"image": image})[0]
    assert numpy.allclose(two[0], feature, rtol=1e-5, atol=1e-6), "the batch is not free"
    (here / f"{name}.txt").write_text("".join(f"{value!r}\n" for value in feature.tolist()))
    text = path.read_bytes().hex()
    lines = [text[start : start + 100] for start in range(0, len(text), 100)]
    (here / f"{name}.hex").write_text("\n".join(lines) + "\n")
