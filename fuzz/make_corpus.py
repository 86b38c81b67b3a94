"""Writes the files of the corpus that no fuzzer found, one folder for each fuzz target: corpus/TARGET/whole-* must be
accepted, corpus/TARGET/made-* may be refused. Needs NumPy, Pillow and onnx; writes beside itself."""

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

here = Path(__file__).parent
golden = here.parent / "crates/net/tests/net/golden"
packs = here.parent / "crates/net/tests/golden"


def put(target, name, content, kind="whole"):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{kind}-{name}").write_bytes(content if isinstance(content, bytes) else content.encode())


def unhex(name):
    return bytes.fromhex((golden / f"{name}.hex").read_text())


def safetensors(tensors, metadata=None):
    header, values = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, array in tensors.items():
        kind = {"float32": "F32", "float64": "F64", "int64": "I64"}[str(array.dtype)]
        end = len(values) + array.nbytes
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(values), end]}
        values += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + values


def f32(*shape):
    return np.linspace(-0.5, 0.5, int(np.prod(shape)), dtype=np.float32).reshape(shape)


# torch, face_pack
put("torch", "legacy", unhex("torch_legacy"))
put("torch", "archive", unhex("torch_archive"))
for pack in ["pack_2", "pack_3_array", "pack_4", "pack_4_array"]:
    put("face_pack", pack, (packs / f"{pack}.bin").read_bytes())

# model, description
conv = {"out_channels": 2, "kernel": [3, 3], "stride": 2, "padding": 1, "groups": 1, "bias": True, "init": "xavier"}
network = {
    "name": "n",
    "input": {"height": 112, "width": 96},
    "nodes": [
        {"name": "conv", "op": {"convolution": {**conv, "stride": 16}}, "inputs": ["image"]},
        {"name": "bn", "op": {"batch_norm": {"epsilon": 1e-5, "momentum": 0.1}}, "inputs": [{"node": 0}]},
        {"name": "act", "op": {"prelu": {"init": 0.25}}, "inputs": [{"node": 1}]},
        {"name": "sum", "op": "add", "inputs": [{"node": 1}, {"node": 2}]},
        {"name": "drop", "op": {"dropout": {"probability": 0.5}}, "inputs": [{"node": 3}]},
        {"name": "f", "op": {"linear": {"out_features": 4, "bias": False, "init": {"gaussian": {"deviation": 0.1}}}},
         "inputs": [{"node": 4}]},
    ],
}
preprocessing = {
    "height": 112, "width": 96, "channel_order": "rgb", "mean": [127.5] * 3, "scale": [128.0] * 3,
    "template": "112x96", "flip": "concatenated",
}
card = {
    "network": "n", "preprocessing": preprocessing, "feature_dimension": 4, "notes": "", "created_by": "corpus",
    "margin": {"loss": "cosface", "parameters": {"s": 30.0, "m": 0.35}},
    "data": {"fingerprint": "x", "identities": 2, "images": 3},
    "calibration": {"threshold": 0.3, "false_accept_rate": 0.01, "images": "i"}, "licence": "none",
}
weights = {
    "conv.weight": f32(2, 3, 3, 3), "conv.bias": f32(2), "bn.weight": f32(2), "bn.bias": f32(2),
    "bn.running_mean": f32(2), "bn.running_var": f32(2) + 1, "act.weight": f32(2), "f.weight": f32(4, 2 * 7 * 6),
}
metadata = {"cosface.format": "1", "cosface.network": json.dumps(network), "cosface.card": json.dumps(card)}
put("model", "model", safetensors(weights, metadata))
put("model", "types", safetensors({"a": np.arange(2), "b": np.zeros((0, 3), np.float64)}), "made")
put("description", "network", json.dumps(network))
others = [
    {"name": "relu", "op": "relu", "inputs": ["image"]},
    {"name": "affine", "op": "affine", "inputs": [{"node": 0}]},
    {"name": "clip", "op": {"clip": {"low": -0.5, "high": None}}, "inputs": [{"node": 1}]},
    {"name": "gate", "op": "global_average", "inputs": [{"node": 2}]},
    {"name": "sigmoid", "op": "sigmoid", "inputs": [{"node": 3}]},
    {"name": "gated", "op": "multiply", "inputs": [{"node": 2}, {"node": 4}]},
    {"name": "pool", "op": {"pool": {"kind": "largest", "kernel": [3, 2], "stride": 2, "padding": 1, "rounding": "up"}},
     "inputs": [{"node": 5}]},
    {"name": "up", "op": {"upsample": {"factor": 2}}, "inputs": [{"node": 6}]},
    {"name": "both", "op": "concat", "inputs": [{"node": 7}, {"node": 7}]},
    {"name": "part", "op": {"slice": {"rows": {"start": 1, "end": 7, "step": 3}, "columns": {"start": 0, "end": 4,
     "step": 1}, "channels": {"start": 1, "end": 3, "step": 1}}}, "inputs": [{"node": 8}]},
    {"name": "softmax", "op": "softmax", "inputs": [{"node": 9}]},
    {"name": "flat", "op": "flatten", "inputs": [{"node": 10}]},
    {"name": "all", "op": "join", "inputs": [{"node": 11}, {"node": 3}]},
]
put("description", "others", json.dumps({"name": "o", "input": {"height": 14, "width": 12}, "nodes": others}))
put("description", "card", json.dumps({**card, "feature_dimension": 3}))
described = """[preprocessing]
height = 112
width = 96
channel_order = "bgr"
mean = [127.5, 127.5, 127.5]
scale = [128.0, 128.0, 128.0]
template = "unaligned"
flip = "none"
"""
put("description", "onnx.toml", f'licence = "none"\nnotes = "n"\n{described}')
for family, extra in [("sphereface", "depth = 4\nwidth = 0.25\nbatch_norm = true\ndropout = 0.1"),
                      ("mobilefacenet", ""), ("iresnet", "depth = 18")]:
    put("description", f"{family}.toml",
        f'{described}\n[network]\nfamily = "{family}"\ninput = [112, 96]\nfeature = 8\n{extra}\n\n'
        '[names]\nignore = ["{*layer}.tracked"]\n\n[names.rename]\n'
        '"conv1.{part}" = "stem.{part}"\n"blocks.{index}.bn.{role}" = "b{index}.{role}"\n', "made")

