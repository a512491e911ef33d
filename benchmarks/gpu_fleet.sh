#!/usr/bin/env bash
# orch beside a plain loop on the same servers and requests: tokens a second, and the GPU's use.
#
#     benchmarks/gpu_fleet.sh [--vllm ENVIRONMENT] [--servers N] [--shape bundled|tiny|1b|8b]
#
# Launches N servers (default: one a GPU) of a model of random weights in a published shape, which
# needs no download: only its configuration is written, and vLLM fills it. `tiny` is the bundled
# model in vLLM's CPU build, `bundled` the same in the server that comes with orch: they try the
# script where there is no GPU. Their servers get the first half of the cores and the clients the
# second, as servers on a GPU leave the cores to the client: orch judges and stores what it gets,
# which a plain loop does not, and would take that from servers that compute on the same cores.
# Under eight minutes on one GPU. Exits with 1 where orch reaches less than 0.97 of the plain loop's
# tokens a second.
set -eu
cd "$(dirname "$0")/.."
vllm= servers=auto shape=1b
while [ $# -gt 0 ]; do
    case "$1" in
        --vllm) vllm=$2 ;; --servers) servers=$2 ;; --shape) shape=$2 ;;
        *) echo "unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
python=${PYTHON:-.venv/bin/python}
work=$(mktemp -d "${TMPDIR:-/tmp}/gpu-fleet.XXXXXX")
export XDG_STATE_HOME=$work/state HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
holder=
servers_on= clients_on=
case "$shape" in bundled|tiny)
    cores=$(nproc) half=$(( $(nproc) / 2 ))
    [ "$half" -eq 0 ] || {
        servers_on="taskset -c 0-$((half - 1))" clients_on="taskset -c $half-$((cores - 1))"
    }
esac
end() { [ -z "$holder" ] || { kill -INT "$holder" 2>/dev/null || true; wait "$holder" || true; }; rm -rf "$work"; }
trap end EXIT
if [ "$shape" = bundled ]; then
    model=orch-tiny
    $servers_on "$python" -m orchestrator serve --launch "$servers" >"$work/holding" &
else
    model=$work/model
    "$python" -m benchmarks.gpu_fleet model --shape "$shape" --to "$model"
    extra=$("$python" -m benchmarks.gpu_fleet arguments --shape "$shape")
    $servers_on "$python" -m orchestrator serve --model "$model" --launch "$servers" ${vllm:+--vllm "$vllm"} \
        --server-arg "$extra" >"$work/holding" &
fi
holder=$!
until [ -s "$work/holding" ]; do
    kill -0 "$holder" 2>/dev/null || { echo "the servers did not start" >&2; exit 1; }
    sleep 1
done
$clients_on "$python" -m benchmarks.gpu_fleet compare --shape "$shape" --model "$model" --work "$work"
