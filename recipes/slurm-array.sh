#!/usr/bin/env bash
#SBATCH --job-name=lachesis
#SBATCH --array=0-3
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=0
#SBATCH --time=08:00:00
#SBATCH --output=lachesis-%A-%a.log
# One run for each seed, each on a Ray cluster of its own: sbatch recipes/slurm-array.sh CONFIG [--part.key VALUE …]
# A task that Slurm starts again continues its run, because the folder of the run is named after the task.
#
# Checked: the shell, and the arguments of lachesis. Not run: under Slurm.
set -euo pipefail

config=${1:?give a CONFIG}
shift
seed=${SLURM_ARRAY_TASK_ID:?this is for sbatch --array}
name="seed-$seed"
out=${OUT:-runs}/${SLURM_ARRAY_JOB_ID:-array}
export RAY_AUTH_MODE=token # only this user's processes may use the cluster; nodes share the home folder
ray get-auth-token --generate >/dev/null

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
port=$((20000 + seed))
ip=$(srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" hostname --ip-address | cut -d' ' -f1)
address="$ip:$port"
start="--disable-usage-stats --block --num-cpus=$SLURM_CPUS_PER_TASK"

srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" \
    ray start --head --port="$port" --node-ip-address="$ip" --include-dashboard=false $start &
for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --nodelist="$node" \
        ray start --address="$address" $start &
done
trap 'kill $(jobs -p) 2>/dev/null' EXIT

for ((try = 0; try < 40; try++)); do # until the head answers, which is exit code 0 or 1
    code=0
    lachesis doctor --cluster "$config" --cluster.address "$address" || code=$?
    [ $code -eq 2 ] || break
    sleep 3
done
cluster=(--cluster.address "$address" --cluster.deadline 600) # the other nodes join while the run waits for room
if [ -d "$out/$name-1/checkpoints" ]; then
    lachesis train --resume "$out/$name-1" "${cluster[@]}" "$@"
else
    lachesis train "$config" --name "$name" --out "$out" --seed "$seed" "${cluster[@]}" "$@"
fi
