#!/bin/bash
# Two nodes with four GPUs each; see gpu-and-clusters.md. Not run here.
#SBATCH --nodes=2 --ntasks-per-node=1 --gpus-per-node=4 --cpus-per-task=8 --time=04:00:00 --requeue
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed 's/.*/"&:12345"/' | paste -sd,)
export CLUSTER="{\"worker\": [$hosts]}"
start='TF_CONFIG="{\"cluster\": $CLUSTER, \"task\": {\"type\": \"worker\", \"index\": $SLURM_NODEID}}" \
  exec python -m ssgan_tf.train --labeled=1000 --strategy=multi_worker --run_dir=/shared/run'
for attempt in 1 2 3; do
  srun --kill-on-bad-exit=1 bash -c "$start" && break
done
