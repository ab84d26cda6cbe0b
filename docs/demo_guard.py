"""`make demo-guard`: an auditor asks for a journalist's address and tries tricks; a support agent gets what a ticket covers.

Everything is real but the company: a private PostgreSQL cluster, a home, signed requests, a ledger. Ends with 2, naming the Debian
package, where PostgreSQL's programs are missing.
"""

# ruff: noqa: T201, S603  # a demo prints, and runs the product's own commands
from __future__ import annotations

import getpass
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "made"))  # the cluster that tests use

from pg_cluster import Cluster, running, versions

JOURNALIST, CUSTOMER = "4711", "4712"
STAFF = {
    "vera": "audit/internal",
    "wolf": "audit/lead",
    "dora": "support/tier1",
    "ada": "privacy/office",
    "cleo": "privacy/trustee",
}
TABLE = """
create role vera login; create role dora login;
create schema app; create table app.users (id int primary key, name text, last_ip inet, region text);
insert into app.users values (4711, 'a journalist', '203.0.113.77', 'EU'), (4712, 'a customer', '198.51.100.9', 'EU');
grant usage on schema app to vera, dora; grant select on app.users to vera, dora;
"""
FILES = {
    "context/staff.csv": "actor,person,unit,manager,country,entity\n"
    + "".join(f"{name},person of {name},{unit},,IE,eu\n" for name, unit in STAFF.items()),
    "context/tickets.csv": f"ticket,subject,opened\nT-1,{CUSTOMER},2026-01-01T00:00:00Z\n",
    "context/subjects.csv": f"subject,region\n{JOURNALIST},EU\n{CUSTOMER},EU\n",
    "context/protected.csv": f"subject,class\n{JOURNALIST},journalist\n",
    "policy.yaml": "schema: custodes.policy/1\nregions: {EU: {countries: [IE]}}\n"
    "purposes: {support: [ip_address], audit: [ip_address]}\n"
    "units_without_subject_duty: [audit]\noutside_approver_units: [privacy]\n"
    "protected: {journalist: {obliges: [outside_approver, two_person]}}\n",
    "datamap.yaml": "app-db:\n  app.users:\n    subject_key: id\n    region_key: region\n"
    "    fields: {id: public, name: identity, region: public, last_ip: ip_address}\n",
}


class Demo:
    """A folder with a home, key files and subjects' ids, beside a guarded database."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster, self.failed = folder, cluster, 0
        self.environment = {"CUSTODES_GUARD_URL": cluster.url(), "CUSTODES_HOME": str(folder / "home"), "PATH": "/usr/bin:/bin"}

    def run(self, *words: str, code: int = 0, quiet: bool = False) -> str:
        """Run a custodes command, show what it says, and note if it does not end as it must."""
        done = subprocess.run(
            [sys.executable, "-m", "custodes", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if not quiet:
            shown = [word for word in words if word != "--yes" and not word.endswith(".pass") and word != "--passphrase-file"]
            print(f"  $ custodes {' '.join(shown)}")
            print(
                "".join(
                    f"    {line}\n" for line in (done.stdout + done.stderr).splitlines() if not line.startswith(("{", "challenge"))
                ),
                end="",
            )
        if done.returncode != code:
            print(f"  (ended with {done.returncode}, expected {code}) {done.stderr if quiet else ''}")
            self.failed += 1
        return done.stdout.strip()

    def sql(self, login: str, statement: str) -> None:
        """Try SQL as a member of staff and show what came back."""
        print(f"  {login}=> {statement}")
        with psycopg.connect(self.cluster.url("postgres", login), autocommit=True) as session:
            try:
                rows = session.execute(statement.encode()).fetchall()
            except psycopg.Error as wrong:
                print(f"    {str(wrong).splitlines()[0]}")
                return
        print(f"    {rows}")
        self.failed += "203.0.113.77" in str(rows)

    def build(self) -> None:
        """Make company, home and guard."""
        with psycopg.connect(self.cluster.url(), autocommit=True) as owner:
            owner.execute(TABLE.encode())
        for name, text in FILES.items():
            (self.folder / "exports" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "exports" / name).write_text(text)
        for name in (JOURNALIST, CUSTOMER):
            (self.folder / name).write_text(f"{name}\n")
        approvers = []
        for name in STAFF:
            (self.folder / f"{name}.pass").write_text(f"the passphrase of {name}\n")
            public = self.run("ledger", "approver", "keygen", f"{name}.key", "--passphrase-file", f"{name}.pass", quiet=True)
            approvers += ["--approver", f"{name}={public}"]
        self.run("init", "--simulated", "home", *approvers, quiet=True)
        self.run("load", "exports", quiet=True)
        (self.folder / "home" / "app-db.url").write_text(f"host=127.0.0.1 port={self.cluster.port} dbname=postgres\n")
        self.settings = (self.folder / "home" / "custodes.toml").read_text()
        staff = ("--staff", "vera", "--staff", "dora")
        (self.folder / "plan.sql").write_text(self.run("guard", "plan", "app-db", *staff, quiet=True) + "\n")
        self.run("guard", "install", "app-db", *staff, "--plan", "plan.sql")

    def sits(self, name: str) -> None:
        """Whose login this machine's account is. In a company each has their own."""
        (self.folder / "home" / "custodes.toml").write_text(
            f'{self.settings}\n[guard]\nsession_country = "IE"\n[guard.logins]\n{getpass.getuser()} = "{name}"\n'
            '[guard.databases.app-db]\nurl_file = "app-db.url"\n'
        )

    def signed(self, who: str, *words: str, code: int = 0) -> str:
        """Run a command that somebody signs."""
        return self.run(*words, "--key", f"{who}.key", "--passphrase-file", f"{who}.pass", "--yes", code=code)

    def ask(self, who: str, subject: str, purpose: str, kind: str, reason: str) -> str:
        """Ask for a grant; return its name."""
        words = ("--system", "app-db", "--field", "app.users.last_ip", "--purpose", purpose, "--code", kind, "--reason", reason)
        return self.signed(who, "grant", "request", *words, "--subject-file", subject)


