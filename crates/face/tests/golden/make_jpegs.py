"""Writes small JPEG files of the kinds that no encoder here makes, each with the pixels that Pillow reads from it.

`python make_jpegs.py` writes NAME.jpg and NAME.rgb (16 x 12 pixels, red, green, blue) beside this file; made with
Pillow 13.0. Pillow converts CMYK by R = (255 - C)(255 - K) / 255 after undoing Adobe's inversion.
"""

import io
import pathlib

from PIL import Image

here = pathlib.Path(__file__).parent
width, height = 16, 12


def ramp(x, y):
    return (20 + 10 * x, 230 - 12 * y, 40 + 6 * x + 5 * y, 10 + 4 * x + 2 * y)


inks = Image.new("CMYK", (width, height))
inks.putdata([ramp(x, y) for y in range(height) for x in range(width)])
colours = Image.new("RGB", (width, height))
colours.putdata([ramp(x, y)[:3] for y in range(height) for x in range(width)])


def encoded(image, **settings):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=97, subsampling=0, **settings)
    return file.getvalue()


adobe = encoded(inks)
at = adobe.index(b"\xff\xee")
length = int.from_bytes(adobe[at + 2 : at + 4], "big") + 2
assert adobe[at + 4 : at + 9] == b"Adobe" and adobe[at + length - 1] == 0
files = {
    # Inverted inks, as Photoshop and Pillow store them: transform 0.
    "cmyk_adobe": adobe,
    # The same bytes read as YCCK, transform 2.
    "ycck_adobe": adobe[: at + length - 1] + b"\x02" + adobe[at + length :],
    # The same bytes without the marker, which Pillow takes for inverted too.
    "cmyk_plain": adobe[:at] + adobe[at + length :],
    "progressive": encoded(colours, progressive=True),
}
for name, data in files.items():
    (here / f"{name}.jpg").write_bytes(data)
    (here / f"{name}.rgb").write_bytes(Image.open(io.BytesIO(data)).convert("RGB").tobytes())
