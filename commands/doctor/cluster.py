"""What ``lachesis doctor --cluster`` finds: the nodes, their versions and files, and whether a run has room."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from ...rollout.cluster.demand import Demand, demands_of
from ...rollout.cluster.node_facts import versions
from ...rollout.cluster.nodes import Node, amounts, asked, described, missing, own_resources
from ...rollout.workers.pool import PoolSpec
from ...trainer.config import RunConfig
from ...verifiers.errors import ConfigError
from .finding import Finding

NEEDED = ("Python", "lachesis", "ray", "torch", "transformers")
"""What every node needs, in the version of this machine."""
INSTALL = "install the same version there as here"


def examine_cluster(config: RunConfig, spec: PoolSpec) -> list[Finding]:
    """Join the cluster of a run, or start Ray on this machine, and compare what it has with what the run needs.

    Args:
        config: of the run.
        spec: its actors.

    Raises:
        LachesisError: there is no such cluster.
    """
    if config.rollout.inline:
        raise ConfigError("rollout.inline = true runs everything in one process, without a cluster; leave it out")
    from ...rollout.cluster.delivery import this_node
    from ...rollout.cluster.placement import nodes_of_cluster
    from ...rollout.cluster.session import Session
    from ...rollout.cluster.survey import survey

    cluster, paths = config.cluster, data_of(config)
    model = config.model.path if Path(config.model.path).is_dir() else ""
    session = Session(cluster, spec.actors, reserve=False)
    try:
        nodes, here = nodes_of_cluster(), this_node()
        findings = [Finding("cluster", "ok", f"{cluster.address or 'this machine'}: {described(nodes)}")]
        for facts in survey(nodes, [*paths, *filter(None, [model])], config.model.path, cluster.deadline):
            findings.append(_node(facts.node, facts.node.id == here))
            if facts.fault:
                findings.append(Finding(facts.node.name, "missing", facts.fault, "look at the node's Ray logs"))
                continue
            findings.append(_versions(facts.node, facts.versions, versions(), vllm=config.rollout.engine == "vllm"))
            if facts.node.id != here:
                findings.append(_model(facts.node, config.model.path, model, facts))
                findings += [_data(facts.node, path, path in facts.paths) for path in paths]
        return [*findings, *_files(config, len(nodes)), room(demands_of(cluster, spec.actors), nodes)]
    finally:
        session.close()


def room(demands: Sequence[Demand], nodes: Sequence[Node]) -> Finding:
    """Whether the run fits on the nodes."""
    wanted = asked(demands)
    if lacking := missing(demands, nodes, free=False):
        return Finding("room", "missing", f"{wanted}: {lacking}", "add nodes, or ask for less in [cluster]")
    if lacking := missing(demands, nodes):
        return Finding("room", "warn", f"{wanted}; now it is reserved by others: {lacking}", "wait, or add nodes")
    return Finding("room", "ok", wanted)


def data_of(config: RunConfig) -> list[str]:
    """Files and folders of this machine that the environments name, and that ``cluster.files`` does not send."""
    named = {text for entry in config.environments for text in _texts(entry.config) if _is_path(text)}
    sent = [PurePath(path) for path in config.cluster.files]
    return sorted(text for text in named if not any(PurePath(text).is_relative_to(path) for path in sent))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _is_path(text: str) -> bool:
    """Whether a text names a file or folder of this machine; a plain word such as ``train`` is taken for a word."""
    try:
        return ("/" in text or "." in text) and Path(text).exists()
    except (OSError, ValueError):  # too long for a name
        return False


def _node(node: Node, here: bool) -> Finding:
    labels = {name: value for name, value in node.labels.items() if not name.startswith("ray.io/")}
    found = amounts(own_resources(node.total)) or "nothing"
    found += f"; labels {', '.join(f'{name}={value}' for name, value in labels.items())}" if labels else ""
    return Finding(node.name, "ok", found + ("; this machine" if here else ""))


def _versions(node: Node, there: dict[str, str], here: dict[str, str], vllm: bool) -> Finding:
    needed = (*NEEDED, "vllm") if vllm else NEEDED
    found = ", ".join(f"{name} {there[name]}" for name in there if there[name])
    what = f"{node.name}: versions"
    if absent := [name for name in needed if not there[name]]:
        return Finding(what, "missing", f"without {', '.join(absent)}; {found}", INSTALL)
    if other := [f"{name} {there[name]} (here {here[name] or 'none'})" for name in needed if there[name] != here[name]]:
        return Finding(what, "warn", f"other than here: {', '.join(other)}", INSTALL)
    return Finding(what, "ok", found)


def _model(node: Node, path: str, folder: str, facts: Any) -> Finding:
    what = f"{node.name}: model"
    if path == "tiny":
        return Finding(what, "ok", "the tiny model is built here and sent")
    if not folder:
        found = f"{path} is in its cache of the Hub" if facts.cached else f"{path} is fetched from the Hub"
        return Finding(what, "ok" if facts.cached else "warn", found)
    if folder in facts.paths:
        return Finding(what, "ok", f"{path} is there; if its content is another one, it is sent")
    size = sum(file.stat().st_size for file in Path(folder).iterdir() if file.is_file())
    return Finding(what, "ok", f"{path} is not there and is sent ({size / 1e9:.3g} GB)")


def _data(node: Node, path: str, there: bool) -> Finding:
    what = f"{node.name}: data"
    if not Path(path).is_absolute():
        cure = f"add {path!r} to cluster.files"
        return Finding(what, "warn", f"{path} is relative to the folder in which ray start was called there", cure)
    if there:
        return Finding(what, "ok", f"{path} is there")
    return Finding(
        what, "missing", f"there is no {path}", "copy it there, or name it below this folder in cluster.files"
    )


def _files(config: RunConfig, nodes: int) -> list[Finding]:
    """What ``cluster.files`` sends."""
    if not config.cluster.files or nodes < 2:
        return []
    from ...rollout.cluster.delivery import files_below

    names = files_below(Path.cwd(), config.cluster.files)
    size = sum(Path(name).stat().st_size for name in names)
    return [Finding("files", "ok", f"{len(names)} files of {size / 1e6:.3g} MB are sent (cluster.files)")]
