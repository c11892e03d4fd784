#!/usr/bin/env bash
# A run as a job of a Ray cluster that exists: the head node starts it, so no terminal has to stay open.
# Call it in the folder that holds the config and the data, which is sent to the cluster.
#
#     ADDRESS=http://head:8265 recipes/job-submit.sh configs/arithmetic.toml --rollout.engines 8
#
# The cluster needs Lachesis on every node, and ray[default] for its dashboard, which takes jobs. /shared/runs is a
# folder of all nodes, or of the head alone. Secrets are environment variables: KEYS names those that are passed on.
#
# Checked: the shell, and the arguments of lachesis. Not run: against a dashboard, on several machines.
set -euo pipefail

config=${1:?give a CONFIG}
shift
variables=$(python - ${KEYS:-} <<'PYTHON'
import json, os, sys
print(json.dumps({"env_vars": {name: os.environ[name] for name in sys.argv[1:]}}))
PYTHON
)
ray job submit --address="${ADDRESS:?give the address of the dashboard, http://host:8265}" --no-wait \
    --working-dir=. --runtime-env-json="$variables" -- \
    lachesis train "$config" --cluster.address auto --out "${OUT:-/shared/runs}" "$@"
echo "watch it with: ray job list --address=$ADDRESS"
