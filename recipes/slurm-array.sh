#!/usr/bin/env bash
#SBATCH --job-name=lachesis
#SBATCH --array=0-3
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=lachesis-%A-%a.log
# One run for each seed, each on a Ray cluster of its own: sbatch recipes/slurm-array.sh CONFIG [--part.key VALUE …]
#
# Two minutes before the time is over, the run writes a checkpoint and ends. End it yourself in the same way with
# scancel --batch --signal=TERM JOB; scontrol requeue JOB continues it, because its folder is named after the task. To
# continue it in another job, name the first one: RUN=1234 sbatch recipes/slurm-array.sh CONFIG
#
# Run on Slurm 22.05 with three nodes on one machine (scripts/one_machine_slurm.sh), with a tiny model: two seeds, the
# stop, requeue, RUN, and the signal before the end of the time. Not run: on several machines, and with GPUs.
set -euo pipefail

config=${1:?give a CONFIG}
shift
seed=${SLURM_ARRAY_TASK_ID:?this is for sbatch --array}
name="seed-$seed"
out=${OUT:-runs}/${RUN:-$SLURM_ARRAY_JOB_ID}
begun=$(ls -d "$out/$name"-[0-9]*/checkpoints/step-* 2>/dev/null | sort -V | tail -n 1) || true
[ -n "$begun" ] || [ -z "${RUN:-}" ] || { echo "RUN=$RUN: no $out/$name-* has a checkpoint" >&2; exit 2; }
export RAY_AUTH_MODE=token # only this user's processes may use the cluster; nodes share the home folder
ray get-auth-token --generate >/dev/null

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST") # this script runs on the first one
ip=${IP:-$(python -c "import ray; print(ray.util.get_node_ip_address())")} # as Ray chooses; IP=… for another network
port=$((20000 + SLURM_JOB_ID % 10000)) # other jobs may have a head on the same node
address="$ip:$port"

# join NODE OPTION …: a node of Ray in a step of its own, which Slurm ends with the job
join() {
    srun --nodes=1 --ntasks=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" --nodelist="$1" \
        ray start --disable-usage-stats --block --num-cpus="$SLURM_CPUS_PER_TASK" "${@:2}"
}
join "${nodes[0]}" --head --port="$port" --ray-client-server-port=$((port + 10000)) --node-ip-address="$ip" \
    --include-dashboard=false &
head=$!

cluster=(--cluster.address "$address" --cluster.deadline 600) # the other nodes join while the run waits for room
for ((try = 0; try < 40; try++)); do # until the head answers, which is exit code 0 or 1
    kill -0 "$head" 2>/dev/null || { echo "the head of Ray has ended; see above why" >&2; exit 1; }
    code=0
    lachesis doctor --cluster "$config" "${cluster[@]}" "$@" || code=$?
    [ $code -eq 2 ] || break
    sleep 3
done
for node in "${nodes[@]:1}"; do join "$node" --address="$address" & done
# exec, so that a signal to this script reaches the run
if [ -n "$begun" ]; then
    exec lachesis train --resume "${begun%/checkpoints/*}" "${cluster[@]}" "$@"
else
    exec lachesis train "$config" --name "$name" --out "$out" --seed "$seed" "${cluster[@]}" "$@"
fi
