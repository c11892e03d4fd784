"""A cluster of two nodes on this machine: what is reserved there, where actors run, and how files reach them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from lachesis.rollout.cluster import delivery, placement
from lachesis.rollout.cluster.config import ClusterConfig
from lachesis.rollout.cluster.delivery import LIBRARY, File, Manifest, model_here, named_node, settle
from lachesis.rollout.cluster.demand import Actors
from lachesis.rollout.cluster.leftovers import Driver
from lachesis.rollout.cluster.placement import nodes_of_cluster, rank_seat
from lachesis.rollout.cluster.session import Session
from lachesis.rollout.config import ModelConfig
from lachesis.verifiers.errors import ConfigError, InfrastructureError
from lachesis.verifiers.settings import validated


class Place:
    """An actor that says where it is and what it sees."""

    def node(self) -> str:
        return delivery.this_node()

    def gpus(self) -> tuple[str, list[int]]:
        return delivery.this_node(), ray.get_gpu_ids()

    def model(self, path: str, cache: str) -> str:
        os.environ["XDG_CACHE_HOME"] = cache
        return model_here(ModelConfig(path=path)).path

    def files(self, cache: str) -> tuple[str, str, bool]:
        os.environ["XDG_CACHE_HOME"] = cache
        settle()
        return (
            import_module("package_that_is_sent").WORD,
            Path("data/rows.jsonl").read_text(),
            os.getcwd() == sys.path[0],
        )

    def spawn(self) -> tuple[int, int]:
        """Start a program in the background; return the numbers of this process and of the program's.

        Its parent has ended, so Ray does not know it: Ray ends the children of an actor.
        """
        settle()
        shell = ["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"]
        return os.getpid(), int(subprocess.check_output(shell, start_new_session=True))

    def refuse(self) -> None:
        with named_node():
            raise ConfigError("there is no such model")

    def damaged(self, root: str, cache: str) -> None:
        os.environ["XDG_CACHE_HOME"] = cache
        delivery._fetched(ray.get_actor(LIBRARY), Manifest(root, (File("config.json", 2, "other"),), "damaged"))


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[str]:
    """The address of a cluster of nodes with 4 CPUs each, and 1 and 2 GPUs; the second has the label zone=far."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # nodes need not find the tests
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "num_gpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=4, num_gpus=2, resources={"kvm": 1}, labels={"zone": "far"})
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()


@contextmanager
def opened(address: str, actors: Actors, **settings: Any) -> Iterator[Session]:
    session = Session(validated(ClusterConfig, {"address": address, **settings}, "cluster"), actors)
    try:
        yield session
    finally:
        session.close()


def start(session: Session, role: str, number: int) -> Any:
    return ray.remote(Place).options(**session.placement.seat(role, number, 0)).remote()


FAR = {"workers": {"labels": {"zone": "far"}, "resources": {"kvm": 0.5}}}


def test_engines_are_spread_ranks_are_packed_and_labels_are_kept(two_nodes: str) -> None:
    with opened(two_nodes, Actors(engines=2, workers=1, ranks=2), **FAR) as session:
        engines = [start(session, "engines", number) for number in range(2)]
        ranks = [ray.remote(Place).options(**rank_seat(number, 0)).remote() for number in range(2)]
        worker = start(session, "workers", 0)
        *where, far = ray.get([actor.node.remote() for actor in (*engines, *ranks, worker)])
        assert where[0] != where[1]
        assert where[2] == where[3]
        assert [node.labels.get("zone") for node in nodes_of_cluster() if node.id == far] == ["far"]


def test_a_colocated_engine_has_the_gpu_of_its_rank_and_no_other_rank_has_it(two_nodes: str) -> None:
    actors = Actors(engines=2, workers=1, ranks=3, gpus_per_engine=0.4, gpus_per_rank=0.6)
    with opened(two_nodes, actors, colocate=True) as session:
        engines = [ray.remote(Place).options(**session.placement.seat("engines", k, 0.4)).remote() for k in range(2)]
        ranks = [ray.remote(Place).options(**rank_seat(k, 0.6)).remote() for k in range(3)]
        shared = ray.get([engine.gpus.remote() for engine in engines])
        own = ray.get([rank.gpus.remote() for rank in ranks])
        assert shared == own[:2]
        assert len({(node, *gpus) for node, gpus in own}) == 3


