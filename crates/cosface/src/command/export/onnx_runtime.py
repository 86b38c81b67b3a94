"""Computes the features of images with ONNX Runtime from a file that cosface exported, and from nothing else.

Arguments: the ONNX file; images, in bytes red, green, blue; file for the features, 32-bit floats, little endian.
"""

import json
import platform
import sys

try:
    import numpy
    import onnxruntime
except ImportError as error:
    print(f"cosface: missing module {error.name}", file=sys.stderr)
    sys.exit(3)

model, images, out = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
card = json.loads(session.get_modelmeta().custom_metadata_map["cosface.card"])["preprocessing"]
shape = [-1, card["height"], card["width"], 3]
pixels = numpy.fromfile(images, numpy.uint8).reshape(shape)
if card["channel_order"] == "bgr":
    pixels = pixels[..., ::-1]
mean, scale = (numpy.array(card[key], numpy.float32) for key in ["mean", "scale"])
inputs = ((pixels.astype(numpy.float32) - mean) / scale).transpose(0, 3, 1, 2)


def features(start, end):
    return session.run(["feature"], {"image": numpy.ascontiguousarray(inputs[start:end])})[0]


together = numpy.concatenate([features(start, start + 16) for start in range(0, len(inputs), 16)])
alone = float(numpy.abs(features(0, 1) - together[:1]).max())
together.astype("<f4").tofile(out)
versions = {"onnxruntime": onnxruntime.__version__, "python": platform.python_version()}
print(json.dumps({**versions, "alone": alone, "shape": list(together.shape)}))
