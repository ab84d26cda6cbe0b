"""PostgreSQL 15 and later as a guarded database: its catalogue as values, and scripts applied in one transaction.

Driver: psycopg 3 (extra `custodes[guard]`). Values are always bound; the server's messages are passed on without details, because a
DETAIL line may quote a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from custodes.catalogue import (
    Catalogue,
    Column,
    DefaultGrants,
    Fact,
    Grant,
    Membership,
    Name,
    Relation,
    Role,
    Routine,
    Schema,
)
from custodes.errors import ConfigError, EngineUnavailable

if TYPE_CHECKING:
    import psycopg

_OLDEST: Final = 150_000
_OURS: Final = "n.nspname !~ '^pg_(toast|temp)' and n.nspname not in ('pg_catalog', 'information_schema')"


def _grants(acl: str, kind: str, owner: str) -> str:
    """Return SQL for an effective list of grants as JSON; `kind` is what `acldefault` wants."""
    return (
        "(select coalesce(json_agg(json_build_array(coalesce(ge.rolname, ''), x.privilege_type, x.is_grantable, "
        "coalesce(gr.rolname, '')) order by coalesce(ge.rolname, ''), x.privilege_type, gr.rolname), '[]') "
        f"from aclexplode(coalesce({acl}, acldefault('{kind}', {owner}))) x "
        "left join pg_roles ge on ge.oid = x.grantee left join pg_roles gr on gr.oid = x.grantor)"
    )


_COLUMN_GRANTS: Final = _grants("a.attacl", "c", "c.relowner")
_DATABASE: Final = f"""
select d.datname, pg_get_userbyid(d.datdba), current_setting('server_version_num')::int, current_setting('server_version'),
       session_user::text, (select rolsuper from pg_roles where rolname = session_user), {_grants("d.datacl", "d", "d.datdba")}
