"""A gate stage with a guarded database on a real server: the gate reads it, and staff log in to it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import psycopg
import yaml
from gate_stage import ADDRESS, SYSTEM, GateStage
from pg_cluster import Cluster

from custodes import decisions
from custodes.engines.postgres import connect
from custodes.guard.gate import Gate
from custodes.guard.plan import make_plan
from custodes.model.datamap import DataMap

ME = pwd.getpwuid(os.geteuid()).pw_name
DATAMAP = """
app-db:
  app.users:
    subject_key: id
    region_key: region
    fields: {id: public, name: identity, last_ip: ip_address, note: message}
"""


class Guarded:
    """A stage, and a guarded database that its gate reads."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.cluster, self.database = cluster, cluster.fresh()
        with psycopg.connect(cluster.url(self.database), autocommit=True) as owner:
            for role in ("dora", "finn"):
                owner.execute(f"do $$ begin create role {role} login; exception when duplicate_object then null; end $$".encode())
            owner.execute("create schema app")
            owner.execute("create table app.users (id int primary key, name text, last_ip inet, note text, region text)")
            owner.execute(
                "insert into app.users values (4711, 'Ann', %s, 'hidden', 'EU'), (4712, 'Bob', '198.51.100.9', '', 'US')",
                (ADDRESS,),
            )
        administrator = connect(cluster.url(self.database))
        plan = make_plan(administrator.catalogue(), DataMap.of(yaml.safe_load(DATAMAP)), SYSTEM, staff=["dora", "finn"])
        administrator.apply(plan.statements)
        administrator.close()
        url = folder / "app-db.url"
        url.write_text(f"host=127.0.0.1 port={cluster.port} dbname={self.database}")
        self.stage = GateStage.built(
            folder,
            f'\n[guard]\nsession_country = "IE"\n[guard.logins]\n{ME} = "dora"\n[guard.databases.app-db]\nurl_file = "{url}"\n',
        )
        self.stage.home.adopt("datamap.yaml", DATAMAP.encode())
        self.gate: Gate = decisions.gate(self.stage.home)
        self.stage.gate = self.gate

    def as_staff(self, login: str = "dora") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.cluster.url(self.database, login), autocommit=True)

    def seen(self, login: str = "dora") -> object:
        with self.as_staff(login) as staff:
            row = staff.execute("select last_ip from safe_app.users where id = 4711").fetchone()
            return None if row is None or row[0] is None else str(row[0])
