"""What a tab of the browser, and a screen reader first of all, says of a page."""

from __future__ import annotations

import re


def title(page: str) -> str:
    [found] = re.findall(r"<title>(.*?)</title>", page, re.DOTALL)
    return " ".join(str(found).split())
