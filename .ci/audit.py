"""pip-audit, and plainly whether it could look anything up: by itself it ends well where its database is away.

    python .ci/audit.py [--strict]

Known weaknesses fail. Packages that could not be looked up are counted in one line, and fail with
--strict. It does not know which packages matter.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

COMMAND = ("--skip-editable", "--progress-spinner", "off", "--format", "json")


def judged(report: dict[str, list[dict[str, object]]], strict: bool) -> tuple[list[str], int]:
    """Lines to print and the exit status, for pip-audit's JSON report."""
    packages = report["dependencies"]
    unknown = [
        p for p in packages if "skip_reason" in p and "editable" not in str(p["skip_reason"])
    ]
    weak = [
        f"{package['name']} {package['version']}: {weakness['id']}; mended in "
        f"{', '.join(weakness['fix_versions']) or 'no version yet'}"
        for package in packages
        for weakness in package.get("vulns", ())  # type: ignore[attr-defined]
    ]
    lines = [*weak, f"pip-audit: {len(weak)} known weaknesses in {len(packages)} packages"]
    if unknown:
        why = str(unknown[0]["skip_reason"])[:120]
        lines.append(f"NOT CHECKED: {len(unknown)} of {len(packages)} packages, e.g.: {why}")
    return lines, int(bool(weak) or (strict and bool(unknown)))


def main() -> int:
    """Run pip-audit beside this Python; its own failure counts as nothing looked up."""
    strict = "--strict" in sys.argv[1:]
    program = str(Path(sys.executable).with_name("pip-audit"))
    done = subprocess.run([program, *COMMAND], capture_output=True, text=True)
    try:
        lines, status = judged(json.loads(done.stdout), strict)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        lines, status = [f"NOT CHECKED: pip-audit could look nothing up: {last[:160]}"], int(strict)
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
