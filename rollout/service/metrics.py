"""The service's figures as Prometheus text."""

from collections.abc import Iterable, Mapping

from ..prometheus import figure, head
from .service import Service


def exposition(service: Service, answers: Mapping[tuple[str, int], int]) -> str:
    """All figures in the text format 0.0.4.

    Args:
        service: whose figures they are.
        answers: how many answers were given, by route and status.
    """
    queue, counters = service.queue, service.queue.counters
    connected = sum(one.connected for one in service.environments)
    leased = sum(len(lease.groups) for lease in queue.leases.values())
    lines = [
        *_figure("groups_waiting", "gauge", "Groups in the queue.", len(queue)),
        *_figure("groups_held", "gauge", "Of these, groups of odd sizes that wait for others.", len(queue.held)),
        *_figure("sequences_waiting", "gauge", "Sequences in the queue.", queue.waiting.sequences),
        *_figure("bytes_waiting", "gauge", "Bytes of the bodies in the queue.", queue.bytes),
        *_figure("groups_leased", "gauge", "Groups that a trainer has and has not acknowledged.", leased),
        *_figure("environments_connected", "gauge", "Environments that are connected.", connected),
        *_figure("step", "gauge", "The trainer's step.", service.step),
        *_figure("groups_accepted_total", "counter", "Groups written to the disk.", counters.accepted),
        *_figure("groups_acknowledged_total", "counter", "Groups a trainer acknowledged.", counters.acknowledged),
        *_figure("groups_returned_total", "counter", "Groups whose lease ran out.", counters.returned),
        *_figure("batches_total", "counter", "Batches handed out.", counters.batches),
        *_figure("short_batches_total", "counter", "Of these, batches not exactly full.", counters.short_batches),
        *head("bodies_refused_total", "counter", "Bodies refused, by the kind of their first error."),
        *(figure("bodies_refused_total", {"kind": kind}, n) for kind, n in sorted(service.refused.items())),
        *head("answers_total", "counter", "Answers, by route and status."),
        *(
            figure("answers_total", {"route": route, "status": str(status)}, n)
            for (route, status), n in sorted(answers.items())
        ),
    ]
    return "\n".join(lines) + "\n"


def _figure(name: str, kind: str, text: str, value: float) -> Iterable[str]:
    return *head(name, kind, text), figure(name, {}, value)
