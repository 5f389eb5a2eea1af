"""Take the pictures of the README from a report: ``python -m … REPORT FOLDER``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.compare.browser import Page, browsing

#: Name of a picture, and what of the page it shows.
PICTURES = {
    "verdict": ".verdict",
    "speed-up": "figure[aria-labelledby=chart-1-head]",
    "timeline": "figure:has([data-lens])",
    "in-flight": "figure:has([data-lens]) ~ figure",
}
_WIDTH = 960


async def _take(page: Page, dark: bool) -> dict[str, bytes]:
    shade = "dark" if dark else "light"
    await page.paint(dark=dark)
    await asyncio.sleep(0.3)  # the charts are drawn again
    return {
        f"{name}-{shade}.png": await page.picture(selector)
        for name, selector in PICTURES.items()
    }


async def _gallery(report: str) -> dict[str, bytes]:
    async with browsing() as page:
        await page.open(report, width=_WIDTH)
        return {**await _take(page, dark=False), **await _take(page, dark=True)}


def main() -> None:
    """Write the pictures."""
    report, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in asyncio.run(_gallery(report.absolute().as_uri())).items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
