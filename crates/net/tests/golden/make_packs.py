"""Writes pack_2.bin (Python 2's strings), pack_3_array.bin, pack_4.bin and pack_4_array.bin: the same two pairs as
InsightFace packs them. Needs NumPy; writes beside itself."""

import pickle
import struct
from pathlib import Path

import numpy as np

folder = Path(__file__).parent
images = [b"\xff\xd8one", b"\xfftwo", b"three", b"." * 300]
arrays = [np.frombuffer(image, np.uint8).copy() for image in images]
# Some packs hold columns.
arrays[0] = arrays[0].reshape(-1, 1)
same = [True, False]

# Python 2 wrote byte strings with SHORT_BINSTRING and BINSTRING, which Python 3 no longer does.
strings = b"".join(
    (b"U" + struct.pack("<B", len(i)) if len(i) < 256 else b"T" + struct.pack("<I", len(i))) + i for i in images
)
(folder / "pack_2.bin").write_bytes(b"\x80\x02]q\x00(" + strings + b"e]q\x01(\x88\x89e\x86q\x02.")
for name, protocol, content in [("pack_3_array", 3, arrays), ("pack_4", 4, images), ("pack_4_array", 4, arrays)]:
    (folder / f"{name}.bin").write_bytes(pickle.dumps((content, same), protocol=protocol))
