"""What a look has to do with its subject: the relations that both the product and its benchmark score.

Two tables go in. `score_rows` is the state, one row per thing that happened about a subject: `n` (its place in the order of time),
`time`, `subject`, `human`, `team`, `thing` (what it was about), `queued` (1: the row hands the subject to `team` and shows no team
of `human`). `score_asked` is what is asked: `ask`, `time`, `subject`, `human`, `thing`. Out comes `score_features`, one row per
`ask`, all whole numbers.

Left out although it scored higher: the age of the subject's file and the time since its latest row. Random draws take old files
more often than real work does, so a model learns from them how looks were drawn and fails where an insider opens a busy file.

Rules this page keeps: only rows before the look count (strictly, by time), so a planted look never enters the state; every
*context* feature falls or stays as context is taken away; no country and no attribute of a person; no random choice, and no
dependence on the order in which rows come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from custodes.engine import Engine

CONTEXT: Final[Mapping[str, str]] = {
    "own": "the actor had worked on the subject before",
    "assigned": "the subject lies with a team of the actor",
    "assigned_n": "how well the actor is known in the team with which the subject lies",
    "any_team": "the subject was once with a team of the actor",
    "mate": "team-mates of the actor who worked on the subject",
    "collab": "people on the subject with whom the actor had shared another",
    "collab_max": "subjects that the actor shares with the closest of them",
    "sim": "likeness of the actor's work to that of the closest person on the subject, per mille",
    "sim_mean": "mean likeness of the actor's work to that of the people on the subject, per mille",
    "aprod": "rows of the actor about this kind of thing",
    "tprod": "rows of the actor's teams about this kind of thing",
    "hoa": "earlier hand-overs from the last person on the subject to the actor",
    "hot": "share of hand-overs from the subject's team that go to a team of the actor, per mille",
    "team_sim": "likeness of the actor's work to that of the closest team on the subject, per mille",
    "team_share": "share of the actor's rows that stand for a team that was on the subject, per mille",
}
"""More of any of these never raises the score. Feature → what it counts."""
COUNTS: Final[Mapping[str, str]] = {
    "an": "rows of the actor",
    "cn": "rows about the subject",
    "nteams": "teams of the actor",
    "tn": "teams that the subject was with",
    "people": "people on the subject",
    "cprod": "rows of the subject's teams about this kind of thing",
}
"""How much is known at all; they speak neither for nor against, and are bound to no direction."""

FEATURES: Final = (*CONTEXT, *COUNTS)
DESIGN: Final = (*(name for name in CONTEXT if not name.startswith("team_")), "an", "cn", "nteams")
"""The sixteen that the published figures rest on."""
TAIL: Final = ("own", "assigned_n", "any_team", "mate", "collab", "sim", "aprod", "tprod", "hoa", "hot")
"""The ten of the one-sided tail sum."""

_MOST_OTHERS: Final = 60
"""People on a subject who are compared with the actor, the latest first; beyond so many, being one of them says nothing."""
_NEAREST: Final = 12
"""People on a subject whose likeness to the actor is taken, the latest first."""
_MOST_TEAMS: Final = 20

_MADE: Final = "create or replace temp table "
_KEYS: Final = ("subject", "human", "team", "thing")
_WORDS: Final = f"""create or replace temp table score_words as
  select word, cast(row_number() over (order by word) as integer) as code from (
    {" union ".join(f"select cast({key} as varchar) as word from score_rows" for key in _KEYS)}
    union {" union ".join(f"select cast({key} as varchar) from score_asked" for key in _KEYS if key != "team")})
  where word is not null"""
"""Every key by a number, in the order of the words: numbers are sorted and joined several times as fast as texts."""


def _coded(name: str, source: str, plain: str, keys: Sequence[str]) -> str:
    columns = ", ".join(f"{key}.code as {key}" for key in keys)
    joins = " ".join(f"left join score_words {key} on {key}.word = r.{key}" for key in keys)
    return f"create or replace temp table {name} as select {plain}, {columns} from {source} r {joins}"


_CODED: Final = (
    _WORDS,
    _coded("score_state", "score_rows", "r.n, r.time, r.queued", _KEYS),
    _coded("score_asks", "score_asked", "r.ask, r.time", [key for key in _KEYS if key != "team"]),
)
_BEFORE: Final = """select *, sum(w) over (partition by {key} order by time rows unbounded preceding) as n from (
  select {key}, time, count(*) as w from {source} where {where} group by {key}, time)"""
"""How many rows of a key there were up to and including each time; asked by an as-of join strictly before the look."""


def _running(name: str, key: str, source: str = "score_state", where: str = "true") -> str:
    return f"create or replace temp table {name} as {_BEFORE.format(key=key, source=source, where=where)}"


_STATE: Final = (
    "create or replace temp table score_first as select human, subject, min(time) as time from score_state group by human, subject",
    """create or replace temp table score_member as
       select human, team, min(time) as since from score_state where queued = 0 and team is not null group by human, team""",
    """create or replace temp table score_steps as
       select time, subject, human, team, lag(human) over w as from_human, lag(team) over w as from_team
       from score_state window w as (partition by subject order by n)""",
    _running("score_by_human", "human"),
    _running("score_by_membership", "human, team", where="queued = 0 and team is not null"),
    _running("score_by_human_thing", "human, thing", where="thing is not null"),
    _running("score_by_team_thing", "team, thing", where="queued = 0 and team is not null and thing is not null"),
    _running("score_by_hand_over", "from_human, human", "score_steps", "from_human <> human"),
    _running("score_by_passage", "from_team, team", "score_steps", "from_human <> human and from_team <> team"),
    _running("score_by_follow", "from_team", "score_steps", "from_team is not null"),
    _running("score_by_reach", "human", "score_first"),
)

_ON_SUBJECT: Final = (
    """create or replace temp table score_seen as
       select q.ask, q.human as asker, q.time as moment, r.n, r.time, r.human, r.team
       from score_asks q join score_state r on r.subject = q.subject and r.time < q.time""",
    """create or replace temp table score_latest as
       select ask, any_value(asker) as asker, any_value(moment) as moment, arg_max(human, n) as human,
         arg_max(team, n) as team, count(*) as cn, count(distinct team) as tn,
         count(distinct human) as people, max(case when human = asker then 1 else 0 end) as own
       from score_seen group by ask""",
    f"""create or replace temp table score_others as
       select *, row_number() over (partition by ask order by place desc) as near from (
         select ask, any_value(asker) as asker, any_value(moment) as moment, human as other, max(n) as place
         from score_seen where human <> asker group by ask, human)
       qualify near <= {_MOST_OTHERS}""",
    """create or replace temp table score_team_of_asker as
       select q.ask, q.time as moment, q.thing, m.team from score_asks q
       join score_member m on m.human = q.human and m.since < q.time""",
    """create or replace temp table score_any_team as
       select distinct s.ask from score_seen s
       join score_member m on m.human = s.asker and m.team = s.team and m.since < s.moment""",
    """create or replace temp table score_mate as
       select ask, count(distinct other) as mate from score_others o
       join score_team_of_asker t using (ask) join score_member m on m.human = o.other and m.team = t.team and m.since < o.moment
       group by ask""",
)

_SHARED: Final = (
    """create or replace temp table score_pairs as
       select distinct least(asker, other) as one, greatest(asker, other) as two from score_others""",
    """create or replace temp table score_shared as
       select p.one, p.two, greatest(a.time, b.time) as time from score_pairs p
       join score_first a on a.human = p.one join score_first b on b.human = p.two and b.subject = a.subject""",
    _running("score_by_pair", "one, two", "score_shared"),
    f"""create or replace temp table score_likeness as
       select o.ask, o.near, coalesce(p.n, 0) as shared,
         case when o.near <= {_NEAREST} and p.n > 0 then cast(floor(1000 * p.n / sqrt(a.n * b.n)) as bigint) else 0 end as sim
       from score_others o
       asof left join score_by_pair p
         on p.one = least(o.asker, o.other) and p.two = greatest(o.asker, o.other) and p.time < o.moment
       asof left join score_by_reach a on a.human = o.asker and a.time < o.moment
       asof left join score_by_reach b on b.human = o.other and b.time < o.moment""",
    f"""create or replace temp table score_collab as
       select ask, sum(case when shared > 0 then 1 else 0 end) as collab, max(shared) as collab_max, max(sim) as sim,
         sum(case when near <= {_NEAREST} then sim else 0 end) // sum(case when near <= {_NEAREST} then 1 else 0 end) as sim_mean
       from score_likeness group by ask""",
)

_TEAMS: Final = (
    f"""create or replace temp table score_team_things as
       select ask, sum(coalesce(k.n, 0)) as tprod from (
         select t.ask, t.moment, t.thing, t.team, row_number() over (partition by t.ask order by c.n desc, t.team) as place
         from score_team_of_asker t
         join score_asks q on q.ask = t.ask
         asof left join score_by_membership c on c.human = q.human and c.team = t.team and c.time < q.time) t
       asof left join score_by_team_thing k on k.team = t.team and k.thing = t.thing and k.time < t.moment
       where t.place <= {_MOST_TEAMS} group by ask""",
    """create or replace temp table score_hot as
       select t.ask, max(coalesce(p.n, 0)) as passed from score_team_of_asker t
       join score_latest l on l.ask = t.ask and l.team <> t.team
       asof left join score_by_passage p on p.from_team = l.team and p.team = t.team and p.time < t.moment
       group by t.ask""",
    "create or replace temp table score_team_count as select ask, count(*) as nteams from score_team_of_asker group by ask",
)

_ENCOUNTERS: Final = (
    """create or replace temp table score_team_first as
       select team, subject, min(time) as time from score_state where team is not null group by team, subject""",
    _running("score_by_team_reach", "team", "score_team_first"),
    """create or replace temp table score_subject_teams as
       select ask, any_value(asker) as human, team, any_value(moment) as moment from score_seen where team is not null
       group by ask, team""",
    """create or replace temp table score_met as
       select p.human, p.team, greatest(a.time, b.time) as time from (select distinct human, team from score_subject_teams) p
       join score_first a on a.human = p.human join score_team_first b on b.team = p.team and b.subject = a.subject""",
    _running("score_by_meeting", "human, team", "score_met"),
    """create or replace temp table score_encounters as
       select s.ask, max(case when m.n > 0 then cast(floor(1000 * m.n / sqrt(a.n * b.n)) as bigint) else 0 end) as team_sim,
         sum(coalesce(r.n, 0)) as team_rows, sum(coalesce(k.n, 0)) as cprod
       from score_subject_teams s join score_asks q on q.ask = s.ask
       asof left join score_by_meeting m on m.human = s.human and m.team = s.team and m.time < s.moment
       asof left join score_by_reach a on a.human = s.human and a.time < s.moment
       asof left join score_by_team_reach b on b.team = s.team and b.time < s.moment
       asof left join score_by_membership r on r.human = s.human and r.team = s.team and r.time < s.moment
       asof left join score_by_team_thing k on k.team = s.team and k.thing = q.thing and k.time < s.moment
       group by s.ask""",
)

_FEATURES: Final = """
create or replace temp table score_features as
select q.ask,
  coalesce(l.own, 0) as own,
  case when c.n > 0 then 1 else 0 end as assigned,
  coalesce(c.n, 0) as assigned_n,
  case when y.ask is null then 0 else 1 end as any_team,
  coalesce(m.mate, 0) as mate,
  coalesce(b.collab, 0) as collab,
  coalesce(b.collab_max, 0) as collab_max,
  coalesce(b.sim, 0) as sim,
  coalesce(b.sim_mean, 0) as sim_mean,
  coalesce(a.n, 0) as aprod,
  coalesce(t.tprod, 0) as tprod,
  coalesce(h.n, 0) as hoa,
  coalesce(1000 * o.passed // (1 + coalesce(f.n, 0)), 0) as hot,
  coalesce(e.team_sim, 0) as team_sim,
  coalesce(e.team_rows * 1000 // (1 + coalesce(w.n, 0)), 0) as team_share,
  coalesce(w.n, 0) as an,
  coalesce(l.cn, 0) as cn,
  coalesce(k.nteams, 0) as nteams,
  coalesce(l.tn, 0) as tn,
  coalesce(l.people, 0) as people,
  coalesce(e.cprod, 0) as cprod
from score_asks q
left join score_latest l on l.ask = q.ask
left join score_any_team y on y.ask = q.ask
left join score_mate m on m.ask = q.ask
left join score_collab b on b.ask = q.ask
left join score_team_things t on t.ask = q.ask
left join score_hot o on o.ask = q.ask
left join score_team_count k on k.ask = q.ask
left join score_encounters e on e.ask = q.ask
asof left join score_by_membership c on c.human = q.human and c.team = l.team and c.time < q.time
asof left join score_by_human_thing a on a.human = q.human and a.thing = q.thing and a.time < q.time
asof left join score_by_hand_over h on h.from_human = l.human and h.human = q.human and h.time < q.time
asof left join score_by_follow f on f.from_team = l.team and f.time < q.time
asof left join score_by_human w on w.human = q.human and w.time < q.time
"""


def build(engine: Engine) -> None:
    """Make `score_features` from `score_rows` and `score_asked`; what it takes on the way is dropped again."""
    steps = (*_CODED, *_STATE, *_ON_SUBJECT, *_SHARED, *_TEAMS, *_ENCOUNTERS)
    for sql in (*steps, _FEATURES):
        engine.run(sql)
    for sql in steps:
        engine.run(f"drop table {sql.removeprefix(_MADE).split()[0]}")


def rows(engine: Engine, names: tuple[str, ...] = FEATURES) -> dict[int, tuple[int, ...]]:
    """Return ask → values of the features named."""
    listed = ", ".join(f"cast({name} as bigint) as {name}" for name in names)
    found = engine.fetch(f"select ask, {listed} from score_features")
    values = zip(*(found[name].to_pylist() for name in names), strict=True)
    return dict(zip(found["ask"].to_pylist(), values, strict=True))
