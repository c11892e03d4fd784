#!/usr/bin/env bash
#SBATCH --job-name=lachesis
#SBATCH --nodes=2 --ntasks-per-node=1 --cpus-per-task=16 --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=lachesis-%j.log
#SBATCH hetjob
#SBATCH --nodes=4 --ntasks-per-node=1 --cpus-per-task=64
# One run on nodes of two kinds: GPUs for engines and ranks, and CPUs for environments and their sandboxes.
#
#     sbatch recipes/slurm-heterogeneous.sh CONFIG [--part.key VALUE …]
#
# Two minutes before the time is over, the run writes a checkpoint and ends. End it yourself in the same way with
# scancel --batch --signal=TERM JOB; scontrol requeue JOB continues it, because its folder is named after the job. To
# continue it in another job, name the first one: RUN=1234 sbatch recipes/slurm-heterogeneous.sh CONFIG
#
# Run on Slurm 22.05 with three nodes on one machine (scripts/one_machine_slurm.sh), which count GPUs that are not there,
# with a tiny model: to its end, the stop and requeue. Not run: on several machines, and with GPUs.
set -euo pipefail

config=${1:?give a CONFIG}
shift
name=job-${RUN:-${SLURM_JOB_ID:?this is for sbatch}}
out=${OUT:-runs}
begun=$(ls -d "$out/$name"-[0-9]*/checkpoints/step-* 2>/dev/null | sort -V | tail -n 1) || true
[ -n "$begun" ] || [ -z "${RUN:-}" ] || { echo "RUN=$RUN: no $out/$name-* has a checkpoint" >&2; exit 2; }
export RAY_AUTH_MODE=token # only this user's processes may use the cluster; nodes share the home folder
ray get-auth-token --generate >/dev/null

mapfile -t gpus < <(scontrol show hostnames "$SLURM_JOB_NODELIST_HET_GROUP_0") # this script runs on the first one
mapfile -t cpus < <(scontrol show hostnames "$SLURM_JOB_NODELIST_HET_GROUP_1")
ip=${IP:-$(python -c "import ray; print(ray.util.get_node_ip_address())")} # as Ray chooses; IP=… for another network
port=$((20000 + SLURM_JOB_ID % 10000)) # other jobs may have a head on the same node
address="$ip:$port"

# join GROUP NODE OPTION …: a node of Ray in a step of its own, which Slurm ends with the job
join() {
    local count="SLURM_CPUS_PER_TASK_HET_GROUP_$1" kinds=(gpu cpu)
    srun --het-group="$1" --nodes=1 --ntasks=1 --cpus-per-task="${!count}" --nodelist="$2" \
        ray start --disable-usage-stats --block --num-cpus="${!count}" --labels="kind=${kinds[$1]}" "${@:3}"
}
join 0 "${gpus[0]}" --head --port="$port" --ray-client-server-port=$((port + 10000)) --node-ip-address="$ip" \
    --include-dashboard=false &
head=$!

cluster=(
    --cluster.address "$address"
    --cluster.deadline 600 # the other nodes join while the run waits for room
    --cluster.engines.labels '{kind="gpu"}'
    --cluster.ranks.labels '{kind="gpu"}'
    --cluster.workers.labels '{kind="cpu"}'
)
for ((try = 0; try < 40; try++)); do # until the head answers, which is exit code 0 or 1
    kill -0 "$head" 2>/dev/null || { echo "the head of Ray has ended; see above why" >&2; exit 1; }
    code=0
    lachesis doctor --cluster "$config" "${cluster[@]}" "$@" || code=$?
    [ $code -eq 2 ] || break
    sleep 3
done
for node in "${gpus[@]:1}"; do join 0 "$node" --address="$address" & done
for node in "${cpus[@]}"; do join 1 "$node" --address="$address" & done
# exec, so that a signal to this script reaches the run
if [ -n "$begun" ]; then
    exec lachesis train --resume "${begun%/checkpoints/*}" "${cluster[@]}" "$@"
else
    exec lachesis train "$config" --name "$name" --out "$out" "${cluster[@]}" "$@"
fi
