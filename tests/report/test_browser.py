"""The page in a real browser: it draws, answers keys, follows light and dark, and no item does anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from atonce.report.page import page
from tests.report import browser
from tests.report.journals import EVIL, bad, end, good, head, read, written
from tests.report.test_page import many

WHERE = browser.found()
pytestmark = pytest.mark.skipif(
    WHERE is None, reason="no Chromium here: apt-get install chromium-headless-shell"
)


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    rows = [good(n, 0.2, 0.2 * (n + 1), item=EVIL if n == 3 else None) for n in range(8)]
    rows.append(bad(8, 0.5, 2.0, item=EVIL, msg=EVIL, host=EVIL, kind="exception", type=EVIL))
    path = tmp_path / "report.html"
    path.write_text(page(read(written(head(), *rows, end()), pictured=True)), encoding="utf-8")
    return path


async def test_it_draws_from_a_file_without_a_network_or_a_complaint(evil: Path) -> None:
    assert WHERE is not None
    async with browser.tab(WHERE) as tab:
        await tab.open(evil)
        assert await tab.value("+document.getElementById('lanes').dataset.drawn") == 9
        assert await tab.value("document.title") == "pages.jsonl: atonce report"
        assert await tab.value("document.images.length") == 0
        assert tab.complaints == []
        assert tab.asked == [evil.as_uri()]


async def test_keys_zoom_move_and_find_the_failure(evil: Path) -> None:
    assert WHERE is not None
    async with browser.tab(WHERE) as tab:
        await tab.open(evil)
        view = "document.getElementById('lanes').dataset.view"
        whole = await tab.value(view)
        await tab.value("document.getElementById('lanes').focus()")
        await tab.press("w")
        near = await tab.value(view)
        assert near != whole
        await tab.press("a")
        assert await tab.value(view) != near
        await tab.press("n")
        said = await tab.value("document.getElementById('one').textContent")
        assert "</script><img src=x onerror=" in said
        assert "failed: </script>" in said
        await tab.press("0")
        assert await tab.value(view) == whole
        await tab.press("Home")
        assert tab.complaints == []


async def test_an_item_of_a_table_is_found_in_the_picture(evil: Path) -> None:
    assert WHERE is not None
    async with browser.tab(WHERE) as tab:
        await tab.open(evil)
        await tab.value("document.querySelector('[data-at]').click()")
        assert "took 500 ms" in await tab.value("document.getElementById('one').textContent")
        await tab.value("document.getElementById('one').textContent = ''")
        await tab.value("document.querySelector('[data-cause]').click()")


async def test_it_is_light_or_dark_as_the_system_is(evil: Path) -> None:
    assert WHERE is not None
    async with browser.tab(WHERE) as tab:
        await tab.open(evil)
        seen = set()
        for scheme in ("light", "dark"):
            await tab.ask(
                "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
            )
            seen.add(await tab.value("getComputedStyle(document.body).backgroundColor"))
        assert seen == {"rgb(255, 255, 255)", "rgb(20, 23, 27)"}


async def test_without_scripts_its_tables_have_everything(evil: Path) -> None:
    assert WHERE is not None
    async with browser.tab(WHERE) as tab:
        await tab.ask("Emulation.setScriptExecutionDisabled", value=True)
        await tab.ask("Page.navigate", url=evil.as_uri())
        await tab.until("document.readyState === 'complete' && document.querySelectorAll('table').length > 2")
        text = await tab.value("document.body.innerText")
        assert "The items that took longest" in text
        assert "Failures by what they have in common" in text


async def test_a_hundred_thousand_items_are_drawn_by_columns_of_pixels(tmp_path: Path) -> None:
    assert WHERE is not None
    path = tmp_path / "report.html"
    path.write_text(page(many(100_000)), encoding="utf-8")
    async with browser.tab(WHERE) as tab:
        await tab.open(path)
        assert await tab.value("+document.getElementById('lanes').dataset.ready") == 100_000
        assert 1_000 < await tab.value("+document.getElementById('lanes').dataset.drawn") < 60_000
        assert tab.complaints == []