# onnx, detector
for name in ["detector", "folded", "kept", "recogniser"]:
    put("onnx", name, unhex(f"onnx_{name}"))


def constant(name, value):
    return numpy_helper.from_array(np.asarray(value), name)


def model(nodes, weights, outputs, shape=(1, 3, None, None), opset=13, name="corpus"):
    sides = [side or f"s{index}" for index, side in enumerate(shape)]
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("image", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs],
        [constant(key, value) for key, value in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


node = helper.make_node
put("onnx", "arranged", model(
    [node("Shape", ["image"], ["dims"]), node("Gather", ["dims", "zero"], ["batch"], axis=0),
     node("Unsqueeze", ["batch", "axis"], ["batch1"]), node("Concat", ["batch1", "rest"], ["shape"], axis=0),
     node("Slice", ["image", "starts", "ends", "axes", "steps"], ["cut"]),
     node("Resize", ["cut", "", "scales"], ["big"], mode="nearest", coordinate_transformation_mode="asymmetric",
          nearest_mode="floor"),
     node("Transpose", ["big"], ["last"], perm=[0, 2, 3, 1]), node("Reshape", ["last", "shape"], ["flat"]),
     node("Squeeze", ["flat"], ["line"]), node("Cast", ["line"], ["out"], to=1)],
    {"zero": np.int64(0), "axis": np.int64([0]), "rest": np.int64([-1, 1]), "starts": np.int64([1]),
     "ends": np.int64([9]), "axes": np.int64([2]), "steps": np.int64([2]), "scales": np.float32([1, 1, 2, 2])},
    ["out"], (1, 3, 12, 10)))
put("onnx", "arithmetic", model(
    [node("Sub", ["image", "mean"], ["a"]), node("Div", ["a", "scale"], ["b"]),
     node("LeakyRelu", ["b"], ["c"], alpha=0.1), node("Clip", ["c", "low", ""], ["d"]),
     node("AveragePool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
     node("GlobalAveragePool", ["e"], ["g"]), node("Sigmoid", ["g"], ["h"]), node("Mul", ["e", "h"], ["i"]),
     node("ReduceMean", ["i"], ["j"], axes=[2, 3], keepdims=0), node("MatMul", ["j", "w"], ["k"]),
     node("Add", ["k", "bias"], ["l"]), node("Softmax", ["l"], ["m"], axis=1)],
    {"mean": f32(1, 3, 1, 1), "scale": np.float32(2), "low": np.float32(-1), "w": f32(3, 4), "bias": f32(4)},
    ["m"], (1, 3, 7, 9)))


def single_shot(kinds, anchors, names, kernel=8, step=8):
    nodes, weights, outputs = [], {}, []
    below = "image"
    for level, stride in enumerate([8, 16, 32]):
        sides = {"kernel_shape": [kernel] * 2, "strides": [step] * 2} if level == 0 else {"kernel_shape": [2, 2],
                                                                                         "strides": [2, 2]}
        nodes.append(node("MaxPool", [below], [f"trunk{stride}"], **sides))
        below = f"trunk{stride}"
        for channels, name in kinds:
            out = f"{name}_{stride}"
            weights[f"w{out}"] = f32(channels * anchors, 3, 1, 1)
            nodes.append(node("Conv", [below, f"w{out}"], [f"c{out}"]))
            nodes.append(node("Transpose", [f"c{out}"], [f"t{out}"], perm=[0, 2, 3, 1]))
            weights[f"s{out}"] = np.int64([1, -1, channels] if names else [-1, channels])
            nodes.append(node("Reshape", [f"t{out}", f"s{out}"], [out]))
            outputs.append(out)
    return model(nodes, weights, outputs)


put("detector", "yunet", single_shot([(1, "cls"), (1, "obj"), (4, "bbox"), (10, "kps")], 1, True))
put("detector", "scrfd", single_shot([(1, "score"), (4, "bbox"), (10, "kps")], 2, False))
# Grids of 40, 20 and 10 cells at 320 pixels, as those of SCRFD, but not at other sizes.
put("detector", "grids", single_shot([(1, "score"), (4, "bbox"), (10, "kps")], 2, False, 45, 7))

# image, jpeg
y, x = np.mgrid[0:9, 0:13]
picture = Image.fromarray(np.stack([x * 7, y * 11, x * y], -1).astype(np.uint8))


def encoded(image, format, **settings):
    sink = io.BytesIO()
    image.save(sink, format, **settings)
    return sink.getvalue()


exif = Image.Exif()
exif[0x112] = 6
jpegs = {
    "baseline": encoded(picture, "JPEG", quality=90),
    "progressive": encoded(picture.resize((40, 24)), "JPEG", progressive=True),
    "restart": encoded(picture.resize((40, 24)), "JPEG", restart_marker_blocks=1),
    "grey": encoded(picture.convert("L"), "JPEG"),
    "cmyk": encoded(picture.convert("CMYK"), "JPEG"),
    "exif": encoded(picture, "JPEG", exif=exif),
    "icc": encoded(picture, "JPEG", icc_profile=b"profile" * 3, comment=b"comment"),
    "444": encoded(picture, "JPEG", subsampling=0),
}
for name, content in jpegs.items():
    kind = "made" if name in ["cmyk"] else "whole"
    put("jpeg", name, content[2:], kind)
    put("image", f"{name}.jpg", content, kind)
alpha = picture.copy()
alpha.putalpha(Image.fromarray((x * 19).astype(np.uint8)))
images = {
    "rgb.png": encoded(picture, "PNG", exif=exif), "alpha.png": encoded(alpha, "PNG"),
    "palette.png": encoded(picture.quantize(16), "PNG"), "grey16.png": encoded(picture.convert("I;16"), "PNG"),
    "bit.png": encoded(picture.convert("1"), "PNG"), "apng.png": encoded(picture, "PNG", save_all=True,
                                                                         append_images=[picture.rotate(180)]),
    "rgb.bmp": encoded(picture, "BMP"), "palette.bmp": encoded(picture.quantize(16), "BMP"),
    "lossless.webp": encoded(alpha, "WEBP", lossless=True), "lossy.webp": encoded(picture, "WEBP", exif=exif),
    "alpha.webp": encoded(alpha, "WEBP"), "moving.webp": encoded(picture, "WEBP", save_all=True,
                                                                append_images=[picture.rotate(180)]),
    "rgb.ppm": encoded(picture, "PPM"), "grey.pgm": encoded(picture.convert("L"), "PPM"),
    "bit.pbm": encoded(picture.convert("1"), "PPM"), "plain.ppm": b"P3\n# c\n2 1\n255\n1 2 3 4 5 6\n",
    "pam.pam": b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n12345678",
    "deep.ppm": b"P6 1 1 65535\n123456", "gif.gif": encoded(picture, "GIF"),
}
for name, content in images.items():
    put("image", name, content, "made" if name in ["apng.png", "moving.webp", "deep.ppm", "gif.gif", "grey16.png"] else "whole")

# landmarks: ten numbers, the photograph's sides in steps of 2
face = [30.3, 51.7, 65.5, 51.5, 48.0, 71.7, 33.5, 92.4, 62.7, 92.2]
for name, points in {"upright": face, "large": [10 * side for side in face], "far": [side + 1e5 for side in face],
                     "turned": [-side for side in face]}.items():
    put("landmarks", name, struct.pack("<10dBB", *points, 14, 12))

# protocol: format, text
genuine = [f"a{index}" for index in range(10)]
lists = "".join(f"{name}/1.jpg {name}/2.jpg 1\nx{name}/1.jpg y{name}/1.jpg 0\n" for name in genuine)
view1 = "10\n" + "".join(f"{name}\t1\t2\n" for name in genuine) + "".join(f"{name}\t1\tb{name}\t1\n" for name in genuine)
view2 = "2\t1\n" + "".join(f"f{fold}\t1\t2\nf{fold}\t1\tg{fold}\t1\n" for fold in range(2))
two_line = "".join(f"{name}_1.jpg 1\n{name}_2.jpg 1\nx{name}.jpg 0\ny{name}.jpg 0\n" for name in genuine)
cfp = "\f".join(["1 ../Data/Images/001/frontal/01.jpg\n2 ../Data/Images/001/frontal/02.jpg\n3 a/002/frontal/01.jpg",
                 "1 ../Data/Images/001/profile/01.jpg\n3 a/002/profile/01.jpg", "1,2", "1,3"])
ytf = "split, index, a, b, label\n1, 1, Ann/0, Ann/1, 1\n2, 1, Ann/0, Bob/0, 0\n"
for kind, (name, text) in enumerate([("view1", view1), ("list", lists), ("two-line", two_line), ("cfp-ff", cfp),
                                     ("cfp-fp", cfp.replace("\f1,2", "\f1,1")), ("ytf", ytf),
                                     ("names", "a/1.jpg\tAnn\nb\tBob\n")]):
    put("protocol", name, bytes([kind]) + text.encode())
put("protocol", "view2", b"\0" + view2.encode())
put("protocol", "folds", b"\1" + "".join(f"{name}, {name}b, {index % 2}, {index // 2 + 1}\r\n" for index, name in
                                          enumerate(genuine)).encode())

# list
put("list", "images", "a.png\tAnn\nb.png\tBob Smith\n\n")
put("list", "people", "2\n1\nAnn\t3\n1\nBob\t1\n")

# npz, embeddings
vectors = f32(3, 4)
for name, save, values, names in [
    ("stored", np.savez, vectors, np.array(["a", "b/c", "d"])),
    ("deflated", np.savez_compressed, vectors.astype(np.float64), np.array([b"a", b"bc", b"d"])),
]:
    sink = io.BytesIO()
    save(sink, embeddings=values, names=names)
    put("npz", name, sink.getvalue())


def npy(kind, shape, values):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + values


def archive(embeddings, names):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("embeddings.npy", embeddings)
        file.writestr("names.npy", names)
    return sink.getvalue()


# 64 MiB of zeros in 64 KiB, each of them a name; a width that no number holds.
put("npz", "bomb", archive(npy("<f4", (1, 1), f32(1).tobytes()), npy("|S1", (64 << 20,), bytes(64 << 20))), "made")
put("npz", "width", archive(npy("<f4", (0, 4), b""), npy("<U4611686018427387904", (0,), b"")), "made")
put("embeddings", "embeddings", safetensors(
    {"embeddings": vectors}, {"names": '["a", "b/c", "d"]', "model_fingerprint": "x", "flip_rule": "summed"}))

# evidence
header = "fold\tkind\tfirst\tsecond\tfirst_person\tsecond_person\tcosine\tright\n"
rows = [(fold, kind, f"{kind}{fold}{row}", f"b{fold}{row}", f"p{row}", f"p{row}" if kind == "genuine" else f"q{row}",
         0.1 * row - 0.2, row % 2) for fold in (1, 2) for kind in ("genuine", "impostor") for row in range(6)]
put("evidence", "pairs.tsv", header + "".join("\t".join(map(str, row)) + "\n" for row in rows))
moment = {"unix_seconds": 1.5}
events = [
    {"event": "start", "step": 0, "version": "0", "network": "n", "parameters": 1, "classes": 2, "images": 3,
     "steps": 4, "timing": moment},
    {"event": "step", "step": 1, "epoch": 0, "loss": 1.25, "learning_rate": 0.1, "margin": 0.35, "scale": 30.0,
     "mean_target_cosine": 0.2, "satisfied": 0.5, "gradient_norm": 0.3, "timing": {**moment, "images_per_second": 2.0}},
    {"event": "evaluation", "step": 1, "values": {"accuracy": 0.9}, "timing": moment},
    {"event": "checkpoint", "step": 1, "timing": moment}, {"event": "resume", "step": 1, "timing": moment},
    {"event": "diverged", "step": 2, "reason": "r", "timing": moment}, {"event": "finished", "step": 2, "timing": moment},
]
put("evidence", "journal.jsonl", "".join(json.dumps(event) + "\n" for event in events))

# recipe
short = """[data]
sources = [{ tree = "t" }]
[network]
family = "sphereface"
depth = 20
[loss]
name = "cosface"
s = 64
m = 0.35
[schedule]
length = "30000 steps"
shape = { kind = "step", at = ["16000 steps", "24000 steps", "28000 steps"] }
"""
put("recipe", "short.toml", f"{short}\0loss.m=0.3\nrun.batch=32\ndata.sources.0.tree=u\n")
text = (here.parent / "recipes/lfw-view1.toml").read_text()
lines = [line for line in text.splitlines() if line and not line.startswith("#")]
put("recipe", "long.toml", "\n".join(lines) + "\n")

# checkpoint: lengths of state and backbone, state, backbone, head


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


backbone, head = safetensors({"conv.weight": f32(2, 2)}), safetensors({"centres": f32(2, 3)})
state = json.dumps({
    "format": 1, "step": 3, "epoch": 1, "offset": 2,
    "identity": {"recipe": "r", "network": "n", "data": "d", "seed": 7},
    "backbone": {"bytes": len(backbone), "crc32c": crc32c(backbone)},
    "head": {"bytes": len(head), "crc32c": crc32c(head)},
}).encode()
put("checkpoint", "checkpoint", struct.pack("<HH", len(state), len(backbone)) + state + backbone + head)
