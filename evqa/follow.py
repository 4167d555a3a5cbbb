"""python -m evqa.follow RUN_FOLDER: one more device of a training that another process leads.

Started by that process (see `evqa.training.strategy`), never by hand; the run's manifest has its
config.
"""

import signal
import sys
from pathlib import Path

from evqa.config import TrainConfig, from_dict
from evqa.config.register import register_configs
from evqa.files import read_json
from evqa.training.strategy import die_with_parent


def main(folder: Path) -> None:
    """Read the run's config and take part in its training."""
    from evqa import stages

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the leader stops us
    die_with_parent()
    register_configs()
    config = from_dict(TrainConfig, read_json(folder / "manifest.json")["config"])
    stages.follow_training(config, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
