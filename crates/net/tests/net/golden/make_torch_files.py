"""Writes torch_archive.hex and torch_legacy.hex: one state dict in both layouts of torch.save.

Run as `python make_torch_files.py` with PyTorch; made with 2.13. The tests know the values.
"""

import io
import pathlib
from collections import OrderedDict

import torch

matrix = torch.arange(6, dtype=torch.float32).reshape(2, 3)
state = OrderedDict(
    [
        ("matrix", matrix),
        ("transposed", matrix.t()),  # strides, the same storage
        ("row", matrix[1]),  # an offset, the same storage
        ("double", torch.tensor([0.1, -2.5], dtype=torch.float64)),
        ("count", torch.tensor(7)),  # a single number
        ("empty", torch.zeros(0, 4)),
        ("parameter", torch.nn.Parameter(torch.tensor([1.5]))),
    ]
)
state._metadata = OrderedDict([("", {"version": 1})])
data = {"epoch": 68, "lr": 0.1, "best": None, "state": state, "list": [torch.tensor([2.0])]}

here = pathlib.Path(__file__).parent
for name, zipped in [("torch_archive", True), ("torch_legacy", False)]:
    file = io.BytesIO()
    torch.save(data, file, _use_new_zipfile_serialization=zipped)
    text = file.getvalue().hex()
    lines = [text[start : start + 100] for start in range(0, len(text), 100)]
    (here / f"{name}.hex").write_text("\n".join(lines) + "\n")
