"""From a command line to plain, checked dataclasses; every mistake is one ``ConfigError``.

Bare Hydra accepts ``+lora.rr=16`` silently, checks no ranges, and answers mistakes with several
lines. Here the overrides are looked at first, then composed, converted and checked.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from evqa.config.fields import problems
from evqa.config.jobs import JobConfig
from evqa.config.keys import is_known, known_keys, suggestion
from evqa.config.register import JOBS, config_dir, options, register_configs
from evqa.errors import ConfigError

C = TypeVar("C")
VERSION_BASE = "1.3"
EMPTY_GROUPS = ("experiment", "hparams_search")  # may be null: they only set values of others


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parse the words of a command line.

    Raises:
        ConfigError: naming the word that Hydra's grammar refuses, and how to quote it.
    """
    parser = OverridesParser.create()
    parsed = []
    for word in overrides:
        try:
            parsed.append(parser.parse_override(word))
        except HydraException:
            raise ConfigError(_quoting_help(word)) from None
    return parsed


def _quoting_help(word: str) -> str:
    key, sign, value = word.partition("=")
    if not sign:
        return f"{word}: not an override; write key=value (python train.py --help lists the keys)"
    inner = value.strip("[]")
    quoted = f'["{inner}"]' if value.startswith("[") else f'"{value}"'
    return f"{key}: cannot read the value {value}; quote it: '{key}={quoted}'"


def check_override(override: Override, schema: type) -> None:
    """Refuse an unknown key or group option, with or without ``+``.

    Raises:
        ConfigError: with the full key, the value, what is allowed, and the nearest match.
    """
    name = override.key_or_group
    groups = options()
    if name.split(".")[0].split("/")[0] == "hydra":
        return
    if name in groups:
        _check_option(name, override, groups[name])
        return
    keys = known_keys(schema)
    given = override.input_line or name
    if not is_known(name, keys):
        hint = suggestion(name, [*keys, *groups])
        raise ConfigError(f"{name}: unknown key (in {given}).{hint}")
    if override.is_add() and name in keys:
        raise ConfigError(f"{name}: exists already (in {given}); leave out the +")
    if override.is_delete():
        raise ConfigError(f"{name}: cannot be removed (in {given}); set it to another value")


def _check_option(group: str, override: Override, allowed: list[str]) -> None:
    value = override.value()
    if override.is_delete() or (value is None and group in EMPTY_GROUPS):
        return
    if str(value) not in allowed:
        hint = suggestion(str(value), allowed)
        raise ConfigError(f"{group}: no option {value!r}; allowed: {', '.join(allowed)}.{hint}")


def compose_config(name: str, overrides: Sequence[str]) -> DictConfig:
    """Compose one job's config with Hydra.

    Raises:
        ConfigError: one line, naming the full key.
    """
    register_configs()
    for override in parse_overrides(overrides):
        check_override(override, JOBS[name])
    already = GlobalHydra.instance().is_initialized()
    try:
        if already:
            return compose(name, overrides=list(overrides))
        with initialize_config_dir(str(config_dir()), version_base=VERSION_BASE):
            return compose(name, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(one_line(error)) from None


def one_line(error: BaseException) -> str:
    """Return what is wrong as one line, the full key first where the library names it."""
    cause: BaseException = error
    # under a debugger OmegaConf keeps the causes below its own message too
    while cause.__cause__ is not None and not getattr(cause, "full_key", None):
        cause = cause.__cause__
    key = getattr(cause, "full_key", None)
    message = " ".join(str(getattr(cause, "msg", None) or cause).split())
    message = message.partition(" full_key:")[0]
    return f"{key}: {message}" if key and not message.startswith(str(key)) else message


def to_plain(config: DictConfig, schema: type[C]) -> C:
    """Turn a composed config into its dataclass and check ranges and combinations.

    Returns:
        An instance of ``schema``; no DictConfig is left in it.

    Raises:
        ConfigError: one line, with the full key.
    """
    _check_nodes(config, schema)
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise ConfigError(f"{missing[0]}: must be set")
        plain = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from None
    return check(cast("C", plain))


def check(config: C) -> C:
    """Return the config if every range and combination holds.

    Raises:
        ConfigError: naming the first key that does not.
    """
    for key, problem in problems(config):
        raise ConfigError(f"{key}: {problem}")
    return config


def _check_nodes(config: DictConfig, schema: type) -> None:
    keys = known_keys(schema)
    for key in _node_keys(config):
        if not is_known(key, keys):
            raise ConfigError(f"{key}: unknown key.{suggestion(key, keys)}")


def _node_keys(node: DictConfig, prefix: str = "") -> list[str]:
    keys = []
    for name in map(str, node):
        key = f"{prefix}{name}"
        keys.append(key)
        child = node._get_node(name)
        if (
            isinstance(child, DictConfig)
            and not child._is_none()
            and not child._is_interpolation()
        ):
            keys.extend(_node_keys(child, f"{key}."))
    return keys


def load_config(name: str, overrides: Sequence[str] = ()) -> JobConfig:
    """Compose and check the config of a job, without running it."""
    register_configs()
    return to_plain(compose_config(name, overrides), JOBS[name])


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config as plain JSON values (enums as words), as manifests and trackers keep it."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return values


def from_dict(schema: type[C], values: dict[str, Any]) -> C:
    """Rebuild a config from what a manifest keeps.

    Raises:
        ConfigError: when the manifest holds a key or value that this version refuses.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), values)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from None
    return to_plain(cast("DictConfig", merged), schema)
