"""A new rule to begin with: a file that keeps the contract and whose tests pass, to be made into what its author looks for."""

from __future__ import annotations

import re
from typing import Final

from custodes.errors import BadRule
from custodes.rule_file import read_rule

_CODE: Final = re.compile(r"[A-Z][0-9]{2}")
_PAGE: Final = """schema: custodes.rule/1
code: {code}
title: {title}
version: 1
since: "0.2"
state: preview
kind: threshold
on: residue
entity: pair
level: low
confidence: low
codes: [V1]
tags: [attack.T1213]
requires:
  any: [tickets, cases, grants]
params:
  least: {{default: 3, min: 2, max: 100, unit: looks, why: "say here why this number and no other"}}
  days: {{default: 7, min: 1, max: 90, unit: days, why: "say here why this span and no other"}}
sql: |
  WITH numbered AS (
    SELECT access, actor, subject, time, day_number(time) AS day FROM residue
    WHERE subject IS NOT NULL AND public_only = 0 AND coalesce(deliberate, TRUE)
  ),
  counted AS (
    SELECT access, actor, subject, time,
           count(*) OVER (PARTITION BY actor, subject ORDER BY day
             RANGE BETWEEN :days PRECEDING AND :days FOLLOWING) AS looks_around
    FROM numbered
  )
  SELECT access, actor, subject, time, looks_around FROM counted WHERE looks_around >= :least
sentence: >-
  {{actors}} opened {{data}} of {{subjects}} in {{looks}} {{when}}, {{looks_around:time}} within days; {{reason}}.
finds: >-
  Say in two sentences which looks this rule finds, so that somebody who never reads SQL knows.
why: >-
  Say which harm it is about.
innocent:
  - Say the commonest innocent reason.
  - Say the second one.
questions:
  - Ask what would settle it?
  - Ask who would know?
  - Ask what else would then be seen?
forger_needs: Say what an insider must fake to pass.
known_gaps:
  - Say what this rule cannot see.
asks: [E1, E2, E3, E4]
dedup: {{key: [actor, subject], days: 30}}
budget: {{per_week: 3}}
tests:
  - name: three looks without a reason within a week
    tables:
      looks: &three
        - {{access: 1, subject: s-a, actor: a-x, public_only: 0, deliberate: true, time: 2026-03-02 09:00}}
        - {{access: 2, subject: s-a, actor: a-x, public_only: 0, deliberate: true, time: 2026-03-03 09:00}}
        - {{access: 3, subject: s-a, actor: a-x, public_only: 0, deliberate: true, time: 2026-03-04 09:00}}
    rows:
      - {{access: 1, actor: a-x, subject: s-a, looks_around: 3}}
      - {{access: 2, actor: a-x, subject: s-a, looks_around: 3}}
      - {{access: 3, actor: a-x, subject: s-a, looks_around: 3}}
  - name: three of four looks, where one has a reason
    tables:
      looks:
        - {{access: 1, subject: s-a, actor: a-x, public_only: 0, time: 2026-03-02 09:00}}
        - {{access: 2, subject: s-a, actor: a-x, public_only: 0, time: 2026-03-02 10:00}}
        - {{access: 3, subject: s-a, actor: a-x, public_only: 0, time: 2026-03-02 11:00}}
        - {{access: 4, subject: s-a, actor: a-x, public_only: 0, time: 2026-03-02 12:00}}
      explanations: [{{access: 4, subject: s-a, template: E1, strength: 4}}]
    rows: [{{access: 1}}, {{access: 2}}, {{access: 3}}]
  - name: looks with a ticket are quiet
    tables:
      looks: *three
      explanations:
        - {{access: 1, subject: s-a, template: E1, strength: 4}}
        - {{access: 2, subject: s-a, template: E1, strength: 4}}
        - {{access: 3, subject: s-a, template: E1, strength: 4}}
    rows: []
  - name: looks at three people are quiet
    tables:
      looks:
        - {{access: 1, subject: s-a, actor: a-x, public_only: 0, time: 2026-03-02 09:00}}
        - {{access: 2, subject: s-b, actor: a-x, public_only: 0, time: 2026-03-02 10:00}}
        - {{access: 3, subject: s-c, actor: a-x, public_only: 0, time: 2026-03-02 11:00}}
    rows: []
  - name: two looks are not enough, and a third eight days later comes too late
    boundary: true
    tables:
      looks:
        - {{access: 1, subject: s-a, actor: a-x, public_only: 0, time: 2026-03-02 09:00}}
        - {{access: 2, subject: s-a, actor: a-x, public_only: 0, time: 2026-03-02 10:00}}
        - {{access: 3, subject: s-a, actor: a-x, public_only: 0, time: 2026-03-10 09:00}}
    rows: []
"""


def scaffold(code: str, title: str) -> tuple[str, str]:
    """Return name and text of a new rule file. Raises `BadRule` for a code or title that no rule can have."""
    words = re.findall(r"[a-z0-9]+", title.lower())
    if not _CODE.fullmatch(code):
        raise BadRule(f"{code!r} is no code: a letter and two digits, such as X01")
    if not words or not re.fullmatch(r"[A-Za-z0-9 ,-]+", title):
        raise BadRule("a title is made of words: letters, digits, spaces, commas and hyphens")
    name = f"{code}_{'_'.join(words[:4])}.yml"
    text = _PAGE.format(code=code, title=title.strip())
    read_rule(text, name)  # what is handed out keeps the contract
    return name, text
