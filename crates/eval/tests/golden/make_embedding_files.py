"""Writes embeddings.npz, packed.npz and objects.npz with NumPy: the same five named vectors stored, compressed, and
with names as objects, which would be a pickle. Run it with NumPy anywhere; it writes beside itself."""

from pathlib import Path

import numpy as np

folder = Path(__file__).parent
names = ["Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Bob/Bob_0001.jpg", "Bob/Bob_0012.jpg", "Zoë/Zoë_0001.png"]
values = (np.arange(15).reshape(5, 3) - 7.25) / 8
np.savez(folder / "embeddings.npz", embeddings=values.astype(np.float32), names=np.array(names))
np.savez_compressed(folder / "packed.npz", embeddings=values, names=np.array([n.encode() for n in names]))
np.savez(folder / "objects.npz", embeddings=values, names=np.array(names, dtype=object))
