"""YAML that people write: policy, data map, rules. One reading of it, strict, and no document can exhaust the reader.

A key that stands twice is refused, since the second would silently win; `on`, `no` and `NO` (Norway) are words, not truth values; a
fault names its line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import yaml

MOST: Final = 8 * 1024 * 1024
"""Characters of a document."""
DEEPEST: Final = 64
"""Collections inside each other. The reader in C has no bound of its own: it would end the process."""
_SHALLOW: Final = 1_000
"""Brackets in a document, and letters before the first word of a line, that cannot make it deep enough to matter."""
_LEAD: Final = re.compile(rf"^[ \-?:]{{{_SHALLOW},}}", re.MULTILINE)

if TYPE_CHECKING:
    from yaml import SafeLoader as _Loader
else:  # the reader written in C is ten times as fast; where it was not built, the other reads the same
    _Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Strict(_Loader):
    """A loader that refuses a key written twice instead of keeping the last, and in which `on` is a word, not a truth value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        own = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if double := {str(key) for key in own if own.count(key) > 1}:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: key {min(double)!r} stands twice")
        return dict(super().construct_mapping(node, deep))


_Strict.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool" or letter in "tTfF"]
    for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_document(text: str) -> object:
    """Decode one YAML document. Raises `ValueError`, whose words name the line."""
    if len(text) > MOST:
        raise ValueError(f"longer than {MOST // 2**20} Mi characters")
    try:
        if text.count("[") + text.count("{") > _SHALLOW or _LEAD.search(text):
            _refuse_depth(text)
        return yaml.load(text, Loader=_Strict)  # noqa: S506  # a SafeLoader that refuses doubled keys
    except yaml.MarkedYAMLError as wrong:
        mark = wrong.problem_mark or wrong.context_mark
        raise ValueError(f"line {mark.line + 1 if mark else 1}: {wrong.problem or wrong.context}") from None
    except yaml.YAMLError as wrong:
        raise ValueError(" ".join(str(wrong).split())) from None


def _refuse_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        assert event.start_mark is not None  # parsed text has places  # noqa: S101
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ValueError(f"line {event.start_mark.line + 1}: nested more than {DEEPEST} deep")
