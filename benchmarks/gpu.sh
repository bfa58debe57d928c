#!/usr/bin/env bash
# On one card, in under 8 minutes and without a network: the tests that compare the card with the CPU, then the seconds of
# training and unlearning on both.
#
#     [DATA=folder] [COMMIT=commit] [LIMIT=seconds] benchmarks/gpu.sh FOLDER
#
# FOLDER gets machine.txt, tests.txt and gpu.json, which grow as parts are finished. DATA is a folder with
# ml-1m/ml-1m.inter; without it ml-100k, which RecBole ships, is measured instead, and gpu.json says so. COMMIT is what was
# checked out, for a copy without its git. Needs python3 with torch, RecBole and what the package needs, and pytest.
set -u
[ $# = 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1" && out=$(cd "$1" && pwd) && cd "$(dirname "$0")/.." || exit 2
limit=${LIMIT:-460}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
failed=0

{
    date -u
    nvidia-smi || echo "no nvidia-smi"
    python3 -c "import platform, torch; print(platform.python_version(), torch.__version__, torch.cuda.is_available())"
} > "$out/machine.txt" 2>&1
tail -1 "$out/machine.txt"

timeout $((limit * 45 / 100)) python3 -m pytest tests/test_device.py -rs --durations=5 -p no:cacheprovider \
    > "$out/tests.txt" 2>&1 || failed=1
grep -E "^(FAILED|ERROR|SKIPPED)|passed|failed" "$out/tests.txt" | tail -40

left=$((limit - SECONDS))
timeout "$left" python3 -m benchmarks.measure.gpu "$out/gpu.json" --seconds $((left - 15)) ${DATA:+--data_path "$DATA"} \
    2> "$out/stderr.txt" || { failed=1; tail -5 "$out/stderr.txt"; }
echo "finished after $SECONDS s"
exit $failed
