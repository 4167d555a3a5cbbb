"""The proxy in front of a real vLLM: one engine a session, skipped where none is installed."""

import json
import os
import shlex
import shutil
import subprocess

import openai
import psutil
import pytest
from answers_for_tests import question
from finished_run import build_finished_run
from loopback import wait_until
from test_launch import Served

from evqa.config import load_config, project_dir
from evqa.records import Prediction, read_jsonl, write_jsonl
from evqa.registry import Registry
from evqa.runs import find_run, read_manifest
from evqa.serving.keys import create_key

QUESTION = [{"role": "user", "content": "How long does charging a car take?"}]
NUM_TOKENS = 16


def find_command():
    """vLLM by EVQA_VLLM_COMMAND, on PATH, or in .venv-vllm."""
    local = project_dir() / ".venv-vllm" / "bin" / "vllm"
    return (
        os.environ.get("EVQA_VLLM_COMMAND")
        or shutil.which("vllm")
        or (shlex.quote(str(local)) if local.is_file() else None)
    )


pytestmark = [
    pytest.mark.skipif(find_command() is None, reason="no vllm here; install it: make serve-env"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """An outputs folder with a float32 run and its released version."""
    from evqa.release import release

    root = tmp_path_factory.mktemp("vllm")
    build_finished_run(root, "quantization=none", "model.dtype=fp32")
    outputs = root / "outputs"
    words = [f"paths.outputs_dir={outputs}", "export=fp32", "export.served=never"]
    release(load_config("release", words), root)
    return outputs


@pytest.fixture(scope="session")
def model_dir(released):
    return Registry(released / "registry", "evqa").folder(1)


@pytest.fixture(scope="session")
def served(model_dir, tmp_path_factory):
    outputs = tmp_path_factory.mktemp("vllm-outputs")
    key = create_key(outputs / "serving" / "keys.json", "test")
    process = Served(
        outputs,
        f"server.model_dir={model_dir}",
        f'server.vllm_command="{find_command()}"',
        "server.dtype=float32",
        "server.kv_cache_gib=0.0625",
        # a tiny model would fill its answer with white space
        "server.vllm_args=['--structured-outputs-config',"
        '\'{"backend":"xgrammar","disable_any_whitespace":true}\']',
    )
    process.key = key
    try:
        process.wait_until_serving(300)
        yield process
    finally:
        process.process.terminate()
        process.end(120)


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=served.url, api_key=served.key, max_retries=0) as opened:
        yield opened


def chat(client, **fields):
    return client.chat.completions.create(
        model="evqa", messages=QUESTION, max_tokens=NUM_TOKENS, temperature=0, **fields
    )


@pytest.fixture(scope="session")
def expected(model_dir):
    """The greedy answer of plain transformers: token ids of the prompt, text of the answer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    prompt = tokenizer.apply_chat_template(
        QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    output = model.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=NUM_TOKENS,
        do_sample=False,
    )
    answer = tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True)
    return prompt.shape[1], answer


def test_greedy_float32_answers_equal_transformers(client, expected):
    answer = chat(client)
    assert answer.usage.prompt_tokens == expected[0]
    assert answer.choices[0].message.content == expected[1]
    assert len(expected[1]) > 10


def test_a_stream_says_the_same_with_usage_at_its_end(client, expected):
    pieces = list(chat(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
    assert text == expected[1]
    assert pieces[-1].usage.prompt_tokens == expected[0]


def test_a_wrong_key_is_refused(served):
    with (
        openai.OpenAI(base_url=served.url, api_key="evqa-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        chat(client)


def test_a_prompt_past_the_context_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError, match="context length"):
        client.chat.completions.create(
            model="evqa", messages=[{"role": "user", "content": "a b " * 400}]
        )


def test_stop_n_seed_and_logprobs_are_honoured(client, expected):
    stop = expected[1][3:5]
    assert chat(client, stop=[stop]).choices[0].message.content == expected[1].split(stop)[0]
    answer = chat(client, logprobs=True, top_logprobs=2)
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 2
    several = client.chat.completions.create(
        model="evqa", messages=QUESTION, max_tokens=4, n=3, seed=7
    )
    again = client.chat.completions.create(
        model="evqa", messages=QUESTION, max_tokens=4, n=3, seed=7
    )
    assert len(several.choices) == 3
    assert [c.message.content for c in several.choices] == [
        c.message.content for c in again.choices
    ]


def test_a_stream_has_logprobs_too(client):
    pieces = list(chat(client, stream=True, logprobs=True, top_logprobs=1))
    told = [p.choices[0].logprobs for p in pieces if p.choices and p.choices[0].logprobs]
    assert sum(len(logprobs.content) for logprobs in told) == NUM_TOKENS


def test_a_json_schema_is_kept(client):
    schema = {
        "type": "object",
        "properties": {"hours": {"type": "integer"}, "plug": {"enum": ["CCS", "Type 2"]}},
        "required": ["hours", "plug"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model="evqa",
        messages=QUESTION,
        max_tokens=100,
        temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    if answer.choices[0].finish_reason == "length":  # digits without end are in the schema
        assert answer.choices[0].message.content.startswith('{"hours":')
    else:
        found = json.loads(answer.choices[0].message.content)
        assert found["plug"] in ("CCS", "Type 2")


def test_a_json_schema_that_is_none_is_a_bad_request(client):
    about = {"name": "x", "schema": {"type": "no such type"}}
    with pytest.raises(openai.BadRequestError):
        chat(client, response_format={"type": "json_schema", "json_schema": about})


def test_errors_are_of_the_clients_types(client):
    for fields, kind in [
        ({"model": "gpt-4"}, openai.NotFoundError),
        ({"n": 100}, openai.BadRequestError),
        ({"extra_body": {"chat_template": "x"}}, openai.BadRequestError),
    ]:
        with pytest.raises(kind) as caught:
            client.chat.completions.create(**{"model": "evqa", "messages": QUESTION, **fields})
        assert caught.value.request_id.startswith("req_")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_streams(served, expected):
    body = {"model": "evqa", "messages": QUESTION, "max_tokens": NUM_TOKENS, "temperature": 0}
    done = subprocess.run(
        [
            "curl", "-sN", f"{served.url}/chat/completions", "-H",
            f"Authorization: Bearer {served.key}", "-H", "Content-Type: application/json",
            "-d", json.dumps({**body, "stream": True}),
        ],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    events = [line[6:] for line in done.stdout.splitlines() if line.startswith(b"data: ")]
    assert events[-1] == b"[DONE]"
    pieces = [json.loads(event)["choices"][0]["delta"].get("content") for event in events[:-1]]
    assert "".join(filter(None, pieces)) == expected[1]


LLM_COMMAND = os.environ.get("EVQA_LLM_COMMAND") or shutil.which("llm")


@pytest.mark.skipif(LLM_COMMAND is None, reason="the llm command is not installed")
def test_the_llm_command_line_client_asks(served, expected, tmp_path):
    about = [
        {"model_id": "ev", "model_name": "evqa", "api_base": served.url, "api_key_name": "ev"}
    ]
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps(about))
    options = ["-o", "temperature", "0", "-o", "max_tokens", str(NUM_TOKENS), "--no-log"]
    done = subprocess.run(
        [LLM_COMMAND, "-m", "ev", *options, "--key", served.key, QUESTION[0]["content"]],
        env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == expected[1].strip()


def test_plain_completions_work(client):
    answer = client.completions.create(
        model="evqa", prompt="charging", max_tokens=4, temperature=0
    )
    assert answer.usage.completion_tokens == 4


def test_the_models_are_listed(client):
    assert [model.id for model in client.models.list()] == ["evqa"]


def test_a_client_that_leaves_frees_the_engine(served, client):
    stream = client.chat.completions.create(
        model="evqa", messages=QUESTION, max_tokens=200, stream=True, temperature=0
    )
    next(iter(stream))
    stream.close()
    wait_until(lambda: "evqa_requests_in_flight 0.0" in served.get("/metrics").text)
    assert chat(client).choices[0].finish_reason in ("length", "stop")


def engine_address(served):
    """Where the engine behind the proxy listens, and its key: nothing else can know."""
    for child in psutil.Process(served.process.pid).children(recursive=True):
        words = child.cmdline()
        if "--port" in words and "serve" in words and "VLLM_API_KEY" in child.environ():
            port = words[words.index("--port") + 1]
            return f"http://127.0.0.1:{port}", child.environ()["VLLM_API_KEY"]
    raise AssertionError("no engine runs")


def test_the_version_behind_the_engine_says_what_the_adapter_says(served, released):
    """train = evaluate = served: the same prompt ids, and in float32 the same answers."""
    from evqa.export.generator import TransformersGenerator
    from evqa.export.parity import compare, observe
    from evqa.export.served import ServedGenerator
    from evqa.models.tuned import load_tuned

    run = find_run(released, "latest")
    tuned = load_tuned(run, read_manifest(run))
    questions = [f"How long does charging take with {n} kW?" for n in (3, 7, 11, 22)]
    observed = observe(TransformersGenerator(tuned.model, tuned.tokenizer), questions, 12)
    url, key = engine_address(served)
    report = compare(observed, ServedGenerator(url, key, "evqa", observed))
    assert report.prompt_mismatches == 0
    assert report.answer_agreement == report.top1_agreement == 1
    assert report.kl_nats < 1e-5
    assert report.perplexity_ratio == pytest.approx(1, abs=1e-3)


def test_adapter_version_and_endpoint_give_the_same_report(
    served, released, tmp_path, monkeypatch
):
    from evqa.scoring import evaluate_systems

    monkeypatch.setenv("EVQA_API_KEY", served.key)
    write_jsonl(tmp_path / "questions.jsonl", [question(n) for n in range(12)])
    endpoint = f"endpoint:{served.url}"
    config = load_config(
        "evaluate",
        [f"paths.outputs_dir={released}", "benchmark=custom", "logger=none",
         f"benchmark.path={tmp_path}/questions.jsonl", "retention=none",
         f"systems=[tuned,version:evqa/1,{endpoint}]", "generation.max_new_tokens=12",
         "metrics.bootstrap_samples=100", "performance.concurrency=[1,2]",
         "performance.num_rounds=1", "performance.max_new_tokens=4"],
    )  # fmt: skip
    made = evaluate_systems(config, tmp_path / "e")
    answers = {}
    for row in read_jsonl(tmp_path / "e" / "predictions.jsonl", Prediction):
        # a stream holds half a character back; this model of random weights ends in some
        answers.setdefault(row.system, []).append(row.text.rstrip("\ufffd"))
    assert answers["tuned"] == answers["version:evqa/1"] == answers[endpoint]
    scores = made.comparison.scores
    for metric in ("rouge_l", "token_f1", "key_fact_recall"):
        assert scores["tuned"].corpus[metric] == scores[endpoint].corpus[metric]
    assert made.performance[endpoint]["ttft_ms"]["p50"] > 0