from pg_database d where d.datname = current_database()"""
_ROLES: Final = """
select r.rolname, r.rolcanlogin, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls
from pg_roles r order by 1"""
_MEMBERS_15: Final = """
select m.rolname, g.rolname, bool_or(a.admin_option), m.rolinherit, true
from pg_auth_members a join pg_roles m on m.oid = a.member join pg_roles g on g.oid = a.roleid group by 1, 2, 4 order by 1, 2"""
_MEMBERS_16: Final = """
select m.rolname, g.rolname, bool_or(a.admin_option), bool_or(a.inherit_option), bool_or(a.set_option)
from pg_auth_members a join pg_roles m on m.oid = a.member join pg_roles g on g.oid = a.roleid group by 1, 2 order by 1, 2"""
_SCHEMAS: Final = f"""
select n.nspname, pg_get_userbyid(n.nspowner), {_grants("n.nspacl", "n", "n.nspowner")}
from pg_namespace n where {_OURS} order by 1"""
_RELATIONS: Final = f"""
select n.nspname, c.relname, c.relkind::text, pg_get_userbyid(c.relowner),
       case when c.relkind = 'S' then {_grants("c.relacl", "s", "c.relowner")} else {_grants("c.relacl", "r", "c.relowner")} end,
       coalesce(c.reloptions, '{{}}'),
       case when c.relforcerowsecurity then 'forced' when c.relrowsecurity then 'enabled' else '' end,
       (select coalesce(json_agg(json_build_array(pn.nspname, p.relname) order by i.inhseqno), '[]') from pg_inherits i
        join pg_class p on p.oid = i.inhparent join pg_namespace pn on pn.oid = p.relnamespace where i.inhrelid = c.oid),
       (select coalesce(json_agg(t.tgname order by t.tgname), '[]') from pg_trigger t
        where t.tgrelid = c.oid and not t.tgisinternal),
       (select coalesce(json_agg(json_build_array(g.attname, f.attname) order by g.attname, f.attname), '[]') from pg_attrdef e
        join pg_attribute g on g.attrelid = e.adrelid and g.attnum = e.adnum and g.attgenerated <> ''
        join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = e.oid and d.refobjid = e.adrelid
        join pg_attribute f on f.attrelid = e.adrelid and f.attnum = d.refobjsubid and f.attnum <> g.attnum where e.adrelid = c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and {_OURS} order by 1, 2"""
_COLUMNS: Final = f"""
select n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), {_COLUMN_GRANTS}
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0 and not a.attisdropped and {_OURS} order by 1, 2, a.attnum"""
_READS: Final = f"""
select distinct n.nspname, c.relname, rn.nspname, r.relname, coalesce(a.attname, '')
from pg_rewrite w join pg_class c on c.oid = w.ev_class join pg_namespace n on n.oid = c.relnamespace
join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
join pg_class r on r.oid = d.refobjid and r.oid <> c.oid join pg_namespace rn on rn.oid = r.relnamespace
left join pg_attribute a on a.attrelid = r.oid and a.attnum = d.refobjsubid and d.refobjsubid > 0
where {_OURS} order by 1, 2, 3, 4, 5"""
_ROUTINES: Final = f"""
select n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), pg_get_userbyid(p.proowner), l.lanname, l.lanpltrusted,
       p.prosecdef, {_grants("p.proacl", "f", "p.proowner")}, coalesce(p.proconfig, '{{}}'),
       case when l.lanname in ('c', 'internal') then '' else coalesce(pg_get_function_sqlbody(p.oid), p.prosrc, '') end,
       coalesce((select e.extname from pg_depend d join pg_extension e on e.oid = d.refobjid
                 where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'), '')
from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
where {_OURS} order by 1, 2, 3"""
_DEFAULTS: Final = f"""
select pg_get_userbyid(d.defaclrole), coalesce(n.nspname, ''), d.defaclobjtype::text, {_grants("d.defaclacl", "r", "d.defaclrole")}
from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace order by 1, 2, 3"""
_SETTINGS: Final = (
    "'log_parameter_max_length', 'log_parameter_max_length_on_error', 'log_statement', 'log_min_duration_statement', "
    "'pgaudit.log_parameter', 'session_preload_libraries', 'shared_preload_libraries'"
)


def _option(name: str) -> str:
    return f"(select substr(o, {len(name) + 2}) from unnest(s.srvoptions) o where o like '{name}=%')"


_FACTS: Final = {
    "extension": "select extname, extversion from pg_extension",
    "foreign server": "select s.srvname, w.fdwname || ' owned by ' || pg_get_userbyid(s.srvowner) from pg_foreign_server s "
    "join pg_foreign_data_wrapper w on w.oid = s.srvfdw",
    "server mapping": "select m.srvname || ' for ' || case when m.umuser = 0 then 'PUBLIC' else m.usename end, "
    f"concat_ws(' ', w.fdwname, 'to', {_option('host')}, {_option('hostaddr')}, '/' || {_option('dbname')}) "
    "from pg_user_mappings m join pg_foreign_server s on s.oid = m.srvid join pg_foreign_data_wrapper w on w.oid = s.srvfdw",
    "foreign table": "select c.relnamespace::regnamespace || '.' || c.relname, s.srvname from pg_foreign_table f "
    "join pg_class c on c.oid = f.ftrelid join pg_foreign_server s on s.oid = f.ftserver",
    "rule": "select n.nspname || '.' || c.relname, w.rulename from pg_rewrite w join pg_class c on c.oid = w.ev_class "
    f"join pg_namespace n on n.oid = c.relnamespace where w.rulename <> '_RETURN' and {_OURS}",
    "extended statistics": "select n.nspname || '.' || c.relname, x.stxname from pg_statistic_ext x "
    "join pg_class c on c.oid = x.stxrelid join pg_namespace n on n.oid = c.relnamespace",
    "statistics view": "select 'pg_stats_ext', case when pg_get_viewdef('pg_catalog.pg_stats_ext'::regclass) ~ 'pg_has_role' "
    "then 'owners only' else 'whoever reads the columns' end",
    "large object": "select coalesce(r.rolname, 'PUBLIC'), count(distinct l.oid) || ' large objects' "
    "from pg_largeobject_metadata l, aclexplode(l.lomacl) x left join pg_roles r on r.oid = x.grantee "
    "where x.grantee <> l.lomowner group by 1",
    "publication": "select pubname, case when puballtables then 'all tables' else 'some tables' end || ' owned by ' "
    "|| pg_get_userbyid(pubowner) from pg_publication",
    "subscription": "select subname, pg_get_userbyid(subowner) from pg_subscription "
    "where subdbid = (select oid from pg_database where datname = current_database())",
    "replication slot": "select slot_name, slot_type || coalesce(' ' || plugin, '') from pg_replication_slots",
    "event trigger": "select evtname, evtevent || ' owned by ' || pg_get_userbyid(evtowner) from pg_event_trigger",
    "role setting": "select coalesce(r.rolname, '') || ' ' || split_part(c, '=', 1), c from pg_db_role_setting s "
    "left join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) c "
    "where s.setdatabase = (select oid from pg_database where datname = current_database())",
    "setting": f"select name, setting from pg_settings where name in ({_SETTINGS})",
}


class Postgres:
    """One administrator's connection. Not shared between threads."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Callers use `connect`."""
        self._connection = connection

    def catalogue(self) -> Catalogue:
        """Read the catalogue in one snapshot."""
        with _said(), self._connection.transaction():
            self._connection.execute("set transaction isolation level repeatable read read only")
            name, owner, version, text, reader, is_superuser, grants = self.rows(_DATABASE)[0]
            members = self.rows(_MEMBERS_16 if int(str(version)) >= 160_000 else _MEMBERS_15)
            return Catalogue(
                database=str(name),
                owner=str(owner),
                version=int(str(version)),
                version_text=str(text),
                reader=str(reader),
                reader_is_superuser=bool(is_superuser),
                roles=_roles(self.rows(_ROLES), members),
                schemas=tuple(Schema(schema, owner, _listed(acl)) for schema, owner, acl in self._texts(_SCHEMAS)),
                relations=_relations(self.rows(_RELATIONS), self.rows(_COLUMNS), self.rows(_READS)),
                routines=tuple(_routine(row) for row in self.rows(_ROUTINES)),
                defaults=tuple(
                    DefaultGrants(role, schema, kind, _listed(acl)) for role, schema, kind, acl in self._texts(_DEFAULTS)
                ),
                facts=tuple(self._facts()),
                grants=_listed(grants),
            )

    def _facts(self) -> Iterator[Fact]:
        for kind, statement in _FACTS.items():
            for name, detail in sorted(self._texts(statement)):
                yield Fact(kind, name, detail)

    def _texts(self, statement: str) -> Iterable[tuple[Any, ...]]:
        return self.rows(statement)

    def apply(self, statements: Sequence[str]) -> None:
        """Run statements in one transaction: all of them or none."""
        with _said(), self._connection.transaction():
            for statement in statements:
                self._connection.execute(statement.encode())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction, or inside one a savepoint: everything in the block, or nothing if it raises."""
        with _said(), self._connection.transaction():
            yield

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement with bound values and return its rows."""
        with _said():
            cursor = self._connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def connect(url: str) -> Postgres:
    """Connect to `url` ("postgresql://…", or a libpq connection string). Raises `ConfigError`, `EngineUnavailable`."""
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        raise EngineUnavailable("the PostgreSQL driver is not installed", hint="pip install 'custodes[guard]'") from None
    try:
        conninfo_to_dict(url)
    except psycopg.Error:  # the driver would quote the address, and with it perhaps a password
        raise ConfigError("this is no address of a database", hint="expected postgresql://…, or host=… dbname=…") from None
    with _said():
        connection = psycopg.connect(url, autocommit=True, application_name="custodes guard")
    if connection.info.server_version < _OLDEST:
        connection.close()
        raise EngineUnavailable("the guard needs PostgreSQL 15 or later", hint="upgrade the server; nothing was changed")
    return Postgres(connection)


def connect_as(url: str, login: str) -> Postgres:
    """Connect to the same database as another login, whose password libpq's password file has. Raises `EngineUnavailable`."""
    try:
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError:
        raise EngineUnavailable("the PostgreSQL driver is not installed", hint="pip install 'custodes[guard]'") from None
    with _said():
        words = conninfo_to_dict(url)
    kept = {name: str(value) for name, value in words.items() if value is not None and name not in ("user", "password")}
    return connect(make_conninfo(user=login, **kept))


@contextmanager
def _said() -> Iterator[None]:
    """Turn the driver's errors into ours: the server's first line, without DETAIL, which may quote a row."""
    import psycopg

    try:
        yield
    except psycopg.Error as wrong:
        state = f" ({wrong.sqlstate})" if wrong.sqlstate else ""
        first = (wrong.diag.message_primary or str(wrong).partition("\n")[0] or type(wrong).__name__).strip()
        raise EngineUnavailable(f"the database said: {first}{state}") from None


def _listed(acl: object) -> tuple[Grant, ...]:
    return tuple(Grant(*item) for item in acl) if isinstance(acl, list) else ()


def _roles(rows: Iterable[tuple[Any, ...]], members: Iterable[tuple[Any, ...]]) -> tuple[Role, ...]:
    of: dict[str, list[Membership]] = {}
    for member, *membership in members:
        of.setdefault(member, []).append(Membership(*membership))
    flags = ("login", "superuser", "inherits", "create_role", "create_db", "replication", "bypass_rls")
    return tuple(Role(name, member_of=tuple(of.get(name, ())), **dict(zip(flags, values, strict=True))) for name, *values in rows)


def _relations(
    rows: Iterable[tuple[Any, ...]], columns: Iterable[tuple[Any, ...]], reads: Iterable[tuple[Any, ...]]
) -> tuple[Relation, ...]:
    columns_of: Mapping[Name, tuple[Column, ...]] = {
        name: tuple(Column(row[2], row[3], _listed(row[4])) for row in group)
        for name, group in groupby(columns, lambda row: Name(row[0], row[1]))
    }
    reads_of = {
        name: tuple((Name(row[2], row[3]), str(row[4])) for row in group)
        for name, group in groupby(reads, lambda row: Name(row[0], row[1]))
    }
    return tuple(
        Relation(
            name=(name := Name(schema, relation)),
            kind=kind,
            owner=owner,
            grants=_listed(acl),
            columns=columns_of.get(name, ()),
            parents=tuple(Name(*parent) for parent in parents),
            reads=reads_of.get(name, ()),
            options=tuple(options),
            triggers=tuple(triggers),
            row_security=row_security,
            generated=tuple((made, source) for made, source in generated),
        )
        for schema, relation, kind, owner, acl, options, row_security, parents, triggers, generated in rows
    )


def _routine(row: tuple[Any, ...]) -> Routine:
    schema, name, arguments, owner, language, trusted, definer, acl, settings, source, extension = row
    return Routine(
        Name(schema, name), arguments, owner, language, trusted, definer, _listed(acl), tuple(settings), source, extension
    )
