"""First byte of every route of the API and of every page, over a record that is filled already: p50 and p95.

    python benchmarks/reading_routes.py HOME [--runs 30] [--datasette datasette]

HOME holds record.db (benchmarks/reading.py fills one). A real `beyond dashboard` serves it; requests
come one after another over a socket of the loopback, without ETags, each route with the filters that
people use and with the worst that were found. CPU is what the dashboard's process used a request:
on a machine that others use too, waiting is theirs. Also the dashboard's resident memory afterwards.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from consumers.dashboard.tokens import create_token  # noqa: E402
from consumers.record.database import open_database, writing  # noqa: E402
from shared.settings import Settings  # noqa: E402


def addresses(client: httpx.Client) -> dict[str, str]:
    """What to ask for: name -> address, with what this record holds."""
    meta = client.get("/v1/meta").json()
    business = next(b["name"] for b in meta["businesses"] if b["name"])
    last = meta["last_day"]
    review = client.get("/v1/reviews?theme=staff&limit=1").json()["reviews"][0]
    deep = client.get("/v1/reviews?limit=200").json()["next"]
    for _ in range(20):
        page = client.get("/v1/reviews", params={"limit": 200, "cursor": deep}).json()
        deep = page["next"] or deep
    year = f"{int(last[:4]) - 1}{last[4:]}"
    b = httpx.QueryParams({"business": business})
    sides = httpx.QueryParams({"left": f"business={business}", "right": ""})
    return {
        "meta": "/v1/meta",
        "reviews": "/v1/reviews",
        "reviews, deep page": f"/v1/reviews?cursor={deep}",
        "reviews of a business": f"/v1/reviews?{b}",
        "reviews, urgent and open": "/v1/reviews?urgency=high&status=open",
        "reviews, theme": "/v1/reviews?theme=safety",
        "reviews, theme and emotion": f"/v1/reviews?theme=safety&emotion=grief&{b}",
        "reviews, confident": "/v1/reviews?min_confidence=0.95&theme=safety",
        "reviews, done (none)": "/v1/reviews?status=done",
        "reviews, a day": f"/v1/reviews?since={last}&until={last}",
        "reviews, a rare word": "/v1/reviews?q=%22visit+number+s1+77%22",
        "reviews, a common word": "/v1/reviews?q=soup",
        "reviews, word, theme, business": f"/v1/reviews?q=soup&theme=safety&{b}",
        "reviews, nothing fits": f"/v1/reviews?emotion=joy&theme=safety&rating=5&{b}",
        "review": f"/v1/reviews/{review['id']}",
        "reply": f"/v1/reviews/{review['id']}/reply",
        "issues": "/v1/issues",
        "issues, theme, business": f"/v1/issues?theme=safety&{b}",
        "issues, rating and emotion": "/v1/issues?rating=1&emotion=anger",
        "issue": f"/v1/issues/{review['issues'][0]['id']}",
        "summary": "/v1/summary",
        "summary of a business": f"/v1/summary?{b}",
        "summary of a year": f"/v1/summary?since={year}",
        "themes": "/v1/themes",
        "theme": "/v1/themes/staff",
        "theme, a year": f"/v1/themes/staff?since={year}",
        "compare": f"/v1/compare?{sides}",
        "topics": "/v1/topics",
        "views": "/v1/views",
        "alerts": "/v1/alerts",
        "feed": "/v1/feed",
        "page: overview": "/",
        "page: overview of a business": f"/?{b}",
        "page: overview of a year": "/?period=365d",
        "page: what customers love": "/loved?period=365d",
        "page: reviews": "/reviews",
        "page: reviews, urgent and open": "/reviews?urgency=high&status=open",
        "page: review": f"/reviews/{review['id']}",
        "page: themes": "/themes",
        "page: theme, a year": "/themes/staff?period=365d",
        "page: compare": "/compare",
        "page: pipeline": "/pipeline",
    }


def first_byte_ms(client: httpx.Client, address: str) -> float:
    begun = time.perf_counter()
    with client.stream("GET", address) as answer:
        parts = answer.iter_raw()
        next(parts, b"")
        found = (time.perf_counter() - begun) * 1000
        assert answer.status_code in (200, 404), (address, answer.status_code)
        if "event-stream" not in answer.headers["content-type"]:
            for _ in parts:
                pass
    return found


def cpu_ms(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def measure(client: httpx.Client, pid: int, runs: int) -> Iterator[tuple[str, float, float, float]]:
    """(name, p50, p95, CPU of the dashboard a request) in milliseconds; the first call is not counted."""
    for name, address in addresses(client).items():
        first_byte_ms(client, address)
        begun = cpu_ms(pid)
        found = sorted(first_byte_ms(client, address) for _ in range(runs))
        used = (cpu_ms(pid) - begun) / runs
        yield name, statistics.median(found), found[int(0.95 * (runs - 1) + 0.5)], used


def served(home: Path) -> tuple[subprocess.Popen[str], str]:
    """A dashboard over the record, and its address."""
    command = [sys.executable, "-m", "beyond", "dashboard", "--port", "0"]
    environment = {**os.environ, "BEYOND_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://\S+:\d+", line):
            return process, found.group()
    raise SystemExit("the dashboard did not start")


def print_routes(home: Path, runs: int) -> None:
    """The table of every route and page, and the dashboard's memory after it."""
    engine = open_database(Settings(home=home))
    with writing(engine) as connection:
        _, secret = create_token(connection, "benchmark", "admin", None, time.time())
    engine.dispose()
    process, address = served(home)
    try:
        headers = {"Authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=address, headers=headers, timeout=120) as client:
            count = client.get("/v1/meta").json()["reviews"]
            print(f"{count:,} reviews; milliseconds to the first byte, {runs} runs each")
            for name, p50, p95, cpu in measure(client, process.pid, runs):
                told = f"p50 {p50:7.1f}  p95 {p95:7.1f}  CPU {cpu:6.1f}"
                print(f"{name:<32} {told}", flush=True)
        status = Path(f"/proc/{process.pid}/status").read_text()
        kib = int(re.search(r"VmRSS:\s+(\d+)", status).group(1))  # type: ignore[union-attr]
        print(f"resident memory of the dashboard: {kib / 1024:.0f} MiB")
    finally:
        process.terminate()
        process.wait(30)


def print_peer(home: Path, datasette: str, runs: int) -> None:
    """The same line for Datasette."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [datasette, "serve", str(home / "record.db"), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            deadline = time.monotonic() + 60
            while True:
                try:
                    client.get("/-/versions.json").raise_for_status()
                    break
                except httpx.TransportError:
                    assert time.monotonic() < deadline, "datasette did not start"
                    time.sleep(0.2)
            asked = "business__exact=Hotel+Linde&_sort_desc=created_at&_size=50"
            address = f"/record/reviews.json?{asked}&_nofacet=1&_nosuggest=1&_nocount=1"
            first_byte_ms(client, address)
            begun = cpu_ms(process.pid)
            found = sorted(first_byte_ms(client, address) for _ in range(runs))
            used = (cpu_ms(process.pid) - begun) / runs
            p50, p95 = statistics.median(found), found[int(0.95 * (runs - 1) + 0.5)]
            told = f"p50 {p50:7.1f}  p95 {p95:7.1f}  CPU {used:6.1f}"
            print(f"{'Datasette: reviews of a business':<32} {told}", flush=True)
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--datasette", help="its command, to print the peer's line too")
    options = parser.parse_args()
    print_routes(options.home, options.runs)
    if options.datasette:
        print_peer(options.home, options.datasette, options.runs)


if __name__ == "__main__":
    main()
