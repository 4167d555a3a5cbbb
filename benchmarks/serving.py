"""What the proxy costs, beside its peers: direct, ours, LiteLLM's proxy, nginx, in one run.

usage: python benchmarks/serving.py [--rounds 3] [--litellm VENV/bin/litellm] [--nginx nginx]
                                    [--targets direct,ours,nginx,litellm] [--quick]

A mock engine and the load share one core, the proxy has the other. The targets take turns in
every round, so that a busy machine hits all alike; CPU time of the proxy's process (with its
children) is what the figures rest on. LiteLLM belongs into a virtual environment of its own, nginx
comes from the distribution; a target that is not there is left out, and the result says so.
Writes benchmarks/results/serving.json, stamped with the commit.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from evqa.config import project_dir
from evqa.files import write_json
from evqa.provenance import git_commit
from evqa.serving.engine import free_port
from evqa.serving.keys import create_key

HERE = Path(__file__).parent
MIB = 1 << 20
LOAD_CORE, PROXY_CORE = 0, 1
LITELLM_KEY = "sk-benchmark"
PLAIN_S = 4.0
WALL_TIMES = ("p50_ms", "seconds")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load.

    Attributes:
        arguments: Of `serving_load.py`, after the key.
        unit: What the CPU time is divided by.
    """

    name: str
    arguments: tuple[str, ...]
    unit: str


SCENARIOS = (
    Scenario("latency_c1", ("plain", "1", str(PLAIN_S)), "num_requests"),
    Scenario("plain_c16", ("plain", "16", str(PLAIN_S)), "num_requests"),
    Scenario("plain_c64", ("plain", "64", str(PLAIN_S)), "num_requests"),
    Scenario("stream_1ms_c64", ("stream", "64", "1500", "1"), "num_events"),
    Scenario("stream_20ms_c64", ("stream", "64", "200", "20"), "num_events"),
    Scenario("stream_100ms_c1000", ("stream", "1000", "100", "100", "60"), "num_events"),
)
# LiteLLM needs a hundredfold of the time for the same load
SLOW = {
    "stream_1ms_c64": ("stream", "64", "100", "1"),
    "stream_20ms_c64": ("stream", "64", "30", "20"),
}


@dataclass(slots=True)
class Target:
    """A proxy that runs.

    Attributes:
        process: Null for the engine itself.
    """

    name: str
    url: str
    key: str
    process: psutil.Process | None

    def _family(self) -> list[psutil.Process]:
        if self.process is None:
            return []
        return [self.process, *self.process.children(recursive=True)]

    def cpu_s(self) -> float:
        """Return the CPU time used so far, seconds."""
        times = [process.cpu_times() for process in self._family()]
        return sum(t.user + t.system for t in times)

    def rss_mib(self) -> float:
        """Return the resident memory, MiB."""
        return sum(process.memory_info().rss for process in self._family()) / MIB


def pin(core: int) -> Any:
    """Return what a child runs to stay on one core."""
    return lambda: os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})


