"""The images example makes thumbnails of real images, and a broken one costs itself alone."""

from __future__ import annotations

import runpy
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.command import ROOT, environment
from tests.examples.processes import marked_with

IMAGES = ROOT / "examples" / "images.py"


def made(*args: str, mark: str = "") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", str(IMAGES), *args]
    env = environment(ATONCE_TEST_MARK=mark)
    return subprocess.run(line, capture_output=True, text=True, env=env, timeout=50, check=False)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two images of one name, one in capitals, one that is cut off, one that is text, and a bomb."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    gradient = Image.linear_gradient("L").resize((400, 300))
    gradient.save(folder / "one.jpg")
    gradient.rotate(90, expand=True).save(folder / "more" / "one.jpg")
    gradient.save(folder / "LOUD.PNG")
    (folder / "torn.jpg").write_bytes((folder / "one.jpg").read_bytes()[:-400])
    (folder / "text.png").write_text("no image")
    (folder / "bomb.png").write_bytes(runpy.run_path(str(IMAGES))["bomb"](50_000))
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_every_good_image_has_a_thumbnail_and_every_bad_one_a_reason(photos: Path, tmp_path: Path) -> None:
    mark, out = uuid.uuid4().hex, tmp_path / "out"
    done = made(str(photos), "--out", str(out), mark=mark)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], line[1]) for line in lines[:-1]] == [
        ("LOUD.PNG", "PNG"),
        ("bomb.png", "DecompressionBombError:"),
        ("more/one.jpg", "JPEG"),
        ("one.jpg", "JPEG"),
        ("text.png", "UnidentifiedImageError:"),
        ("torn.jpg", "OSError:"),
    ]
    assert done.stdout.endswith("3 thumbnails, 3 failed\n")
    sizes = {}
    for path in out.rglob("*.png"):
        with Image.open(path) as image:
            sizes[path.relative_to(out).as_posix()] = image.size
    assert sizes == {"LOUD.PNG.png": (64, 48), "one.jpg.png": (64, 48), "more/one.jpg.png": (48, 64)}
    assert marked_with(mark) == []


def test_without_a_folder_it_takes_the_images_of_the_standard_library() -> None:
    done = made()
    assert done.returncode == 0, done.stderr
    assert "bomb.png             DecompressionBombError: " in done.stdout
    assert "failed\n" in done.stdout
