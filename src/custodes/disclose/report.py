"""The report: one self-contained HTML file. No script, nothing loaded from elsewhere, pseudonyms only.

The same run under the same display names gives the same bytes, except for the last line, which says when and by which version it
was made and holds the digest of everything else.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from typing import Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from custodes.disclose.page import page_of
from custodes.disclose.said import Names, counted
from custodes.minimise.display import Display
from custodes.model.run import WatchRun
from custodes.pictures.axis import moment
from custodes.pictures.colour import dark_css
from custodes.pictures.metrics import clean

_LAST: Final = Markup("<!--last-line-->")


def render(run: WatchRun, *, made_at: datetime, version: str, display: Display) -> str:
    """Return the report as HTML. `made_at`: with a zone; `display`: knows the names of `said.pseudonyms_of(run)`."""
    css = _stylesheet()
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True)
    environment.filters["counted"] = counted
    template = environment.from_string(_read("report.html.jinja"))
    text = template.render(
        page=page_of(run, Names(display)),
        css=Markup(css),  # noqa: S704  # own stylesheet, hashed as it is
        policy=policy(css),
        last_line=_LAST,
    )
    told = Markup("<p>Made {} by custodes {}. SHA-256 of this page without this line: <code>{}</code></p>").format(
        moment(made_at.astimezone(UTC)), version, _digest(text)
    )
    return text.replace(_LAST, str(told))


def digest(report: str) -> str:
    """Return the SHA-256 of a report without its last line (hexadecimal): equal for equal runs, whenever they were reported."""
    head, mark, rest = report.rpartition("<p>Made ")
    return _digest(head + str(_LAST) + rest.partition("</p>")[2]) if mark else _digest(report)


def policy(css: str) -> str:
    """Return the content security policy of a page with this stylesheet: nothing but the stylesheet."""
    hashed = base64.b64encode(sha256(css.encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _stylesheet() -> str:
    return "\n" + _read("report.css").replace("/*DARK*/", dark_css())


def _read(name: str) -> str:
    return files("custodes.disclose").joinpath(name).read_text(encoding="utf-8")


def _shown(value: object) -> object:
    """What the template prints: plain text loses controls and direction overrides before it is escaped."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value
