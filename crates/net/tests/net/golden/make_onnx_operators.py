"""Makes an ONNX file for each use of an operator that is read, and what ONNX Runtime computes of it.

`python make_onnx_operators.py` writes onnx_operators.txt beside this file: for each case a line with its name, the bytes
of the file in hexadecimal and the values; made with onnx 1.23 and onnxruntime 1.32. Weights are random, from one seed.
The image is 3 x 6 x 5.
"""

import pathlib

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

here = pathlib.Path(__file__).parent
random = numpy.random.default_rng(5)
shape = (1, 3, 6, 5)
index = numpy.arange(3 * 6 * 5)
pixels = ((index * 37 % 129) / 64 - 1).astype(numpy.float32).reshape(shape)
node = helper.make_node
cases = []


def weight(*sides):
    # Quarters keep the files short and the sums exact.
    return (random.integers(-8, 9, sides) / 4).astype(numpy.float32)


def case(name, version, nodes, constants=(), rank=4):
    """`nodes` lead from `x` to `y`; `constants` are pairs of a name and values."""
    initializers = [numpy_helper.from_array(numpy.asarray(values), key) for key, values in dict(constants).items()]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape[1:]])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)
    graph = helper.make_graph(nodes, "g", [image], [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=7)
    model.producer_name = ""
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    value = onnxruntime.InferenceSession(data).run(["y"], {"x": pixels})[0]
    # A map is compared in the order channel, height, width.
    texts = " ".join(f"{value:.7g}" for value in value.reshape(-1).tolist())
    cases.append(f"{name}-{version}\t{data.hex()}\t{texts}\n")


def floats(values):
    return numpy.array(values, numpy.float32)


def integers(values):
    return numpy.array(values, numpy.int64)


def single(name, version, operator, constants=(), rank=4, **attributes):
    case(name, version, [node(operator, ["x", *dict(constants)], ["y"], **attributes)], constants, rank)


none = ("roi", floats([]))
for version in [11, 13, 19]:
    for place in ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]:
        modes = [("linear", "round_prefer_floor")]
        modes += [("nearest", how) for how in ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]]
        for mode, how in modes:
            if version != 13 and (mode, how) not in [("linear", "round_prefer_floor"), ("nearest", "floor")]:
                continue
            settings = {"mode": mode, "nearest_mode": how, "coordinate_transformation_mode": place}
            scales = floats([1, 1, 1.5, 0.61])
            single(f"resize-{mode}-{how}-{place}", version, "Resize", [none, ("s", scales)], **settings)
            sizes = [none, ("e", floats([])), ("s", integers([1, 3, 4, 7]))]
            single(f"resize-sizes-{mode}-{how}-{place}", version, "Resize", sizes, **settings)
    single("resize-default", version, "Resize", [none, ("s", floats([1, 1, 2, 2]))])
case("resize-axes", 19, [node("Resize", ["x", "", "", "s"], ["y"], mode="linear", axes=[3, 2])],
     [("s", integers([8, 9]))])
single("resize-linear", 10, "Resize", [("s", floats([1, 1, 2, 1.5]))], mode="linear")
single("resize-nearest", 10, "Resize", [("s", floats([1, 1, 2, 1.5]))], mode="nearest")
single("upsample-linear", 9, "Upsample", [("s", floats([1, 1, 2, 2]))], mode="linear")
single("upsample-nearest", 9, "Upsample", [("s", floats([1, 1, 3, 3]))], mode="nearest")

