"""Every option of every group composes and parses; every field reaches code."""

import ast
import dataclasses
import inspect
import typing
from pathlib import Path

import pytest
from hydra.utils import get_object

from evqa.config import load_config
from evqa.config.help import help_text
from evqa.config.keys import walk
from evqa.config.register import JOBS, options

ROOT = Path(__file__).parents[2]
# What an option needs beside itself, because it leaves a choice to the user.
NEEDS = {
    ("data", "jsonl"): ["data.path=pairs.jsonl"],
    ("data", "hub"): ["data.path=owner/name"],
    ("benchmark", "custom"): ["benchmark.path=questions.jsonl"],
    ("server", "external"): ["server.upstreams=[http://127.0.0.1:1]"],
}
OPTIONS = [
    (group, option)
    for group, names in options().items()
    for option in names
    if not group.startswith("hydra")
]


def jobs_with(group):
    return [
        name
        for name, schema in JOBS.items()
        if group in {field.name for field in dataclasses.fields(schema)}
        or (group == "experiment" and name in {"train", "plan", "pipeline"})
        or (group == "hparams_search" and name == "train")
    ]


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda word: word)
def test_every_option_composes_in_every_job_that_has_its_group(group, option):
    names = jobs_with(group)
    assert names, f"no job reads the group {group}"
    for name in names:
        config = load_config(name, [f"{group}={option}", *NEEDS.get((group, option), [])])
        assert isinstance(config, JOBS[name])


@pytest.mark.parametrize("option", options()["optimizer"])
def test_every_optimizer_binds(option):
    config = load_config("train", [f"optimizer={option}"]).optimizer
    target = get_object(config._target_)
    bound = inspect.signature(target).bind(
        [], lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
    )
    assert bound.arguments["lr"] == config.lr


@pytest.mark.parametrize("name", sorted(JOBS))
def test_help_names_every_key_with_its_documentation(name):
    page = help_text(name, JOBS[name])
    for key, hint, field in walk(JOBS[name]):
        if not dataclasses.is_dataclass(hint) and not key.endswith("_target_"):
            assert f"{key}=" in page
            assert field.metadata["doc"], f"{key} has no documentation"
            assert field.metadata["doc"] in page


def config_classes():
    found = {}
    for schema in JOBS.values():
        found[schema.__name__] = schema
        for _key, hint, _field in walk(schema):
            if dataclasses.is_dataclass(hint):
                found[hint.__name__] = hint
    return found


class FieldReads(ast.NodeVisitor):
    """Collects ``(class, field)`` of every attribute read on something typed as a config."""

    def __init__(self, classes):
        self.classes = classes
        self.scopes = [{}]
        self.reads = set()

    def type_of(self, node):
        if isinstance(node, ast.Name):
            return next((s[node.id] for s in reversed(self.scopes) if node.id in s), None)
        if isinstance(node, ast.Attribute):
            owner = self.type_of(node.value)
            if owner is None:  # self.config where __init__ annotates it
                return self.scopes[0].get(node.attr) if self.is_self(node.value) else None
            return self.field_type(owner, node.attr)
        return None

    @staticmethod
    def is_self(node):
        return isinstance(node, ast.Name) and node.id == "self"

    def field_type(self, owner, name):
        hint = typing.get_type_hints(owner).get(name)
        return hint if dataclasses.is_dataclass(hint) else None

    def annotation(self, node):
        words = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} if node else set()
        words |= (
            {
                n.value
                for n in ast.walk(node)
                if isinstance(n, ast.Constant) and n.value in self.classes
            }
            if node
            else set()
        )
        named = [self.classes[word] for word in words if word in self.classes]
        return named[0] if named else None

    def visit_FunctionDef(self, node):
        arguments = [*node.args.args, *node.args.kwonlyargs]
        scope = {a.arg: self.annotation(a.annotation) for a in arguments}
        self.scopes.append({name: kind for name, kind in scope.items() if kind})
        self.generic_visit(node)
        self.scopes.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        self.scopes.append({})
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                kind = self.annotation(statement.annotation)
                if kind:
                    self.scopes[0][statement.target.id] = kind
        own = self.classes.get(node.name)
        if own:
            self.scopes[-1]["self"] = own
        self.generic_visit(node)
        self.scopes.pop()

    def visit_Assign(self, node):
        kind = self.type_of(node.value)
        if kind:
            for target in node.targets:
                if isinstance(target, ast.Name):
                    self.scopes[-1][target.id] = kind
                elif isinstance(target, ast.Attribute):
                    self.scopes[0][target.attr] = kind
        self.generic_visit(node)

    def visit_AnnAssign(self, node):
        kind = self.annotation(node.annotation)
        if kind and isinstance(node.target, ast.Name):
            self.scopes[-1][node.target.id] = kind
        self.generic_visit(node)

    def visit_Attribute(self, node):
        if isinstance(node.ctx, ast.Load):
            owner = self.type_of(node.value)
            if owner is not None:
                for base in owner.__mro__:
                    self.reads.add((base.__name__, node.attr))
        self.generic_visit(node)


def fields_read_by(sources):
    kinds = [base for kind in config_classes().values() for base in kind.__mro__]
    classes = {kind.__name__: kind for kind in kinds if dataclasses.is_dataclass(kind)}
    reads = set()
    for source in sources:
        visitor = FieldReads(classes)
        tree = ast.parse(source)
        visitor.visit(tree)
        visitor.visit(tree)  # again: methods may stand above what __init__ annotates
        reads |= visitor.reads
    return reads


def unread_fields(sources):
    reads = fields_read_by(sources)
    return sorted(
        f"{name}.{field.name}"
        for name, kind in config_classes().items()
        for field in dataclasses.fields(kind)
        if not dataclasses.is_dataclass(typing.get_type_hints(kind)[field.name])
        and not any((base.__name__, field.name) in reads for base in [kind, *kind.__mro__])
    )


def product_sources():
    files = [*ROOT.glob("evqa/**/*.py"), *ROOT.glob("*.py")]
    return [path.read_text(encoding="utf-8") for path in files if "evqa/config" not in str(path)]


# `name` and `resume` are read by YAML and by evqa/config itself.
READ_BY_CONFIG = {"TrainConfig.best", "PlanConfig.best", "PipelineConfig.best",
                  "ShowBatchConfig.best", "TrainConfig.name", "TrainConfig.resume", "PlanConfig.name", "PlanConfig.resume",
                  "PipelineConfig.name", "PipelineConfig.resume", "ShowBatchConfig.name",
                  "ShowBatchConfig.resume", "MemoryConfig.checkpointed_share",
                  "MemoryConfig.gradient_checkpointing"}  # fmt: skip


def test_every_config_field_reaches_code():
    # Architectures are taken as a whole (dataclasses.asdict) by Architecture.from_config.
    unread = {
        name for name in unread_fields(product_sources()) if "ArchitectureConfig" not in name
    }
    assert unread - READ_BY_CONFIG == set()


def test_an_unread_field_is_found_and_named():
    sources = [text.replace("config.weight_decay", "0.0") for text in product_sources()]
    assert "OptimizerConfig.weight_decay" in unread_fields(sources)
