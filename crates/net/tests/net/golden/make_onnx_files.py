"""Makes ONNX files as other programs write them, with random weights, and the features that ONNX Runtime gives.

`python make_onnx_files.py` writes onnx_recogniser.hex and onnx_detector.hex with .txt beside this file; made with
onnx 1.23 and onnxruntime 1.32. The recogniser is like InsightFace's: the pixels' mean and scale are in the graph,
residual units, then Flatten, Gemm and BatchNormalization. The detector has several outputs, shapes that are computed
from the input's and a batch that is left open.
"""

import pathlib

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

here = pathlib.Path(__file__).parent
random = numpy.random.default_rng(3)
weights = []


def weight(name, *shape, low=-0.5, high=0.5):
    values = random.uniform(low, high, shape).astype(numpy.float32)
    weights.append(numpy_helper.from_array(values, name))
    return name


def integers(name, values):
    weights.append(numpy_helper.from_array(numpy.array(values, numpy.int64), name))
    return name


def norm(name, value, channels):
    parameters = [weight(f"{name}.{part}", channels) for part in ["g", "b", "m"]]
    parameters.append(weight(f"{name}.v", channels, low=0.5, high=1.5))
    return helper.make_node("BatchNormalization", [value, *parameters], [name], epsilon=2e-5)


def conv(name, value, outputs, inputs, kernel=3, bias=True, **attributes):
    arguments = [value, weight(f"{name}.w", outputs, inputs, kernel, kernel)]
    if bias:
        arguments.append(weight(f"{name}.b", outputs))
    return helper.make_node("Conv", arguments, [name], kernel_shape=[kernel, kernel], **attributes)


def recogniser():
    node = helper.make_node
    weights.append(numpy_helper.from_array(numpy.array(127.5, numpy.float32), "mean"))
    weights.append(numpy_helper.from_array(numpy.array(0.0078125, numpy.float32), "scale"))
    nodes = [
        node("Sub", ["data", "mean"], ["centred"]),
        node("Mul", ["centred", "scale"], ["scaled"]),
        conv("c0", "scaled", 4, 3, bias=False, pads=[1] * 4, strides=[2, 2]),
        norm("n0", "c0", 4),
        node("PRelu", ["n0", weight("p0.w", 4, 1, 1)], ["p0"]),
        conv("c1", "p0", 4, 2, pads=[1] * 4, group=2),
        node("Clip", ["c1", "low", "high"], ["clipped"]),
        node("Add", ["clipped", "p0"], ["sum"]),
        node("LeakyRelu", ["sum"], ["leaky"], alpha=0.2),
        node("GlobalAveragePool", ["leaky"], ["gate"]),
        conv("c2", "gate", 4, 4, kernel=1),
        node("Sigmoid", ["c2"], ["open"]),
        node("Mul", ["leaky", "open"], ["gated"]),
        node("Slice", ["gated", "s.start", "s.end", "s.axes"], ["half"]),
        node("Concat", ["gated", "half"], ["wide"], axis=1),
        norm("n1", "wide", 6),
        node("Dropout", ["n1"], ["kept"]),
        node("Flatten", ["kept"], ["flat"]),
        node("Gemm", ["flat", weight("g.w", 5, 6 * 7 * 6), weight("g.b", 5)], ["gemm"], transB=1, alpha=0.5),
        norm("feature", "gemm", 5),
        node("MatMul", ["feature", weight("m.w", 5, 4)], ["product"]),
        node("Add", ["product", weight("m.b", 4)], ["vector"]),
    ]
    weights.append(numpy_helper.from_array(numpy.array(-0.4, numpy.float32), "low"))
    weights.append(numpy_helper.from_array(numpy.array(0.6, numpy.float32), "high"))
    integers("s.start", [1]), integers("s.end", [-1]), integers("s.axes", [1])
    image = helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, 14, 12])
    return nodes, image, ["vector"], 17


def detector():
    node = helper.make_node
    weights.append(numpy_helper.from_array(numpy.array([1, 1, 2, 2], numpy.float32), "scales"))
    weights.append(numpy_helper.from_array(numpy.array([], numpy.float32), "roi"))
    integers("zero", 0), integers("minus", [-1]), integers("two", [2])
    nodes = [
        conv("c0", "input", 4, 3, pads=[1] * 4),
        node("Relu", ["c0"], ["r0"]),
        node("MaxPool", ["r0"], ["m0"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        conv("c1", "m0", 4, 1, pads=[1] * 4, group=4),
        node("AveragePool", ["c1"], ["a0"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        node("Resize", ["a0", "roi", "scales"], ["up"], mode="nearest", nearest_mode="floor",
             coordinate_transformation_mode="asymmetric"),
        node("Slice", ["up", "from", "to", "axes"], ["cut"]),
        node("Concat", ["cut", "m0"], ["both"], axis=1),
        conv("head", "both", 2, 8, kernel=1),
    ]
    integers("from", [0, 0]), integers("to", [7, 6]), integers("axes", [2, 3])
    for name in ["head", "c1"]:
        nodes += [
            node("Transpose", [name], [f"{name}.t"], perm=[0, 2, 3, 1]),
            node("Shape", [name], [f"{name}.s"]),
            node("Gather", [f"{name}.s", "zero"], [f"{name}.n"], axis=0),
            node("Unsqueeze", [f"{name}.n"], [f"{name}.u"], axes=[0]),
            node("Concat", [f"{name}.u", "minus", "two"], [f"{name}.r"], axis=0),
            node("Reshape", [f"{name}.t", f"{name}.r"], [f"{name}.o"]),
        ]
    nodes.append(node("Softmax", ["head.o"], ["scores"], axis=2))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, "H", "W"])
    return nodes, image, ["scores", "c1.o"], 11


for name, make in [("onnx_recogniser", recogniser), ("onnx_detector", detector)]:
    weights.clear()
    nodes, image, outputs, version = make()
    rank = 2 if name == "onnx_recogniser" else 3
    found = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * rank) for output in outputs]
    graph = helper.make_graph(nodes, name, [image], found, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)
    onnx.checker.check_model(model)
    index = numpy.arange(3 * 14 * 12)
    pixels = ((index * 37 % 129) / 64 - 1).astype(numpy.float32).reshape(1, 3, 14, 12)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    values = numpy.concatenate([value.reshape(-1) for value in session.run(outputs, {image.name: pixels})])
    (here / f"{name}.txt").write_text("".join(f"{value!r}\n" for value in values.tolist()))
    text = model.SerializeToString().hex()
    lines = [text[start : start + 100] for start in range(0, len(text), 100)]
    (here / f"{name}.hex").write_text("\n".join(lines) + "\n")