for version in [9, 11, 13, 17, 21]:
    window = {"kernel_shape": [3, 2], "strides": [2, 2]}
    for operator in ["MaxPool", "AveragePool"]:
        single(operator, version, operator, **window)
        single(f"{operator}-pads", version, operator, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        if version > 9:
            single(f"{operator}-ceil", version, operator, ceil_mode=1, kernel_shape=[3, 3], strides=[2, 2])
    w = [("w", weight(4, 3, 3, 3)), ("b", weight(4))]
    single("conv", version, "Conv", w, kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    single("conv-depthwise", version, "Conv", [("w", weight(6, 1, 3, 3))], group=3, kernel_shape=[3, 3])
    single("conv-same", version, "Conv", [("w", weight(2, 3, 3, 3))], auto_pad="SAME_UPPER")
    single("conv-kernel", version, "Conv", [("w", weight(2, 3, 1, 5))], pads=[0] * 4)
    norm = [("g", weight(3)), ("b", weight(3)), ("m", weight(3)), ("v", floats([1, 0.5, 2.25]))]
    single("norm", version, "BatchNormalization", norm, epsilon=1e-3)
    for name, slope in [("map", weight(3, 1, 1)), ("one", weight(1)), ("full", weight(1, 3, 1, 1))]:
        single(f"prelu-{name}", version, "PRelu", [("w", slope)])
    for operator in ["Relu", "Sigmoid", "GlobalAveragePool", "LeakyRelu", "Identity"]:
        single(operator, version, operator)
    if version < 11:
        single("clip", version, "Clip", min=-0.5, max=0.25)
        single("clip-low", version, "Clip", min=-0.5)
    else:
        single("clip", version, "Clip", [("l", floats(-0.5)), ("h", floats(0.25))])
        case("clip-high", version, [node("Clip", ["x", "", "h"], ["y"])], [("h", floats(0.25))])
    for operator in ["Add", "Sub", "Mul", "Div"]:
        single(f"{operator}-scalar", version, operator, [("c", floats(1.25))])
        single(f"{operator}-channels", version, operator, [("c", floats([[[2]], [[-0.5]], [[4]]]))])
    case("from-constant", version, [node("Sub", ["c", "x"], ["y"])], [("c", floats([1.5]))])
    case("sum", version, [node("Sigmoid", ["x"], ["s"]), node("Add", ["x", "s"], ["y"])])
    case("product", version, [node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])])
    case("concat", version, [node("Relu", ["x"], ["r"]), node("Concat", ["x", "r"], ["y"], axis=1)])
    # A softmax over the last side, which holds the channels.
    case("softmax", version, [node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
                              node("Reshape", ["t", "s"], ["r"]), node("Softmax", ["r"], ["y"], axis=2)],
         [("s", integers([1, -1, 3]))], rank=3)
    if version < 10:
        single("slice", version, "Slice", axes=[2, 3], starts=[1, -3], ends=[5, 9])
    else:
        bounds = [("s", integers([1, 0])), ("e", integers([6, -1])), ("a", integers([2, -1])), ("t", integers([2, 3]))]
        single("slice", version, "Slice", bounds)
    if version < 18:
        single("mean", version, "ReduceMean", axes=[2, 3])
    else:
        single("mean", version, "ReduceMean", [("a", integers([2, 3]))])
    dense = [node("Flatten", ["x"], ["f"])]
    for name, settings, w in [("gemm", {"transB": 1}, weight(4, 90)), ("gemm-plain", {}, weight(90, 4)),
                              ("gemm-scaled", {"transB": 1, "alpha": 0.5, "beta": 2.0}, weight(4, 90))]:
        case(name, version, dense + [node("Gemm", ["f", "w", "b"], ["y"], **settings)], [("w", w), ("b", weight(4))], 2)
    case("matmul", version, dense + [node("MatMul", ["f", "w"], ["y"])], [("w", weight(90, 3))], 2)
    case("reshape", version, [node("GlobalAveragePool", ["x"], ["g"]), node("Reshape", ["g", "s"], ["r"]),
                              node("MatMul", ["r", "w"], ["y"])], [("s", integers([0, -1])), ("w", weight(3, 2))], 2)
    if version < 13:
        squeeze = [node("Squeeze", ["g"], ["q"], axes=[2, 3]), node("Unsqueeze", ["q"], ["y"], axes=[2, 3])]
        case("squeeze", version, [node("GlobalAveragePool", ["x"], ["g"]), *squeeze])
    else:
        squeeze = [node("Squeeze", ["g", "a"], ["q"]), node("Unsqueeze", ["q", "a"], ["y"])]
        case("squeeze", version, [node("GlobalAveragePool", ["x"], ["g"]), *squeeze], [("a", integers([2, 3]))])
    if version >= 13:
        for name, settings in [("float", {"value_float": 0.75}), ("floats", {"value_floats": [0.75]}),
                               ("tensor", {"value": numpy_helper.from_array(floats([0.75]))})]:
            case(f"constant-{name}", version, [node("Constant", [], ["c"], **settings), node("Mul", ["x", "c"], ["y"])])
(here / "onnx_operators.txt").write_text("".join(cases))
print(len(cases), "cases")
