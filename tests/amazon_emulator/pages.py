"""The look of the emulator's pages: plain, accessible, and never to be taken for Amazon."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tests.amazon_emulator.wire import Reply

_STYLE = """
:root{color-scheme:light dark;--ink:#1a2330;--paper:#fbfbf9;--line:#8a94a3;--mark:#0b5c8a}
@media (prefers-color-scheme:dark){
:root{--ink:#eef1f5;--paper:#151b24;--line:#7c8798;--mark:#7cc4f0}}
*{box-sizing:border-box}
body{margin:0;font:1rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
.fake{margin:0;padding:.5rem 1rem;background:#7a1020;color:#fff;font-weight:600}
main{max-width:64rem;margin:0 auto;padding:1rem}
h1{line-height:1.2}a{color:var(--mark)}code{overflow-wrap:anywhere}
label{display:block;font-weight:600;margin-top:.75rem}
select,input,button{font:inherit;padding:.4rem .7rem;max-width:100%;color:inherit;
background:var(--paper);border:1px solid var(--line);border-radius:.3rem}
button{cursor:pointer;margin:.75rem .5rem 0 0}
button.primary{background:#0b5c8a;border-color:#0b5c8a;color:#fff;font-weight:600}
:focus-visible{outline:3px solid var(--mark);outline-offset:2px}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}
caption{text-align:left;font-weight:600}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid var(--line)}
fieldset,details{border:1px solid var(--line);border-radius:.3rem;margin:.75rem 0;
padding:.6rem 1rem}
"""


def page(title: str, *content: str, status: int = 200, error: str = "") -> Reply:
    """A whole page; `content` is HTML. `error` goes to the ledger."""
    body = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        # No icon, so that browsers do not ask for one and fill the ledger.
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)} · Fake Amazon</title><style>{_STYLE}</style></head><body>"
        '<header><p class="fake">Fake Amazon: an emulator for development. '
        "Nothing here reaches the real Amazon.</p></header>"
        f"<main><h1>{escape(title)}</h1>{''.join(content)}</main></body></html>"
    )
    headers = [("Content-Type", "text/html;charset=UTF-8"), ("Cache-Control", "no-store")]
    return Reply(status, body.encode(), headers, error)


def error_page(code: str, title: str, *sentences: str, status: int = 400) -> Reply:
    """One of Amazon's own error pages: it stays here, nothing goes back to the application."""
    words = [f"<p>Error code: <strong>{escape(code)}</strong></p>"]
    words += [f"<p>{escape(sentence)}</p>" for sentence in sentences]
    return page(title, *words, status=status, error=code)


def form(*content: str, action: str = "") -> str:
    """Posts to the same address, or to `action`."""
    target = f' action="{escape(action)}"' if action else ""
    return f'<form method="post"{target}>{"".join(content)}</form>'


def select(name: str, label: str, options: Iterable[tuple[str, str]], chosen: str = "") -> str:
    items = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{escape(text)}</option>"
        for value, text in options
    )
    return (
        f'<label for="{escape(name)}">{escape(label)}</label>'
        f'<select name="{escape(name)}" id="{escape(name)}">{items}</select>'
    )


def buttons(name: str, choices: Iterable[tuple[str, str]]) -> str:
    """The first one is the expected choice."""
    items = "".join(
        f'<button name="{escape(name)}" value="{escape(value)}"'
        f"{'' if number else ' class=' + chr(34) + 'primary' + chr(34)}>{escape(text)}</button>"
        for number, (value, text) in enumerate(choices)
    )
    return f"<div>{items}</div>"


def hidden(**fields: str) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )


def table(caption: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Cells are HTML; whoever calls escapes."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def field(name: str, value: str, *, prefix: str = "") -> str:
    """A labelled text input; `prefix` keeps its id apart from those of other forms."""
    identifier = escape(f"{prefix}-{name}")
    return (
        f'<label for="{identifier}">{escape(name)}</label>'
        f'<input id="{identifier}" name="{escape(name)}" value="{escape(value)}">'
    )
