"""After merging: GGUF by a converter, a push to the hub and to MLflow, an engine that is not there."""

import sys
import types

import pytest

from evqa import delivery
from evqa.config import load_config
from evqa.config.serving import ExportConfig, Gguf, RegistryConfig
from evqa.errors import ConfigError, OutsideError, UserError
from evqa.registry import Registry

WORKS = (
    "import sys\n"
    "folder, _, target, _, kind = sys.argv[1:]\n"
    "open(target, 'w').write(f'{kind} of {folder}')\n"
)


def converter(tmp_path, text):
    path = tmp_path / "convert_hf_to_gguf.py"
    path.write_text(text)
    return ExportConfig(gguf=Gguf.q8_0, gguf_converter=str(path))


def test_the_converter_writes_into_the_version(tmp_path):
    delivery.write_gguf(converter(tmp_path, WORKS), tmp_path)
    assert (tmp_path / "model-q8_0.gguf").read_text() == f"q8_0 of {tmp_path}"


def test_without_gguf_nothing_is_run(tmp_path):
    delivery.write_gguf(ExportConfig(gguf_converter="/none"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise SystemExit('no such architecture')", "no such architecture"),
        ("", "it said nothing"),
    ],
)
def test_a_converter_that_fails_is_one_line(tmp_path, text, why):
    with pytest.raises(OutsideError, match=f"export.gguf=q8_0: the converter failed: {why}"):
        delivery.write_gguf(converter(tmp_path, text), tmp_path)


def test_no_converter_is_said_before_anything_is_merged(tmp_path):
    config = load_config("release", [f"paths.outputs_dir={tmp_path}", "export.gguf=q8_0"])
    with pytest.raises(UserError, match=r"clone llama.cpp.*export.gguf_converter="):
        delivery.check_before(config)


def test_a_quantised_version_is_not_converted():
    with pytest.raises(ConfigError, match="export.gguf: is made from unquantised weights"):
        load_config("release", ["export.gguf=q8_0", "export.quantization=fp8"])


@pytest.fixture
def registry(tmp_path):
    registry = Registry(tmp_path / "registry", "evqa")
    with registry.staging() as staged:
        (staged / "config.json").write_text("{}")
        registry.publish(staged, {"verdict": "SHIP", "git_commit": "abc", "dataset": {"id": "d"}})
    return registry


class Hub:
    """Stands in for huggingface_hub.HfApi; ``failure`` is raised by the upload."""

    calls: list
    failure = None

    def __init__(self, token):
        self.token = token

    def create_repo(self, repository, *, private, exist_ok):
        assert private
        assert exist_ok
        self.calls.append(("create", repository, self.token))

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        if self.failure:
            raise self.failure
        self.calls.append(
            ("upload", repo_id, (folder_path / "config.json").read_text(), commit_message)
        )


@pytest.fixture
def hub(monkeypatch):
    Hub.calls, Hub.failure = [], None
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    monkeypatch.setenv("HF_TOKEN", "secret")
    return Hub


def test_a_version_goes_to_the_hub_privately(hub, registry):
    delivery.push(RegistryConfig(push_to_hub="me/model"), registry, 1)
    assert hub.calls == [("create", "me/model", "secret"), ("upload", "me/model", "{}", "evqa/1")]


def test_a_push_that_fails_says_how_to_try_again(hub, registry):
    hub.failure = RuntimeError("503 from the hub\nlong trace")
    with pytest.raises(OutsideError) as failure:
        delivery.push(RegistryConfig(push_to_hub="me/model"), registry, 1)
    assert "me/model: 503 from the hub; it is registered here" in str(failure.value)
    assert "evqa registry push evqa/1" in str(failure.value)
    assert registry.versions() == [1]


def test_no_token_and_no_mlflow_are_said_first(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UserError, match="set the environment variable HF_TOKEN"):
        delivery.check_push(RegistryConfig(push_to_hub="me/model"))
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises((UserError, ValueError)):
        delivery.check_push(RegistryConfig(mlflow_uri="http://h"))


@pytest.fixture
def mlflow(monkeypatch):
    """Stands in for MLflow; the same calls were made against the real one."""
    made = types.SimpleNamespace(models=set(), versions=[])

    class MlflowException(Exception):  # noqa: N818  its own name
        error_code = "RESOURCE_ALREADY_EXISTS"

    class MlflowClient:
        def __init__(self, tracking_uri, registry_uri):
            assert tracking_uri == registry_uri

        def create_registered_model(self, name):
            if name in made.models:
                raise MlflowException("exists")
            made.models.add(name)

        def create_model_version(self, name, *, source, tags):
            made.versions.append((name, source, tags))

    module = types.ModuleType("mlflow")
    module.MlflowClient = MlflowClient
    module.__spec__ = types.SimpleNamespace(name="mlflow")
    exceptions = types.ModuleType("mlflow.exceptions")
    exceptions.MlflowException = MlflowException
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", exceptions)
    return made


def test_a_version_is_entered_in_mlflow_twice_without_complaint(mlflow, registry):
    for _ in range(2):
        delivery.push(RegistryConfig(mlflow_uri="http://h"), registry, 1)
    name, source, tags = mlflow.versions[-1]
    assert name == "evqa"
    assert source == registry.folder(1).resolve().as_uri()
    assert tags == {
        "evqa_version": "evqa/1", "verdict": "SHIP", "git_commit": "abc", "dataset": "d",
    }  # fmt: skip


def engine_config(tmp_path, served):
    words = [f"paths.outputs_dir={tmp_path}", f"export.served={served}",
             "server.vllm_command=/no/such/vllm"]  # fmt: skip
    return load_config("release", words)


def test_an_engine_that_must_be_there_is_looked_for_first(tmp_path):
    with pytest.raises(UserError, match="server.vllm_command: no such program"):
        delivery.check_before(engine_config(tmp_path, "always"))
    delivery.check_before(engine_config(tmp_path, "auto"))


def test_an_engine_that_does_not_start_is_told_and_forgiven_where_it_may_be(
    tmp_path, monkeypatch, capsys
):
    def no_engine(*_):
        raise OutsideError("the engine did not start")

    monkeypatch.setattr(delivery, "_ask_engine", no_engine)
    assert delivery.prove_served(engine_config(tmp_path, "auto"), tmp_path, []) is None
    assert "warning: parity behind the engine was not measured" in capsys.readouterr().err
    with pytest.raises(OutsideError):
        delivery.prove_served(engine_config(tmp_path, "always"), tmp_path, [])
    assert delivery.prove_served(engine_config(tmp_path, "never"), tmp_path, []) is None
