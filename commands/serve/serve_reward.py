"""``lachesis serve-reward``: a reward model of transformers behind an endpoint, for the verifier ``reward_model``."""

import asyncio

import click

from ...rollout.service.body import is_loopback
from ...verifiers.errors import ConfigError
from .listening import listen


@click.command("serve-reward")
@click.argument("model")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; only this machine's own.")
@click.option(
    "--port",
    default=8760,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
@click.option(
    "--batch", type=click.IntRange(1, 1024), default=16, show_default=True, help="Most conversations at the same time."
)
@click.option(
    "--context", type=click.IntRange(0), default=0, help="Most tokens of a conversation; 0 takes the model's own limit."
)
def command(model: str, host: str, port: int, device: str, batch: int, context: int) -> None:
    """Serve the reward model MODEL for the verifier reward_model.

    MODEL is a folder or a Hub id with a sequence classifier of transformers. Requests go to /classify, as vLLM has it.
    SIGTERM and Ctrl-C end the server.
    """
    if not is_loopback(host):
        raise ConfigError(f"--host {host} can be reached from outside, and this server has no keys; vLLM's has them")
    import torch

    from ...rollout.models.sequence_classifier import SequenceClassifier
    from ...rollout.service.classify import ClassifyService

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"--device cuda asks for a GPU, but torch {torch.__version__} sees none; use --device cpu")
    chosen = "cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu")
    classifier = SequenceClassifier(model, chosen, context)
    outputs = f"{len(classifier.labels)} output{'s' if len(classifier.labels) > 1 else ''}"
    facts = f"{model} with {outputs}, at most {classifier.context} tokens"
    asyncio.run(listen(ClassifyService(classifier, model, batch).runner(), host, port, facts))
