"""Thumbnails of many images, made by Pillow in processes: a broken file costs itself alone, and is named.

    python examples/images.py                        # the images in this machine's standard library, and two bad ones
    python examples/images.py PHOTOS --out THUMBS    # yours

Each image has a time limit and its process a memory limit: a file that hangs a decoder, eats the memory or kills the
process is one `Failed` among the outcomes, and the next image has a fresh process.
"""

from __future__ import annotations

import argparse
import struct
import sysconfig
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from atonce import Failed, Ok, ProcessBackend, blocking

SUFFIXES = {".png", ".gif", ".bmp", ".tiff", ".webp", ".jpg", ".jpeg"}
SIZE = (64, 64)
LIMIT = 10.0
MEMORY = 1 << 30


class Thumbnail(NamedTuple):
    """What became of an image: its format, its width and height, and the bytes before and after."""

    format: str
    width: int
    height: int
    before: int
    after: int


def thumbnail(path: Path, folder: Path, out: Path) -> Thumbnail:
    """Make it smaller; in a process, since decoding takes a CPU and a C library that one may not trust."""
    from PIL import Image

    warnings.simplefilter("error", Image.DecompressionBombWarning)
    with Image.open(path) as image:
        kind, (width, height) = image.format or "?", image.size
        image.draft("RGB", SIZE)
        small = image.convert("RGBA")
    small.thumbnail(SIZE)
    target = out / f"{path.relative_to(folder)}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    small.save(target)
    return Thumbnail(kind, width, height, path.stat().st_size, target.stat().st_size)


def images(folder: Path) -> list[Path]:
    """The files below a folder that are called like images."""
    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]


@contextmanager
def found() -> Iterator[Path]:
    """A folder with the images of the standard library, one of which is cut off, and a file that claims to be huge."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = [path for path in images(root) if "site-packages" not in path.parts]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in paths:
            (folder / path.name).write_bytes(path.read_bytes())
        if paths:
            largest = max(paths, key=lambda path: path.stat().st_size)
            (folder / f"torn-{largest.name}").write_bytes(largest.read_bytes()[:-500])
        (folder / "bomb.png").write_bytes(bomb(50_000))
        yield folder


def bomb(side: int) -> bytes:
    """A small PNG file that takes gigabytes when it is decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def convert(folder: Path, out: Path) -> int:
    """Make all thumbnails, say what became of each image; gives how many could not be made."""
    paths = images(folder)
    made, failed = 0, 0
    with ProcessBackend(memory_limit=MEMORY) as processes:
        work = partial(thumbnail, folder=folder, out=out)
        for outcome in blocking.stream(paths, work, on=processes, timeout=LIMIT):
            name = outcome.input.relative_to(folder)
            match outcome:
                case Ok(small):
                    made += 1
                    size = f"{small.width} x {small.height}"
                    print(
                        f"{name!s:<20} {small.format:<5} {size:>11} {small.before:>7,} -> {small.after:,} bytes"
                    )
                case Failed(error):
                    failed += 1
                    print(f"{name!s:<20} {type(error).__name__}: {error}")
    print(f"{made} thumbnails, {failed} failed")
    return failed


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="where the images are")
    parser.add_argument("--out", type=Path, help="where the thumbnails go (default: nowhere that lasts)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        out = given.out or Path(name)
        if given.folder:
            convert(given.folder, out)
        else:
            with found() as folder:
                convert(folder, out)


if __name__ == "__main__":
    main()
