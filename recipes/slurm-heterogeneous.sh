#!/usr/bin/env bash
#SBATCH --job-name=lachesis
#SBATCH --nodes=2 --ntasks-per-node=1 --cpus-per-task=16 --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --output=lachesis-%j.log
#SBATCH hetjob
#SBATCH --nodes=4 --ntasks-per-node=1 --cpus-per-task=64
# One run on nodes of two kinds: GPUs for engines and ranks, and CPUs for environments and their sandboxes.
#
#     sbatch recipes/slurm-heterogeneous.sh CONFIG [--part.key VALUE …]
#
# Checked: the shell, and the arguments of lachesis. Not run: under Slurm, with GPUs.
set -euo pipefail

config=${1:?give a CONFIG}
shift
export RAY_AUTH_MODE=token # only this user's processes may use the cluster; nodes share the home folder
ray get-auth-token --generate >/dev/null

mapfile -t gpus < <(scontrol show hostnames "$SLURM_JOB_NODELIST_HET_GROUP_0")
mapfile -t cpus < <(scontrol show hostnames "$SLURM_JOB_NODELIST_HET_GROUP_1")
ip=$(srun --het-group=0 --nodes=1 --ntasks=1 --nodelist="${gpus[0]}" hostname --ip-address | cut -d' ' -f1)
address="$ip:6379"
start="--disable-usage-stats --block"

srun --het-group=0 --nodes=1 --ntasks=1 --nodelist="${gpus[0]}" \
    ray start --head --port=6379 --node-ip-address="$ip" --include-dashboard=false --labels=kind=gpu $start &
for node in "${gpus[@]:1}"; do
    srun --het-group=0 --nodes=1 --ntasks=1 --nodelist="$node" \
        ray start --address="$address" --labels=kind=gpu $start &
done
for node in "${cpus[@]}"; do
    srun --het-group=1 --nodes=1 --ntasks=1 --nodelist="$node" \
        ray start --address="$address" --labels=kind=cpu $start &
done
trap 'kill $(jobs -p) 2>/dev/null' EXIT

cluster=(
    --cluster.address "$address"
    --cluster.deadline 600 # the other nodes join while the run waits for room
    --cluster.engines.labels '{kind="gpu"}'
    --cluster.ranks.labels '{kind="gpu"}'
    --cluster.workers.labels '{kind="cpu"}'
)
for ((try = 0; try < 40; try++)); do # until the head answers, which is exit code 0 or 1
    code=0
    lachesis doctor --cluster "$config" --cluster.address "$address" || code=$?
    [ $code -eq 2 ] || break
    sleep 3
done
lachesis train "$config" "${cluster[@]}" "$@"
