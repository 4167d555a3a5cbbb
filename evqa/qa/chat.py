"""Pairs as chat messages, in the JSON Lines that TRL, Axolotl and LLaMA-Factory read unchanged.

One object a line, ``{"messages": [{"role": "user", …}, {"role": "assistant", …}]}``: TRL's
conversational format, Axolotl's ``chat_template`` with its default field, and LLaMA-Factory's
sharegpt formatting with the tags of its ``openai`` style (``dataset_info.json`` is written beside
the files). `datasets.load_dataset("json", data_files=…)` loads them.
"""

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from evqa.files import write_json
from evqa.records import QAPair, Split

SPLITS = (Split.train, Split.validation, Split.test)
# https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, "OpenAI Format"
LLAMA_FACTORY = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}


def to_messages(pair: QAPair) -> dict[str, Any]:
    """Return a pair as a conversation of two turns; the chat template adds the system prompt."""
    return {
        "messages": [
            {"role": "user", "content": pair.question},
            {"role": "assistant", "content": pair.answer},
        ]
    }


class ChatFiles:
    """A file for each split under a folder; use as a context.

    Args:
        folder: Made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._streams: dict[str, IO[str]] = {}

    def __enter__(self) -> Self:
        """Open the files, and describe them for LLaMA-Factory."""
        self._folder.mkdir(parents=True, exist_ok=True)
        described = {f"evqa_{s}": {"file_name": f"{s}.jsonl", **LLAMA_FACTORY} for s in SPLITS}
        write_json(self._folder / "dataset_info.json", described)
        for split in SPLITS:
            path = self._folder / f"{split}.jsonl"
            self._streams[split] = path.open("w", encoding="utf-8", newline="\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        for stream in self._streams.values():
            stream.close()

    def add(self, pair: QAPair) -> None:
        """Write a pair to the file of its split."""
        self._streams[pair.split].write(json.dumps(to_messages(pair), ensure_ascii=False) + "\n")