def play(demo: Demo) -> None:
    """Play the scenes."""
    print("1. A database is guarded.")
    demo.build()
    print("\n2. Vera of internal audit wants a journalist's address. She has no grant: refused, and recorded.")
    demo.sits("vera")
    demo.run("reveal", "app.users.last_ip", "--subject-file", JOURNALIST, code=4)
    print("\n3. Three tricks: SQL, her own approval, and that of a colleague in audit.")
    demo.sql("vera", "select last_ip from app.users where id = 4711")
    demo.sql("vera", "select last_ip, last_ip_min from safe_app.users where id = 4711")
    demo.sql("vera", "insert into custodes_guard.lease values ('l', 'g', 'vera', '4711', 'app.users.last_ip') returning 1")
    grant = demo.ask("vera", JOURNALIST, "audit", "OVERSIGHT", "T-1")
    demo.signed("vera", "grant", "approve", grant, code=4)
    demo.signed("wolf", "grant", "approve", grant, code=4)
    demo.run("reveal", "app.users.last_ip", "--grant", grant, "--subject-file", JOURNALIST, code=4)
    print("\n4. Dora of support has the ticket that this customer opened. The privacy office approves.")
    demo.sits("dora")
    theirs = demo.ask("dora", CUSTOMER, "support", "SUPPORT_CASE", "T-1")
    demo.signed("ada", "grant", "approve", theirs)
    if "pending" in next(line for line in demo.run("grant", "list", quiet=True).splitlines() if line.startswith(theirs)):
        demo.signed("cleo", "grant", "approve", theirs)  # some ordinary subjects need two, so that nobody can tell who is protected
    demo.run("reveal", "app.users.last_ip", "--grant", theirs, "--subject-file", CUSTOMER)
    print("   For the journalist the same grant is worth nothing.")
    demo.run("reveal", "app.users.last_ip", "--grant", theirs, "--subject-file", JOURNALIST, code=4)
    print("\n5. What the record says, and who can still get around it.")
    demo.run("grant", "list")
    demo.run("guard", "verify", "app-db", "--staff", "vera", "--staff", "dora", code=3)
    print("   And what detection makes of it: the refused attempts are campaigns for the privacy office.")
    told = demo.run("watch", code=1)
    for sign in ("asked the guard for IP address", "handed in an approval for", "rules     D09", "rules     D22"):
        demo.failed += sign not in " ".join(told.split()) and sign not in told
    demo.run("ledger", "fsck")


def main() -> int:
    """Run the demo; return 0 if every scene ended as it must, 1 if one did not, 2 without PostgreSQL."""
    if not versions():
        print("PostgreSQL's programs are not here; on Debian: apt-get install postgresql", file=sys.stderr)
        return 2
    with running() as cluster, tempfile.TemporaryDirectory(prefix="guard-") as folder:
        demo = Demo(Path(folder), cluster)
        play(demo)
    print("\nevery scene ended as it must" if not demo.failed else f"\n{demo.failed} scenes did not end as they must")
    return 1 if demo.failed else 0


if __name__ == "__main__":
    sys.exit(main())
