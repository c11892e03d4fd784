#!/usr/bin/env bash
# A Slurm cluster of three nodes, a, b and c, on this machine for the time of a command, to test the recipes for Slurm.
#
#     sudo --preserve-env scripts/one_machine_slurm.sh bash   # then: sbatch recipes/slurm-array.sh …
#
# Each node is a slurmd under its own name, with 2 CPUs and 2 GiB that it does not enforce, and node a counts two GPUs
# that it does not have. It needs root, and slurmctld, slurmd, slurm-client and munge of Debian 12 (Slurm 22.05).
set -euo pipefail

[ $# -gt 0 ] || { echo "give a command that uses the cluster, such as bash" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "Slurm's daemons need root here; call it with sudo --preserve-env" >&2; exit 2; }
for tool in munged slurmctld slurmd sinfo; do
    command -v "$tool" >/dev/null || { echo "there is no $tool; install slurm-wlm and munge" >&2; exit 2; }
done

folder=$(mktemp -d /tmp/lachesis-slurm.XXXX)
mkdir "$folder"/{state,munge,a,b,c}
chmod 755 "$folder" "$folder/munge"
head -c 1024 /dev/urandom >"$folder/munge/key"
chmod 600 "$folder/munge/key"
port=${PORT:-17000} # and the three that follow
cat >"$folder/slurm.conf" <<CONF
ClusterName=lachesis
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
AuthInfo=socket=$folder/munge/socket,cred_expire=15
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=5,bf_interval=5
ReturnToService=2
MailProg=/bin/true
GresTypes=gpu
NodeName=a NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=2 RealMemory=2000 Gres=gpu:2
NodeName=b NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=2 RealMemory=2000
NodeName=c NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 3)) CPUs=2 RealMemory=2000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
echo "NodeName=a Name=gpu File=/dev/zero,/dev/null" >"$folder/gres.conf"
export SLURM_CONF=$folder/slurm.conf

end() {
    scancel --user=root --full --signal=KILL 2>/dev/null || true
    scancel --user=root 2>/dev/null || true
    for ((try = 0; try < 80; try++)); do
        [ -n "$(squeue --noheader 2>/dev/null)" ] || break
        sleep 0.5
    done
    kill $(jobs -p) 2>/dev/null || true
    wait
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT TERM

(
    cd "$folder/munge"
    exec munged --foreground --force --key-file="$PWD/key" --socket="$PWD/socket" --pid-file="$PWD/pid" \
        --log-file="$PWD/log" --seed-file="$PWD/seed" 2>>../out
) &
for ((try = 0; try < 50; try++)); do
    [ -S "$folder/munge/socket" ] && break
    sleep 0.2
done
slurmctld -D 2>>"$folder/out" &
for node in a b c; do
    slurmd -D -N "$node" 2>>"$folder/out" &
done
for ((try = 0; try < 120; try++)); do
    [ "$(sinfo --noheader --format=%T%D 2>/dev/null)" = idle3 ] && break
    sleep 0.5
done
if ((try == 120)); then
    echo "the nodes did not come up:" >&2
    tail -n 20 "$folder"/*.log "$folder/out" "$folder/munge/log" >&2
    exit 1
fi
"$@"
