"""Every example in a docstring, in README.md and in docs/ runs and prints what it says."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path

import pytest
from sybil import Document
from sybil.document import PythonDocStringDocument
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parent.parent
SOURCES = [
    path for path in sorted((ROOT / "src").rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")
]
PAGES = [path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if path.exists()]


def run_examples(document: Document) -> None:
    """Evaluate the examples of one document in order; the first that fails raises with its line."""
    for example in document.examples():
        example.evaluate()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT / "src").as_posix())
def test_docstring_examples_run(path: Path) -> None:
    document = PythonDocStringDocument.parse(str(path), DocTestParser())
    name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    face = importlib.import_module("atonce")
    document.namespace.update(vars(face), **{verb: getattr(face, verb) for verb in face.__all__})
    document.namespace.update(vars(importlib.import_module(name)), asyncio=asyncio)
    run_examples(document)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_page_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_examples(Document.parse(str(path), PythonCodeBlockParser(), SkipParser()))
