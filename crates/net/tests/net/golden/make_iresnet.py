"""Makes a small network like InsightFace's iresnet with PyTorch, exports it as its own scripts do, and runs it.

`python make_iresnet.py` writes onnx_iresnet.hex and onnx_iresnet_trained.hex with .txt beside this file; made with
PyTorch 2.13 (the TorchScript exporter), onnx 1.23 and onnxruntime 1.32. The first is exported for inference, where
PyTorch folds normalisation into convolutions; the second with normalisation kept, as older exporters do. Both have
BatchNorm, convolution, BatchNorm, PReLU, convolution, BatchNorm in each unit, then BatchNorm, Dropout, Flatten, a linear
layer and BatchNorm, as in recognition/arcface_torch/backbones/iresnet.py.
"""

import io
import pathlib

import numpy
import onnx
import onnxruntime
import torch
from torch import nn

here = pathlib.Path(__file__).parent
torch.manual_seed(5)


class Unit(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.projected = stride != 1 or inputs != outputs

    def forward(self, x):
        return self.body(x) + (self.shortcut(x) if self.projected else x)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4), nn.PReLU(4))
        self.units = nn.Sequential(Unit(4, 4, 2), Unit(4, 4, 1), Unit(4, 6, 2), Unit(6, 6, 1))
        self.last = nn.Sequential(nn.BatchNorm2d(6), nn.Dropout(0.4))
        self.feature = nn.Sequential(nn.Linear(6 * 4 * 3, 5), nn.BatchNorm1d(5))

    def forward(self, x):
        return self.feature(torch.flatten(self.last(self.units(self.stem(x))), 1))


network = Network()
for module in network.modules():
    if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
        module.weight.data.uniform_(0.5, 1.5)
        module.bias.data.uniform_(-0.5, 0.5)
        module.running_mean.uniform_(-0.3, 0.3)
        module.running_var.uniform_(0.5, 1.5)
    if isinstance(module, nn.PReLU):
        module.weight.data.uniform_(-0.2, 0.4)
network.eval()
index = numpy.arange(3 * 14 * 12)
pixels = ((index * 37 % 129) / 64 - 1).astype(numpy.float32).reshape(1, 3, 14, 12)
for name, mode in [
    ("onnx_iresnet", torch.onnx.TrainingMode.EVAL),
    ("onnx_iresnet_trained", torch.onnx.TrainingMode.PRESERVE),
]:
    file = io.BytesIO()
    torch.onnx.export(
        network, torch.from_numpy(pixels), file, dynamo=False, opset_version=11, training=mode,
        input_names=["input.1"], dynamic_axes={"input.1": {0: "None"}},
    )
    model = onnx.load_from_string(file.getvalue())
    onnx.checker.check_model(model)
    print(name, sorted({node.op_type for node in model.graph.node}), len(file.getvalue()))
    session = onnxruntime.InferenceSession(file.getvalue())
    (feature,) = session.run(None, {"input.1": pixels})
    assert numpy.abs(feature - network(torch.from_numpy(pixels)).detach().numpy()).max() < 1e-5
    (here / f"{name}.txt").write_text("".join(f"{value!r}\n" for value in feature.reshape(-1).tolist()))
    text = file.getvalue().hex()
    lines = [text[start : start + 100] for start in range(0, len(text), 100)]
    (here / f"{name}.hex").write_text("\n".join(lines) + "\n")
