"""Serve the registered model: the engine on loopback, the authenticating proxy in front of it.

usage: python serve.py [server.port=8000] [server.engine=vllm|external|transformers] [key=value …]
"""

from pathlib import Path

from evqa.config import ServeConfig, project_dir, run_job


def serve(config: ServeConfig, _folder: Path) -> None:
    """Serve the champion, else the candidate, until Ctrl-C; then drain and stop."""
    from evqa.fit import check_fit
    from evqa.serving import launch

    if config.server.memory_gib is not None:
        check_fit(config, launch.choose_model(config).folder)
    launch.serve(config, project_dir())


if __name__ == "__main__":
    run_job("serve", ServeConfig, serve)
