#!/usr/bin/env bash
# Everything about the kernels that needs a GPU, in one call: bash benchmarks/gpu_kernels.sh
# Runs the tests on the GPU, appends a row per measurement to benchmarks/kernels.csv (ops and PyTorch inside CUDA
# graphs, copy bandwidth in the same run), and lets compute-sanitizer look at every kernel if it is installed.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
PYTEST=${PYTEST:-pytest} # never python -m pytest: the root has a folder named gankit
OUT=${OUT:-.}
export OUT
failed=0

"$PYTHON" - <<'PY' || exit 1
import sys, torch, triton
if not torch.cuda.is_available():
    sys.exit("no GPU was found")
print(torch.cuda.get_device_name(), "torch", torch.__version__, "triton", triton.__version__)
PY

echo "== tests: the shared cases and the contract on the GPU, and kernels broken on purpose"
"$PYTEST" -q -k "triton" \
    tests/kernels/test_cases.py tests/kernels/test_contract.py tests/kernels/test_mutations.py || failed=1

echo "== speed: 0.1 to 256 MiB, fp32 and bf16, in CUDA graphs"
"$PYTHON" -c "from gankit.cli.profile import profile; profile()" kernels --impl triton \
    --size 0.1 --size 1 --size 8 --size 50 --size 256 --type fp32 --type bf16 --rounds 100 \
    --append "$OUT/kernels_gpu.csv" || failed=1

echo "== compute-sanitizer: out-of-bounds and uninitialised reads, races"
if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck initcheck racecheck; do
        compute-sanitizer --tool "$tool" --error-exitcode 9 "$PYTHON" benchmarks/sanitize_gpu_kernels.py || failed=1
    done
else
    echo "compute-sanitizer is not installed: not run"
fi

if [ "$failed" = 0 ]; then echo "all clean"; else echo "something failed: see above"; fi
exit "$failed"
