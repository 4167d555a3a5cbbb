"""Workflows, containers and scripts: checked as text, and their steps are targets that exist."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
DEPLOY = ROOT / "docs" / "deploy"


def loaded(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps():
    for path in WORKFLOWS:
        for name, job in loaded(path)["jobs"].items():
            for step in job["steps"]:
                yield pytest.param(
                    path, step, id=f"{path.stem}-{name}-{step.get('run') or step['uses'][:30]}"
                )


@pytest.mark.parametrize(("path", "step"), list(steps()))
def test_a_step_is_a_make_target_or_an_action_pinned_by_its_commit(path, step):
    if "uses" in step:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", step["uses"])
        line = next(s for s in path.read_text().splitlines() if step["uses"] in s)
        assert re.search(r"# v\d+\.\d+\.\d+$", line), "the version stands beside the hash"
        return
    words = step["run"].split()
    assert words[0] == "make"
    assert len(words) == 2
    assert re.search(rf"^{re.escape(words[1])}:", MAKEFILE, re.MULTILINE)
    done = subprocess.run(
        ["make", "-n", words[1]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_reads_only_and_cannot_hang(path):
    workflow = loaded(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 120, name
        assert set(job.get("permissions", {"contents": "read"})) == {"contents"}, name
        (checkout,) = [s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout")]
        assert checkout["with"]["persist-credentials"] is False


def test_user_input_reaches_the_shell_only_through_the_environment():
    for path in WORKFLOWS:
        for job in loaded(path)["jobs"].values():
            assert not any("${{" in step.get("run", "") for step in job["steps"])


def test_there_are_the_four_workflows_with_their_triggers():
    triggers = {
        path.stem: set(loaded(path)[True]) for path in WORKFLOWS
    }  # YAML reads `on` as True
    assert triggers == {
        "ci": {"push", "pull_request"},
        "retrain": {"schedule", "workflow_dispatch"},
        "stage": {"workflow_dispatch"},
        "release": {"push"},
    }


def test_every_target_explains_itself_and_is_phony():
    targets = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
    explained = re.findall(r"^([a-z-]+):.*## \S", MAKEFILE, re.MULTILINE)
    assert sorted(targets) == sorted(explained)
    phony = re.search(r"\.PHONY: ((?:.|\\\n)*?)\n\n", MAKEFILE).group(1)
    assert set(phony.replace("\\\n", " ").split()) == set(targets)


@pytest.mark.parametrize(
    "script", [*ROOT.glob("scripts/*.sh"), ROOT / ".ci" / "run"], ids=lambda p: p.name
)
def test_a_script_parses_stops_at_errors_and_may_be_run(script):
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert "set -" in script.read_text()
    assert script.stat().st_mode & 0o100


def test_the_compose_file_mounts_what_exists_and_asks_for_its_secret():
    services = loaded(DEPLOY / "compose.yaml")["services"]
    assert services.keys() == {"engine", "proxy", "prometheus", "grafana"}
    assert ":?" in services["proxy"]["environment"]["EVQA_UPSTREAM_KEY"]
    assert (DEPLOY / services["proxy"]["build"]["context"]).resolve() == ROOT
    assert (ROOT / services["proxy"]["build"]["dockerfile"]).is_file()
    assert (DEPLOY / "prometheus.yml").is_file()
    assert not any("ports" in services[name] for name in ("engine", "prometheus"))
    assert all(port.startswith("127.0.0.1:") for port in services["proxy"]["ports"])


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.Dockerfile")), ids=lambda path: path.stem)
def test_an_image_copies_what_exists_and_does_not_run_as_root(path):
    text = path.read_text()
    for sources in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    assert re.search(r"^USER 1000$", text, re.MULTILINE)
    assert not re.search(r"^FROM \S+:latest", text, re.MULTILINE)


def test_the_proxys_image_holds_all_that_the_proxy_imports():
    import ast

    wanted = {
        re.split(r"[\[=<>]", line)[0].replace("-", "_").lower()
        for line in (DEPLOY / "serve-requirements.txt").read_text().splitlines()
    }
    known = {"yaml": "omegaconf", "hydra": "hydra_core", "prometheus_client": "prometheus_client"}
    import sys

    imported = set()
    for file in [
        *(ROOT / "evqa" / "serving").glob("*.py"),
        *(ROOT / "evqa" / "config").glob("*.py"),
    ]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])
    outside = imported - set(sys.stdlib_module_names) - {"evqa"}
    optional = {"torch", "transformers", "lightning", "opentelemetry", "tokenizers"}
    assert {known.get(name, name) for name in outside} - wanted - optional == set()


def test_kubernetes_keeps_the_proxy_small_and_rootless():
    deployment, service = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_the_service_drains_before_it_is_killed():
    unit = (DEPLOY / "evqa.service").read_text()
    assert "KillSignal=SIGTERM" in unit
    assert int(re.search(r"TimeoutStopSec=(\d+)", unit).group(1)) > 30  # server.timeouts.drain_s