@contextlib.contextmanager
def started(words: list[str], core: int, **options: Any) -> Iterator[psutil.Process]:
    """Run a program on one core while the block runs."""
    process = subprocess.Popen(  # noqa: S603  our own command lines
        words,
        preexec_fn=pin(core),  # noqa: PLW1509  no thread runs yet
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(url: str, timeout_s: float = 120.0) -> None:
    """Wait until a path answers, whatever it says.

    Raises:
        TimeoutError: it never did.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310  on loopback
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(url)


@contextlib.contextmanager
def engine() -> Iterator[str]:
    """Run the mock engine; yield its address."""
    port = free_port()
    with started([sys.executable, str(HERE / "serving_mock.py"), str(port)], LOAD_CORE):
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/v1/models")
        yield url


@contextlib.contextmanager
def ours(upstream: str, folder: Path, _program: str) -> Iterator[Target]:
    """Run serve.py."""
    key = create_key(folder / "serving" / "keys.json", "benchmark")
    port = free_port()
    words = [
        sys.executable, str(project_dir() / "serve.py"), "server=external",
        f"server.upstreams=[{upstream}]", f"server.port={port}", f"paths.outputs_dir={folder}",
        "server.max_model_len=100000",
    ]  # fmt: skip
    with started(words, PROXY_CORE) as process:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health")
        yield Target("ours", url, key, process)


NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  map $http_authorization $good {{ default 0; "Bearer {key}" 1; }}
  upstream engine {{ server {upstream}; keepalive 1024; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /v1/ {{
      if ($good = 0) {{ return 401; }}
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(upstream: str, folder: Path, program: str) -> Iterator[Target]:
    """Run nginx with a key in a map."""
    port, key = free_port(), "benchmark-key"
    config = folder / "nginx.conf"
    config.write_text(
        NGINX.format(folder=folder, key=key, port=port, upstream=upstream.removeprefix("http://"))
    )
    with started([program, "-c", str(config), "-p", str(folder)], PROXY_CORE) as process:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/v1/models")
        yield Target("nginx", url, key, process)


@contextlib.contextmanager
def litellm(upstream: str, folder: Path, program: str) -> Iterator[Target]:
    """Run LiteLLM's proxy with a master key."""
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(
        json.dumps(
            {
                "model_list": [
                    {
                        "model_name": "evqa",
                        "litellm_params": {
                            "model": "openai/evqa", "api_base": f"{upstream}/v1", "api_key": "x",
                        },
                    }
                ],
                "general_settings": {"master_key": LITELLM_KEY},
            }
        )
    )  # fmt: skip
    environment = {
        **os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR",
        "DO_NOT_TRACK": "1",
    }  # fmt: skip
    words = [program, "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    with started([*words, "--telemetry", "False"], PROXY_CORE, env=environment) as process:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health/liveliness")
        yield Target("litellm", url, LITELLM_KEY, process)


def measure(target: Target, scenario: Scenario) -> dict[str, float | None]:
    """Put one load on one target."""
    arguments = scenario.arguments
    if target.name == "litellm":
        arguments = SLOW.get(scenario.name, arguments)
    words = [sys.executable, str(HERE / "serving_load.py"), target.url, target.key, *arguments]
    before_s = target.cpu_s()
    peak_mib = target.rss_mib()
    load = subprocess.Popen(  # noqa: S603  our own command line
        words, stdout=subprocess.PIPE, text=True, preexec_fn=pin(LOAD_CORE)  # noqa: PLW1509
    )  # fmt: skip
    while load.poll() is None:
        peak_mib = max(peak_mib, target.rss_mib())
        time.sleep(0.2)
    result = json.loads(load.communicate()[0])
    cpu_s = target.cpu_s() - before_s
    units = result[scenario.unit]
    return {
        **result,
        "cpu_us_per_unit": cpu_s / units * 1e6 if units else None,
        "rss_mib": peak_mib,
    }


def summarise(rounds: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Return each figure over the rounds: the median, of wall times the least.

    Other work on the machine can only lengthen a wall time; CPU time it changes both ways.
    """
    summary: dict[str, float | None] = {}
    for name in rounds[0]:
        values = [found[name] for found in rounds if found[name] is not None]
        best = min if name in WALL_TIMES else statistics.median
        summary[name] = round(best(values), 4) if values else None
    return summary


def report(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the figures that the targets are set in, and their ratios."""
    told: dict[str, Any] = {}
    direct_ms = figures.get("direct", {}).get("latency_c1", {}).get("p50_ms")
    for name, found in figures.items():
        if name == "direct":
            continue
        p50_ms = found["latency_c1"]["p50_ms"]
        told[name] = {
            "cpu_ms_per_request_c16": _thousandth(found["plain_c16"]),
            "cpu_ms_per_request_c64": _thousandth(found["plain_c64"]),
            "cpu_us_per_event_1ms_c64": found["stream_1ms_c64"]["cpu_us_per_unit"],
            "cpu_us_per_event_20ms_c64": found["stream_20ms_c64"]["cpu_us_per_unit"],
            "added_p50_c1_ms": round(p50_ms - direct_ms, 3) if direct_ms and p50_ms else None,
            "fresh_rss_mib": found["fresh_rss_mib"],
            "rss_1000_streams_mib": found["stream_100ms_c1000"]["rss_mib"],
            "complete_of_1000": found["stream_100ms_c1000"]["num_complete"],
            "seconds_over_ideal": round(
                found["stream_100ms_c1000"]["seconds"]
                / found["stream_100ms_c1000"]["ideal_seconds"],
                2,
            ),
        }
    return told


def _thousandth(found: dict[str, Any]) -> float | None:
    value = found["cpu_us_per_unit"]
    return None if value is None else round(value / 1e3, 4)


def run_target(
    name: str, upstream: str, program: str, scenarios: tuple[Scenario, ...]
) -> dict[str, Any]:
    """Start a target, put every load on it, stop it."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as held:
        if name == "direct":
            target = Target("direct", upstream, "x", None)
        else:
            target = held.enter_context(RUNNERS[name](upstream, Path(scratch), program))
            time.sleep(1)
        found: dict[str, Any] = {"fresh_rss_mib": target.rss_mib()}
        for scenario in scenarios:
            found[scenario.name] = measure(target, scenario)
            sys.stderr.write(f"{name} {scenario.name}: {found[scenario.name]}\n")
    return found


RUNNERS = {"ours": ours, "nginx": nginx, "litellm": litellm}


def main() -> None:
    """Measure every target in turn, in every round, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--litellm", default="litellm")
    parser.add_argument("--nginx", default="nginx")
    parser.add_argument("--targets", default="direct,ours,nginx,litellm")
    parser.add_argument("--scenarios", default=",".join(s.name for s in SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="print, and write nothing")
    options = parser.parse_args()
    programs = {"ours": sys.executable, "nginx": options.nginx, "litellm": options.litellm}
    names = [
        name
        for name in options.targets.split(",")
        if name == "direct" or shutil.which(programs[name])
    ]
    scenarios = tuple(s for s in SCENARIOS if s.name in options.scenarios.split(","))
    with engine() as upstream:
        rounds = [
            {name: run_target(name, upstream, programs.get(name, ""), scenarios) for name in names}
            for _ in range(options.rounds)
        ]
    figures = {name: _over_rounds([found[name] for found in rounds]) for name in names}
    if len(scenarios) < len(SCENARIOS):
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        return
    result = {
        "commit": git_commit(project_dir()),
        "machine": "2 cores, shared with other work; CPU times are of the proxy's process alone",
        "num_rounds": options.rounds,
        "left_out": sorted(set(options.targets.split(",")) - set(names)),
        "summary": report(figures),
        "figures": figures,
    }
    sys.stdout.write(json.dumps(result["summary"], indent=2) + "\n")
    if not options.quick:
        write_json(HERE / "results" / "serving.json", result)


def _over_rounds(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {
        name: summarise([found[name] for found in rounds])
        for name in rounds[0]
        if name != "fresh_rss_mib"
    }
    fresh = statistics.median(found["fresh_rss_mib"] for found in rounds)
    return figures | {"fresh_rss_mib": round(fresh, 1)}


if __name__ == "__main__":
    main()
