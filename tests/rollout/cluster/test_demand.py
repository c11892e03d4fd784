"""What a run asks of its cluster, from its settings alone."""

import pytest

from lachesis.rollout.cluster.config import ClusterConfig
from lachesis.rollout.cluster.demand import GIB, Actors, demands_of
from lachesis.trainer.config import load_config
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.settings import validated

CLUSTER = "cluster"


def cluster(**values: object) -> ClusterConfig:
    return validated(ClusterConfig, values, CLUSTER)


def test_by_default_every_actor_reserves_one_cpu_and_engines_their_gpus() -> None:
    engines, workers = demands_of(cluster(), Actors(engines=2, workers=3, gpus_per_engine=0.5))
    assert (engines.role, engines.strategy, workers.role, workers.strategy) == (
        "engines",
        "spread",
        "workers",
        "spread",
    )
    assert [dict(bundle.resources) for bundle in engines.bundles] == [{"CPU": 1, "GPU": 0.5}] * 2
    assert [dict(bundle.resources) for bundle in workers.bundles] == [{"CPU": 1}] * 3


def test_ranks_are_packed_also_if_only_their_cpus_are_set() -> None:
    (ranks,) = demands_of(cluster(ranks={"cpus": 4}), Actors(ranks=2, gpus_per_rank=1))
    assert (ranks.role, ranks.strategy) == ("ranks", "pack")
    assert [dict(bundle.resources) for bundle in ranks.bundles] == [{"CPU": 4, "GPU": 1}] * 2


def test_a_sandbox_is_reserved_beside_its_worker() -> None:
    asked = cluster(
        workers={"cpus": 2, "memory": 1, "gpus": 0.25, "labels": {"zone": "a"}},
        sandboxes={"cpus": 3, "memory": 0.5, "resources": {"kvm": 1}},
    )
    (workers,) = demands_of(asked, Actors(workers=1))
    assert dict(workers.bundles[0].resources) == {"CPU": 5, "memory": 1.5 * GIB, "kvm": 1, "GPU": 0.25}
    assert dict(workers.bundles[0].labels) == {"zone": "a"}


def test_colocated_engines_are_in_the_bundles_of_the_ranks_and_the_longer_list_goes_on_alone() -> None:
    actors = Actors(engines=3, workers=1, ranks=2, gpus_per_engine=0.4, gpus_per_rank=0.6)
    ranks, workers = demands_of(cluster(colocate=True), actors)
    assert [bundle.resources["GPU"] for bundle in ranks.bundles] == [1.0, 1.0, 0.4]
    assert (ranks.role, workers.role) == ("ranks", "workers")


def test_of_elastic_actors_only_the_least_are_needed_at_the_start() -> None:
    engines, workers = demands_of(cluster(engines={"min": 1}), Actors(engines=3, workers=2))
    assert (engines.elastic, len(engines.bundles), len(engines.needed.bundles)) == (True, 3, 1)
    assert (workers.elastic, workers.needed) == (False, workers)
    assert demands_of(cluster(engines={"min": 2}), Actors(workers=2)) == [workers]  # no engine plays


def test_a_process_that_asks_for_nothing_still_has_a_place() -> None:
    (workers,) = demands_of(cluster(workers={"cpus": 0}), Actors(workers=1))
    assert sum(workers.bundles[0].resources.values()) == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("values", "actors", "message"),
    [
        ({"colocate": True}, Actors(engines=1), "trainer.ranks = 1 is no actor"),
        ({"colocate": True}, Actors(1, 1, 2, 0.5, 0.6), "are more than 1; lower them"),
        (
            {"colocate": True, "engines": {"labels": {"zone": "a"}}, "ranks": {"labels": {"zone": "b"}}},
            Actors(1, 1, 2, 0.4, 0.6),
            "rank 0 and engine 0 on one node, but they ask for the label zone to be 'b' and 'a'",
        ),
        ({}, Actors(engines=1, gpus_per_engine=1.5), "rollout.gpus_per_engine = 1.5"),
        ({"workers": {"gpus": 2.5}}, Actors(workers=1), "cluster.workers.gpus = 2.5"),
        ({"workers": {"min": 3}}, Actors(1, 2), "cluster.workers.min = 3 is more than rollout.workers = 2"),
        ({"colocate": True, "engines": {"min": 1}}, Actors(2, 1, 2, 0.4, 0.6), "ranks do not join or leave"),
    ],
)
def test_what_cannot_be_placed_is_refused_with_the_settings(
    values: dict[str, object], actors: Actors, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        demands_of(cluster(**values), actors)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"engines": {"resources": {"GPU": 1}}}, "GPU is Ray's own: set gpus_per_engine"),
        ({"workers": {"resources": {"kvm": 0}}}, "cluster.workers.resources.kvm|greater than 0"),
        ({"engines": {"strategy": "wide"}}, "'spread', 'pack'"),
        ({"files": ["/etc/passwd"]}, "give a relative path without"),
        ({"files": ["a/../../b"]}, "give a relative path without"),
        ({"files": [""]}, "give a relative path without"),
        ({"deadline": 0}, "greater than 0"),
        ({"engines": {"min": 1, "strategy": "strict_spread"}}, "so strategy = 'strict_spread' cannot be kept"),
        ({"workers": {"min": -1}}, "greater than or equal to 0"),
        ({"ranks": {"min": 1}}, "ranks.min"),
        ({"engines": {"gpus": 1}}, "'engines.gpus' has another name now: write rollout.gpus_per_engine"),
        ({"ranks": {"gpus": 1}}, "'ranks.gpus' has another name now: write trainer.gpus_per_rank"),
    ],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cluster(**values)


def test_the_old_key_of_the_address_names_the_new_one() -> None:
    with pytest.raises(ConfigError, match=r"'rollout.address' has another name now: write cluster.address"):
        load_config("configs/arithmetic.toml", ["--rollout.address", "auto"])
    assert load_config("configs/arithmetic.toml", ["--cluster.address", "auto"]).cluster.address == "auto"
