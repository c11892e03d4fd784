#!/usr/bin/env bash
# A run as a job of a Ray cluster that exists: the head node starts it, so no terminal has to stay open.
# Call it in the folder that holds the config and the data, which is sent to the cluster.
#
#     ADDRESS=http://head:8265 OUT=/shared/runs recipes/job-submit.sh configs/arithmetic.toml --rollout.engines 8
#
# The cluster needs Lachesis on every node, and ray[default] for its dashboard, which takes jobs. OUT is a folder of all
# nodes, or of the head alone. ray job stop leaves a checkpoint; the same call with --resume RUN continues the run.
# KEYS names environment variables that are passed on. Who may list the jobs can read them, so set secrets where
# ray start is called instead. RAY_AUTH_MODE=token, there and here, lets only those in that have its token.
#
# Run on one machine: submitted, stopped, continued and ended, with a tiny model. Not run: on several machines.
set -euo pipefail

config=${1:?give a CONFIG}
shift
export RAY_JOB_STOP_WAIT_TIME_S=${RAY_JOB_STOP_WAIT_TIME_S:-150} # ray job stop would kill after 3 s
for name in ${KEYS:-}; do
    [ -n "${!name:-}" ] || { echo "KEYS names $name, which is not set" >&2; exit 2; }
done
variables=$(python - RAY_JOB_STOP_WAIT_TIME_S ${KEYS:-} <<'PYTHON'
import json, os, sys
print(json.dumps({"env_vars": {name: os.environ[name] for name in sys.argv[1:]}}))
PYTHON
)
ray job submit --address="${ADDRESS:?give the address of the dashboard, http://host:8265}" --no-wait \
    --working-dir=. --runtime-env-json="$variables" -- \
    lachesis train "$config" --cluster.address auto --out "${OUT:-/shared/runs}" "$@"
echo "watch it with: ray job list --address=$ADDRESS"
