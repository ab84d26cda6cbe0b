"""`python -m custodes.verify PATH [--policy FILE]`, for environments that have nothing but `cryptography`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from custodes.errors import CustodesError
from custodes.verify.check import check, read_tag_key


def main(arguments: list[str]) -> int:
    """Run the check and return its exit code: 0 proven, 3 broken, 2 could not check, 5 a defect of this program."""
    parser = argparse.ArgumentParser(
        prog="python -m custodes.verify", description="Check a log, an exported folder, a bundle or a proof offline."
    )
    parser.add_argument("path", type=Path, help="a home, a log's directory, an exported folder, a bundle, or a .tlog-proof file")
    parser.add_argument("--policy", type=Path, help="your own tlog-policy file; never take it from the log that it judges")
    parser.add_argument("--tag-key", metavar="HEX|FILE", help="the key that you were handed with your first statement")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    try:
        policy = options.policy.read_bytes() if options.policy else None
        report = check(options.path, policy, read_tag_key(options.tag_key) if options.tag_key else None)
    except CustodesError as wrong:
        sys.stderr.write(f"error: {wrong}\n")
        return wrong.exit_code
    except OSError as wrong:
        sys.stderr.write(f"error: the policy or tag key cannot be read ({wrong.strerror})\n")
        return 2
    sys.stdout.write((report.as_json() if options.format == "json" else report.as_text()) + "\n")
    return report.exit_code


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except Exception as crash:  # noqa: BLE001  # the contract: a crash is 5, never "findings"
        sys.stderr.write(f"error: unexpected {type(crash).__name__}\n")
        code = 5
    sys.exit(code)
