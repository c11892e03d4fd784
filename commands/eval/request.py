"""The evaluation that a command line asks for: environments and suites, options, and overrides of settings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...environments.loading import describe
from ...rollout.chats.text_chat import TextPolicy
from ...rollout.cluster.config import ClusterConfig
from ...rollout.config import AgentConfig, ModelConfig, RolloutConfig, SamplingConfig
from ...rollout.engines.engine import Sampling
from ...trainer.overrides import parts_of
from ...verifiers.errors import ConfigError
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.settings import validated
from .evaluation import Entry, Evaluation
from .suite import SuiteEntry, read_suite

_OPTIONS = {"temperature": "--temperature", "max_tokens": "--max-tokens", "seed": "--seed"}
"""Sampling arguments that are options of the command."""


def evaluation_of(words: Sequence[str], overrides: Sequence[str], options: Mapping[str, Any]) -> Evaluation:
    """The evaluation that the command line asks for.

    Args:
        words: environments, and suite files, which end in ``.toml``.
        overrides: ``--config.key``, ``--model.key``, ``--rollout.key``, ``--sampling.key``, ``--endpoint.key``,
            ``--agents.NAME.key``, ``--sandbox.key`` and ``--cluster.key`` with their values.
        options: the command's options by name.

    Raises:
        ConfigError: a setting is unknown or not possible.
    """
    names = ("config", "model", "rollout", "sampling", "endpoint", "agents", "sandbox", "cluster")
    parts = parts_of(overrides, **{name: {} for name in names})
    if not options["model"]:
        raise ConfigError("eval needs --model: a folder or Hub id, or with --url the endpoint's name for the model")
    if "rope" in parts["model"]:
        raise ConfigError(
            "eval takes rotary positions from the model's config.json, where a run's checkpoints have them; "
            "leave out --model.rope"
        )
    sampling, further = _sampling(parts["sampling"], options)
    endpoint = _endpoint(parts["endpoint"], further, options)
    parts["rollout"] |= {"engine": options["engine"], "inline": options["inline"]}
    evaluation = Evaluation(
        entries=_entries(words, parts["config"], sampling, options),
        model=options["model"],
        seed=options["seed"],
        rollout=validated(RolloutConfig, parts["rollout"], "--rollout"),
        settings=validated(ModelConfig, {"path": options["model"], **parts["model"]}, "--model"),
        context="context" in parts["model"],
        endpoint=endpoint,
        agents=_agents(parts["agents"]),
        sandbox=validated(SandboxSettings, parts["sandbox"], "--sandbox"),
        cluster=validated(ClusterConfig, parts["cluster"], "--cluster"),
    )
    for config in (endpoint, *evaluation.agents.values()):
        if config.url:  # a malformed URL is refused before anything starts
            TextPolicy([config.url, *config.more_urls], config.model, sampling, headers=config.headers)
    return evaluation


def _entries(
    words: Sequence[str], config: Mapping[str, Any], sampling: Sampling, options: Mapping[str, Any]
) -> tuple[Entry, ...]:
    given: list[SuiteEntry] = []
    for word in words:
        given += read_suite(Path(word)) if word.endswith(".toml") else [SuiteEntry(use=word)]
    entries = tuple(_entry(one, config, sampling, options) for one in given)
    labels = [entry.spec.label for entry in entries]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"two environments are called {label!r}; give each a label of its own in a suite file")
    return entries


def _entry(given: SuiteEntry, config: Mapping[str, Any], sampling: Sampling, options: Mapping[str, Any]) -> Entry:
    label = given.label or given.use
    drawn = replace(
        sampling,
        temperature=sampling.temperature if given.temperature is None else given.temperature,
        max_tokens=given.max_tokens or sampling.max_tokens,
    )
    attempts = given.attempts or options["attempts"]
    if attempts > 1 and drawn.temperature == 0:
        raise ConfigError(
            f"{label}: at temperature 0 all {attempts} attempts are alike; give a temperature above 0 "
            "(--temperature 1), or a single attempt"
        )
    spec = describe(given.use, config={**given.config, **config}, weights=given.rubric, label=label)
    return Entry(spec, given.split or options["split"], given.tasks or options["tasks"], attempts, drawn)


def _sampling(given: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[Sampling, dict[str, Any]]:
    """The sampling that every engine knows, and further fields of requests, which only endpoints take."""
    for name, option in _OPTIONS.items():
        if name in given:
            raise ConfigError(f"--sampling.{name} is the option {option} here; write {option} {given[name]}")
    known = set(SamplingConfig.model_fields) - set(_OPTIONS)
    further = {name: value for name, value in given.items() if name not in known}
    if further and not options["url"]:
        raise ConfigError(
            f"--sampling.{next(iter(further))} needs an endpoint (--url); engines that load the model here take "
            f"--temperature, --max-tokens and --sampling.NAME with NAME among {', '.join(sorted(known))}"
        )
    drawn = validated(SamplingConfig, {name: given[name] for name in known & set(given)}, "--sampling")
    values = {name: getattr(drawn, name) for name in known}
    return Sampling(temperature=options["temperature"], max_tokens=options["max_tokens"], **values), further


def _endpoint(given: Mapping[str, Any], further: Mapping[str, Any], options: Mapping[str, Any]) -> AgentConfig:
    """The endpoint that ``--url`` names; an empty one without it."""
    urls = list(options["url"])
    if not urls:
        if given:
            raise ConfigError(f"--endpoint.{next(iter(given))} needs an endpoint; give its --url")
        return AgentConfig()
    for name in ("url", "more_urls", "model", "temperature", "max_tokens", "trainable"):
        if name in given:
            raise ConfigError(
                f"--endpoint.{name} is not a setting here; use --url, --model and the options of sampling"
            )
    values = {**given, "url": urls[0], "more_urls": urls[1:], "model": options["model"]}
    if further:
        values["fields"] = {**given.get("fields", {}), **further}
    return validated(AgentConfig, values, "--endpoint")


def _agents(given: Mapping[str, Any]) -> dict[str, AgentConfig]:
    for agent, values in given.items():
        if not isinstance(values, dict):
            raise ConfigError(f"--agents.{agent} is a table; write --agents.{agent}.url URL")
    return {agent: validated(AgentConfig, values, f"--agents.{agent}") for agent, values in given.items()}
