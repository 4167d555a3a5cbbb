"""In place of train.py: a sweep is real, a trial takes milliseconds.

``STUB_BEHAVIOUR`` is JSON, ``{"8": "kill"}``: what a trial of lora.r=8 does instead of finishing.
"""

import json
import math
import os
import signal
import sys
import time
from pathlib import Path


def objective(values):
    rank, rate = float(values.get("lora.r", 16)), float(values.get("optimizer.lr", 2e-4))
    return (math.log2(rank) - 4) ** 2 + (math.log10(rate) + 3.5) ** 2


def trial(words):
    values = dict(word.split("=", 1) for word in words)
    folder = Path(values["hydra.run.dir"].strip("'"))
    behaviour = json.loads(os.environ.get("STUB_BEHAVIOUR", "{}"))
    act = behaviour.get(values.get("lora.r"), behaviour.get("*"))
    with (folder.parent.parent / "launched.log").open("a") as log:
        log.write(f"{os.getpid()} {folder.name} {' '.join(words)}\n")
    if act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if act == "hang":
        time.sleep(60)
    if act == "slow":
        time.sleep(0.3)
    if act == "fail":
        sys.stderr.write("error: out of memory on the device\n")
        sys.exit(3)
    if act == "bug":
        raise RuntimeError("odd")
    if act == "nothing":
        return
    loss = objective(values)
    for step in (1, 2, 3):  # validations on the way
        with (folder / "validations.jsonl").open("a") as stream:
            stream.write(json.dumps({"step": step, "validation_loss": loss + 3 - step}) + "\n")
    value = {"nan": math.nan, "none": None}.get(act, loss)
    for name in ("adapter", "checkpoints"):
        (folder / name).mkdir()
    (folder / "metrics.json").write_text(
        json.dumps({"systems": {"tuned": {"key_fact_recall": {"value": objective(values)}}}})
    )
    (folder / "plan.json").write_text(json.dumps({"measured": {"peak_gib": 1.5}}))
    (folder / "manifest.json").write_text(
        json.dumps(
            {
                "finished": True,
                "training": {"validation_loss": value, "tokens_per_s": float(values["lora.r"])}
                if "lora.r" in values
                else {"validation_loss": value},
            }
        )
    )


def main():
    if "-m" not in sys.argv:
        trial(sys.argv[1:])
        return
    from evqa.config import TrainConfig, run_job
    from evqa.sweep.plugin import register_sweeper

    register_sweeper()
    run_job("train", TrainConfig, lambda config, folder: None)


if __name__ == "__main__":
    main()
