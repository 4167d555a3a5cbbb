"""What is kept of a request once it is over: metrics, journal, record, log line, span.

Nothing here may fail a request: it has been answered. A journal that cannot be written is an
error in the log.
"""

import logging
import time
from typing import Any

from evqa.serving.call import Call
from evqa.serving.fleet import Fleet
from evqa.serving.jsonlog import JsonLog
from evqa.serving.metrics import ServerMetrics
from evqa.serving.tracing import Tracer
from evqa.serving.usage import (
    RequestLog,
    RequestRecord,
    UsageJournal,
    UsageLine,
    hash_answer,
    hash_prompt,
)

log = logging.getLogger(__name__)


class Accounts:
    """Closes the books on requests.

    Args:
        metrics: Counts them.
        requests: Keeps a record of each that reached an engine.
        journal: Keeps the tokens of each key.
        access_log: Takes a line for each.
        model_name: Name that clients ask for.
        tracer: Sends spans; null where none are wanted.
    """

    def __init__(
        self,
        metrics: ServerMetrics,
        requests: RequestLog,
        journal: UsageJournal,
        access_log: JsonLog,
        model_name: str,
        tracer: Tracer | None = None,
    ) -> None:
        self.metrics = metrics
        self.requests = requests
        self.journal = journal
        self.access_log = access_log
        self.tracer = tracer
        self._model_name = model_name
        self.fleet: Fleet | None = None

    def stop(self) -> None:
        """Close the files and send the last spans."""
        self.requests.close()
        self.journal.close()
        if self.tracer is not None:
            self.tracer.close()

    def close(self, call: Call) -> None:
        """Take in a request that is over."""
        try:
            self._close(call)
        except Exception:
            log.exception("request %s: the books could not be closed", call.id)

    def _close(self, call: Call) -> None:
        latency_s = time.perf_counter() - call.started
        self.metrics.count(call.version, call.route, call.status, call.error)
        row: dict[str, Any] = {
            "time": call.time,
            "level": "info",
            "event": "request",
            "id": call.id,
            "route": call.route,
            "status": call.status,
            "latency_ms": round(latency_s * 1e3, 3),
            "version": call.version,
        }
        if call.error:
            row["error"] = call.error
        if call.key is not None:
            row["key_id"] = call.key.id
        if call.request is not None and call.key is not None:
            self._close_relayed(call, latency_s, row)
        self.access_log.write(row)

    def _close_relayed(self, call: Call, latency_s: float, row: dict[str, Any]) -> None:
        """Take in a request that reached an engine."""
        num_prompt_tokens = call.num_prompt_tokens()
        num_completion_tokens = call.num_completion_tokens()
        if call.stream is not None and call.answering:
            call.answer = call.stream.text()
        row["num_prompt_tokens"] = num_prompt_tokens
        row["num_completion_tokens"] = num_completion_tokens
        row["ttft_ms"] = _milliseconds(call.first_byte_s)
        queue_s = call.entered - call.started if call.entered is not None else 0.0
        self.metrics.observe(
            call.version,
            latency_s=latency_s,
            first_byte_s=call.first_byte_s,
            queue_s=queue_s,
            num_prompt_tokens=num_prompt_tokens,
            num_completion_tokens=num_completion_tokens,
        )
        self._judge(call, latency_s - queue_s, num_completion_tokens)
        try:
            self.journal.append(_usage_line(call, num_prompt_tokens, num_completion_tokens))
            self.requests.append(self._record(call, latency_s, row))
        except OSError as error:
            log.error("request %s: its record was not written: %s", call.id, error)  # noqa: TRY400
        if self.tracer is not None and call.trace is not None:
            self.tracer.finish(call.trace, row)

    def _judge(self, call: Call, latency_s: float, num_completion_tokens: int | None) -> None:
        if self.fleet is None or call.deployment is None or call.error == "client_gone":
            return
        call.deployment.outcomes.add(
            failed=call.status >= 500, latency_s=latency_s, num_tokens=num_completion_tokens
        )
        self.fleet.judge(call.deployment)

    def _record(self, call: Call, latency_s: float, row: dict[str, Any]) -> RequestRecord:
        assert call.request is not None
        assert call.key is not None
        texts = self.requests.record_text
        return RequestRecord(
            id=call.id,
            time=call.time,
            key_id=call.key.id,
            version=call.version,
            model=self._model_name,
            prompt_sha256=hash_prompt(call.request.prompt),
            answer_sha256=hash_answer(call.answer),
            num_prompt_tokens=row["num_prompt_tokens"],
            num_completion_tokens=row["num_completion_tokens"],
            ttft_ms=row["ttft_ms"],
            latency_ms=round(latency_s * 1e3, 3),
            status=call.status,
            prompt=call.request.prompt if texts else None,
            answer=call.answer if texts else None,
        )


def _usage_line(call: Call, prompt: int | None, completion: int | None) -> UsageLine:
    estimated = prompt is None and bool(completion)
    return UsageLine(
        time=call.time,
        id=call.id,
        key_id=call.key.id if call.key else "",
        version=call.version,
        route=call.route,
        status=call.status,
        num_prompt_tokens=call.num_tokens() - (completion or 0),
        num_completion_tokens=completion or 0,
        estimated=estimated,
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)
