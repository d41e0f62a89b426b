#!/usr/bin/env bash
# Everything about the engines that needs a GPU, in one call: bash benchmarks/gpu_steps.sh
# Tests captured updates against eager ones for every variant, times them beside both baselines (a row per run in
# $OUT/steps_gpu.csv), and profiles the captured step: kernels launched, and the share of it without any.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
PYTEST=${PYTEST:-pytest} # never python -m pytest: the root has a folder named gankit
OUT=${OUT:-.}
failed=0

"$PYTHON" -c "import sys, torch; torch.cuda.is_available() or sys.exit('no GPU was found'); \
print(torch.cuda.get_device_name(), 'torch', torch.__version__)" || exit 1

echo "== captured updates compute what eager ones do"
"$PYTEST" -q -k "captured" tests/training/test_engines.py || failed=1

echo "== by the whole clock and by the step"
"$PYTHON" benchmarks/steps.py dcgan-32 dcgan-64 wgan-gp-32 wgan-gp-64 --steps 300 --append "$OUT/steps_gpu.csv" \
    --loop textbook --loop careful --loop eager --loop graph --loop "graph bf16" || failed=1

echo "== the captured step: kernels, and the time without one"
for variant in dcgan wgan-gp; do
    for size in 32 64; do
        "$PYTHON" -c "from gankit.cli.profile import profile; profile()" step "$variant" --size "$size" --data shapes \
            --engine graph --timed-steps 100 --baselines benchmarks --trace "$OUT/$variant-$size.json" || failed=1
    done
done

if [ "$failed" = 0 ]; then echo "all clean"; else echo "something failed: see above"; fi
exit "$failed"
