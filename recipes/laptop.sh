#!/usr/bin/env bash
# A laptop as two nodes: two Ray processes on this machine, each with two CPUs and labels of its own, and a small run on
# them. Call it in the folder of the checkout. The nodes end with the script.
#
# Run on one Linux machine without a GPU. Not run: on macOS, where Ray supports only one node.
set -euo pipefail

export RAY_AUTH_MODE=token # only this user's processes may use the cluster
ray get-auth-token --generate >/dev/null

port=${PORT:-6379}
folder=$(mktemp -d /tmp/lachesis-ray.XXXX)
start=(--disable-usage-stats --block --num-cpus=2 --object-store-memory=200000000)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$folder"' EXIT

ray start --head --port="$port" --ray-client-server-port=$((port + 10000)) --include-dashboard=false \
    --labels=role=head --temp-dir="$folder" "${start[@]}" >"$folder/head.log" 2>&1 &
head=$!
for ((try = 0; try < 40; try++)); do # until the head answers, which is exit code 0 or 1
    kill -0 "$head" 2>/dev/null || { tail "$folder/head.log" >&2; exit 1; }
    code=0
    lachesis doctor --cluster configs/arithmetic.toml --cluster.address "127.0.0.1:$port" || code=$?
    [ $code -eq 2 ] || break
    sleep 3
done
ray start --address="127.0.0.1:$port" --labels=role=far "${start[@]}" >"$folder/far.log" 2>&1 &

cluster=(--cluster.address="127.0.0.1:$port" --cluster.workers.labels='{role="far"}')
lachesis train configs/arithmetic.toml "${cluster[@]}" "$@"
