def interpolate(real: int, fake: int, t: int, out: int, n: int, m: int, kind: int, threads: int, /) -> None: ...
def norm_penalty(
    grad: int, norms: int, penalty: int, n: int, m: int, target: float, one_sided: int, kind: int, threads: int, /
) -> None: ...
def norm_penalty_grad(
    grad: int,
    norms: int,
    slope: int,
    out: int,
    n: int,
    m: int,
    target: float,
    one_sided: int,
    kind: int,
    threads: int,
    /,
) -> None: ...
def l1_terms(out: int, double: int, threads: int, /, *pairs: float) -> None: ...
def l1_terms_grad(slopes: int, double: int, threads: int, /, *pairs: float) -> None: ...
def gather(
    images: int,
    index: int,
    flip: int,
    offset: int,
    out: int,
    n: int,
    channels: int,
    height: int,
    width: int,
    b: int,
    h: int,
    w: int,
    channels_last: int,
    kind: int,
    threads: int,
    /,
) -> None: ...
def gemm(
    a: int,
    a_row: int,
    a_col: int,
    a_type: int,
    b: int,
    b_row: int,
    b_col: int,
    b_type: int,
    c: int,
    c_row: int,
    c_type: int,
    bias: int,
    bias_type: int,
    m: int,
    n: int,
    k: int,
    compute: int,
    accumulate: int,
    threads: int,
    /,
) -> None: ...
def gemm_batch(
    a: int,
    a_step: int,
    a_row: int,
    a_col: int,
    b: int,
    b_step: int,
    b_row: int,
    b_col: int,
    c: int,
    c_step: int,
    c_row: int,
    count: int,
    m: int,
    n: int,
    k: int,
    accumulate: int,
    threads: int,
    /,
) -> None: ...
def winograd(
    transform: int,
    plain: int,
    points: int,
    n: int,
    channels: int,
    height: int,
    width: int,
    padding: int,
    down: int,
    across: int,
    apart: int,
    threads: int,
    /,
) -> None: ...
def polyphase(
    transform: int,
    plain: int,
    points: int,
    n: int,
    channels: int,
    height: int,
    width: int,
    padding: int,
    down: int,
    across: int,
    apart: int,
    threads: int,
    /,
) -> None: ...
def run_plan(code: int, words: int, slots: int, threads: int, /) -> None: ...
def levels() -> list[str]: ...
def use(level: str, /) -> None: ...
def level() -> str: ...
def openmp() -> str | None: ...