def test_no_room_ends_in_time_with_what_is_asked_there_and_missing_and_frees_what_was_reserved(
    two_nodes: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(placement, "SOON", 0.1)
    settings = validated(ClusterConfig, {"address": two_nodes, "deadline": 1}, "cluster")
    with pytest.raises(InfrastructureError) as caught:
        Session(settings, Actors(engines=2, workers=7))
    assert "the run asks for 9 CPU for 2 engines, 7 workers" in str(caught.value)
    assert "1 of 7 workers (1 CPU each) find no node with room: 1 CPU more. It has 2 nodes with 8 CPU" in str(
        caught.value
    )
    [told] = [line for line in caplog.messages if "no room yet" in line]
    assert "1 of 7 workers (1 CPU each) find no node with room" in told
    with opened(two_nodes, Actors(engines=2, workers=6)):  # all of it is free again
        pass


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model, data and a package that nodes do not have under the same relative path."""
    home = tmp_path / "home"
    (home / "model" / "state").mkdir(parents=True)
    (home / "model" / "config.json").write_text("{}")
    (home / "model" / "weights").write_bytes(os.urandom(100))
    (home / "model" / "state" / "moments").write_text("of the optimizer")
    (home / "data").mkdir()
    (home / "data" / "rows.jsonl").write_text("ä row\n")
    (home / "package_that_is_sent.py").write_text("WORD = 'sent'\n")
    monkeypatch.chdir(home)
    return home


def test_files_and_models_that_only_this_machine_has_reach_a_node_by_content(
    two_nodes: str, at_home: Path, tmp_path: Path
) -> None:
    with opened(two_nodes, Actors(workers=1), files=["data", "package_that_is_sent.py"], **FAR) as session:
        place, cache = start(session, "workers", 0), str(tmp_path / "cache")
        sent = Path(ray.get(place.model.remote("model", cache)))
        assert sent.is_relative_to(cache)
        assert sorted(file.name for file in sent.iterdir()) == ["config.json", "weights"]
        assert (sent / "weights").read_bytes() == (at_home / "model" / "weights").read_bytes()
        (sent / "weights").unlink()  # somebody tidies up
        assert ray.get(place.model.remote("model", cache)) == str(sent)
        assert (sent / "weights").stat().st_size == 100
        full = str(at_home / "model")
        assert ray.get(place.model.remote(full, cache)) == full  # the same content is there
        assert ray.get(place.model.remote("someone/on-the-hub", cache)) == "someone/on-the-hub"
        assert ray.get(place.files.remote(cache)) == ("sent", "ä row\n", True)
        with pytest.raises(ConfigError, match=r"on node \S+ \([\d.]+\): there is no such model"):
            ray.get(place.refuse.remote())
        with pytest.raises(InfrastructureError, match=r"node \S+ \([\d.]+\) was sent .*config.json with other content"):
            ray.get(place.damaged.remote(full, cache))
        assert not (tmp_path / "cache" / "lachesis" / "sent" / "damaged").exists()
        with pytest.raises(InfrastructureError, match=r"node .* cannot keep the files of .*: .*set XDG_CACHE_HOME"):
            ray.get(place.damaged.remote(full, "/proc"))


def test_a_program_of_an_actor_that_was_killed_is_ended_by_the_next_actor_on_its_node(two_nodes: str) -> None:
    with opened(two_nodes, Actors(workers=2), **FAR) as session:
        killed, spared = start(session, "workers", 0), start(session, "workers", 1)
        (actor, orphan), (_, program) = ray.get([killed.spawn.remote(), spared.spawn.remote()])
        os.kill(actor, signal.SIGKILL)
        while Driver.of(actor):
            time.sleep(0.05)
        ray.get(spared.spawn.remote())
        assert not Driver.of(orphan)
        assert Driver.of(program), "its actor lives"
        os.kill(program, signal.SIGKILL)


def test_a_label_that_ray_does_not_understand_is_named_with_its_table(two_nodes: str) -> None:
    settings = validated(ClusterConfig, {"address": two_nodes, "engines": {"labels": {"zone": "a b$"}}}, "cluster")
    with pytest.raises(ConfigError, match=r"\[cluster.engines\]: Ray refuses it: .*a b"):
        Session(settings, Actors(engines=1))


def test_a_file_to_send_that_is_missing_is_named(two_nodes: str, at_home: Path) -> None:
    with pytest.raises(ConfigError, match=rf"cluster.files: there is no nope.jsonl in {at_home}"):
        Session(validated(ClusterConfig, {"address": two_nodes, "files": ["nope.jsonl"]}, "cluster"), Actors())


def test_on_one_machine_what_can_never_fit_is_refused_at_once() -> None:
    settings = validated(ClusterConfig, {"engines": {"labels": {"zone": "far"}}, "deadline": 3600}, "cluster")
    with pytest.raises(
        InfrastructureError, match=r"this machine has no room: .*label zone=far\): no node has the label"
    ):
        Session(settings, Actors(engines=1))
    assert not ray.is_initialized()
