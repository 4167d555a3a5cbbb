"""``evqa ask``: the latest adapter answers, without a server."""

from typing import Annotated

import typer

from evqa.commands.options import OutputsDir, outputs_folder
from evqa.errors import UserError
from evqa.runs import find_run, read_manifest

Question = Annotated[str, typer.Argument(help="What to ask.")]
Run = Annotated[str, typer.Option(help="Run folder, or 'latest' for the newest finished run.")]
MaxTokens = Annotated[int, typer.Option(min=1, max=8192, help="Longest answer, tokens.")]


def ask(
    question: Question,
    run: Run = "latest",
    max_new_tokens: MaxTokens = 128,
    outputs_dir: OutputsDir = None,
) -> None:
    """Answer one question with a run's adapter.

    Raises:
        UserError: the question is empty, or there is no finished run.
    """
    if not question.strip():
        raise UserError("the question is empty")
    folder = find_run(outputs_folder(outputs_dir), run)

    from evqa.config.evaluation import GenerationConfig
    from evqa.config.run_job import quiet_libraries
    from evqa.models.generate import Generator
    from evqa.models.tuned import load_tuned

    quiet_libraries()
    tuned = load_tuned(folder, read_manifest(folder))
    settings = GenerationConfig(max_new_tokens=max_new_tokens)
    generator = Generator(tuned.model, tuned.tokenizer, settings, tuned.config.seed)
    typer.echo(generator.answer([question])[0].text)
