"""Claim: a report over 100,000 reviews takes less than ten seconds, the interpreter's start included.

    python benchmarks/report.py [--reviews 100000] [--home FOLDER]

Synthetic analysed reviews of two years (tests/consumers/record/filled.py), one process a report:
the last 30 days and the whole two years, as HTML and PDF. CPU seconds are those of the process;
on a machine that does nothing else, wall seconds are about the same.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.reading import big_record  # noqa: E402

PERIODS = {"30 days": "30d", "two years": "104w"}


def one(home: Path, since: str, file: Path) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds, bytes of the file."""
    command = [sys.executable, "-m", "beyond", "report", "--since", since, "-o", str(file)]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "BEYOND_HOME": str(home), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, file.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reviews", type=int, default=100_000)
    parser.add_argument("--home", type=Path, help="keep the record here")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = chosen.home or Path(folder)
        big_record(home, chosen.reviews).dispose()
        load = os.getloadavg()[0]
        print(f"{os.cpu_count()} cores, load {load:.1f}")
        for name, since in PERIODS.items():
            for form in ("html", "pdf"):
                wall, cpu, size = one(home, since, Path(folder) / f"report.{form}")
                print(f"{name:<10} {form:<5} {wall:5.1f} s wall  {cpu:5.1f} s CPU  {size:,} bytes")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"peak memory of a report: {peak / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
