"""The kernels of `triton_sweep.py`: a layer's whole loop over time in one launch, forwards and backwards.

A program owns ROWS sequences and no other touches them, so programs never wait for each other. Within a program a step
is a chain of products: each writes its result, which the weights' gradients need anyway, waits for the program's
other warps and goes on from there; the rows come back from the cache. The weights stream from the GPU's second-level
cache, `STAGES` pieces ahead.

All sizes are padded (see `triton_sweep.py`), so that only what comes from outside is masked. In the shapes below U and
W are the padded state and width, B the padded batch, and M the number of maps. Arrays are dense and float32; weights
have the dtype of the products, which are summed in float32.

Loops over time are `while` loops: of a `for` loop Triton may fetch the next round's operands before this round has
written them.
"""

import triton
import triton.language as tl


@triton.jit
def _tanh(x):
    """Within a few units in the last place: near zero, where the quotient cancels, a series (to x^9)."""
    size = tl.abs(x)
    falling = tl.exp(-2.0 * size)
    far = (1.0 - falling) / (1.0 + falling)
    square = x * x
    series = -0.05396825396825397 + square * 0.021869488536155203
    series = -0.3333333333333333 + square * (0.13333333333333333 + square * series)
    near = size + size * square * series
    magnitude = tl.where(size < 0.3, near, far)
    return tl.where(x < 0.0, -magnitude, magnitude)


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _activation(z, KIND: tl.constexpr):
    """Value and derivative of a backbone's activation."""
    if KIND == "lecun_tanh":
        value = 1.7159 * _tanh(0.666 * z)
        slope = _slope_of_value(value, KIND)
    elif KIND == "tanh":
        value = _tanh(z)
        slope = _slope_of_value(value, KIND)
    elif KIND == "relu":
        value = tl.where(z <= 0.0, 0.0, z)  # nan stays
        slope = _slope_of_value(value, KIND)
    elif KIND == "silu":
        part = _sigmoid(z)
        value = z * part
        slope = part * (1.0 + z * (1.0 - part))
    else:
        part = 0.5 + 0.5 * tl.erf(z * 0.7071067811865476)
        value = z * part
        slope = part + z * 0.3989422804014327 * tl.exp(-0.5 * z * z)
    return value, slope


@triton.jit
def _slope_of_value(value, KIND: tl.constexpr):
    """The derivative of an activation, of those whose value tells it."""
    if KIND == "lecun_tanh":
        slope = 0.666 * (1.7159 - value * value * (1.0 / 1.7159))
    elif KIND == "tanh":
        slope = 1.0 - value * value
    else:
        slope = tl.where(value > 0.0, 1.0, 0.0)
    return slope


@triton.jit
def _product(
    left,
    right,
    SIZE: tl.constexpr,
    STRIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
    STAGES: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Rows x matrix, (ROWS, BLOCK).

    `left` are (ROWS, 1) pointers to the starts of rows of SIZE, `right` (1, BLOCK) pointers to the tops of columns,
    whose elements are STRIDE apart.
    """
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    k = tl.arange(0, CHUNK)
    for start in tl.range(0, SIZE, CHUNK, num_stages=STAGES):
        rows = tl.load(left + (start + k)[None, :])
        matrix = tl.load(right + (start + k)[:, None] * STRIDE)
        total = tl.dot(rows.to(matrix.dtype), matrix, total, input_precision=PRECISION)
    return total


@triton.jit
def _products(
    left,
    right,
    SIZE: tl.constexpr,
    MAPS: tl.constexpr,
    UNITS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
    STAGES: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """As `_product`, of MAPS matrices side by side, each UNITS wide; always four results, of which the first count."""
    first = tl.zeros((ROWS, BLOCK), tl.float32)
    second, third, fourth = first, first, first
    k = tl.arange(0, CHUNK)
    for start in tl.range(0, SIZE, CHUNK, num_stages=STAGES):
        rows = tl.load(left + (start + k)[None, :])
        place = right + (start + k)[:, None] * (MAPS * UNITS)
        matrix = tl.load(place)
        rows = rows.to(matrix.dtype)
        first = tl.dot(rows, matrix, first, input_precision=PRECISION)
        if MAPS > 1:
            matrix = tl.load(place + UNITS)
            second = tl.dot(rows, matrix, second, input_precision=PRECISION)
            matrix = tl.load(place + 2 * UNITS)
            third = tl.dot(rows, matrix, third, input_precision=PRECISION)
        if MAPS > 3:
            matrix = tl.load(place + 3 * UNITS)
            fourth = tl.dot(rows, matrix, fourth, input_precision=PRECISION)
    return first, second, third, fourth


@triton.jit
def _offset(
    number: tl.constexpr,
    inputs,
    bias,
    columns,
    inside,
    UNITS: tl.constexpr,
    REAL_UNITS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """What is added to a map's product: its bias, or without a backbone the inputs' part."""
    if DEPTH == 0:
        mask = inside & (columns < REAL_UNITS)[None, :]
        offset = tl.load(inputs + (number * REAL_UNITS + columns)[None, :], mask=mask, other=0.0)
    else:
        offset = tl.load(bias + number * UNITS + columns)[None, :]
    return offset


@triton.jit
def _rows_of_program(order, lengths, batch, time, ROWS: tl.constexpr, RAGGED: tl.constexpr):
    """This program's rows, their lengths, and the steps that it does."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    if RAGGED:
        rows = tl.load(order + rows)
        long = tl.load(lengths + rows, mask=rows < batch, other=0).to(tl.int32)
        return rows, long, tl.max(long, axis=0)
    return rows, tl.zeros((ROWS,), tl.int32) + time, time


@triton.jit(do_not_specialize=["batch", "time", "padded_batch"])
def forward(
    inputs,  # (batch, time, REAL_WIDTH), without a backbone (batch, time, M x REAL_UNITS)
    elapsed,  # (batch, time)
    lengths,  # (batch,)
    order,  # (B,) int32, rows by length
    states,  # (time + 1, B, U): the first step is given, the others are written
    hidden,  # (DEPTH, time, B, W), written
    slopes,  # (DEPTH, time, B, W), written for silu and gelu
    gates,  # (time, B, 3 U): tanh(f), tanh(g) and s, or (time, B, U): f of mode pure; written if KEEP
    first,  # (U, W)
    inner,  # (DEPTH - 1, W, W)
    heads,  # (W, M U), without a backbone (U, M U)
    inner_bias,  # (DEPTH - 1, W)
    heads_bias,  # (M U,)
    decay,  # (U,)
    asymptote,  # (U,)
    batch,
    time,
    padded_batch,
    MODE: tl.constexpr,
    ACTIVATION: tl.constexpr,
    DEPTH: tl.constexpr,
    MAPS: tl.constexpr,
    UNITS: tl.constexpr,
    WIDTH: tl.constexpr,
    REAL_UNITS: tl.constexpr,
    REAL_WIDTH: tl.constexpr,
    TIMED: tl.constexpr,
    RAGGED: tl.constexpr,
    SLOPES: tl.constexpr,
    KEEP: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS_BLOCK: tl.constexpr,
    WIDTH_BLOCK: tl.constexpr,
    UNITS_CHUNK: tl.constexpr,
    WIDTH_CHUNK: tl.constexpr,
    HEADS_CHUNK: tl.constexpr,
    STAGES: tl.constexpr,
):
    """All states of ROWS sequences."""
    rows, long, end = _rows_of_program(order, lengths, batch, time, ROWS, RAGGED)
    real = rows < batch
    SAVED: tl.constexpr = 1 if MODE == "pure" else 3
    INPUTS: tl.constexpr = REAL_WIDTH if DEPTH > 0 else MAPS * REAL_UNITS
    layer_size = time.to(tl.int64) * padded_batch * WIDTH
    t = tl.full((), 0, tl.int32)
    while t < end:
        here = t.to(tl.int64) * padded_batch
        inputs_row = inputs + (rows.to(tl.int64) * time + t)[:, None] * INPUTS
        below = states + here * UNITS + rows[:, None] * UNITS
        hidden_row = hidden + here * WIDTH + rows[:, None] * WIDTH
        slopes_row = slopes + here * WIDTH + rows[:, None] * WIDTH
        if DEPTH > 0:
            for n in range(0, WIDTH, WIDTH_BLOCK):
                columns = n + tl.arange(0, WIDTH_BLOCK)
                mask = real[:, None] & (columns < REAL_WIDTH)[None, :]
                # Fetched while the product is computed; likewise below.
                offset = tl.load(inputs_row + columns[None, :], mask=mask, other=0.0)
                z = offset + _product(
                    *(below, first + columns[None, :], UNITS, WIDTH),
                    *(ROWS, WIDTH_BLOCK, UNITS_CHUNK, STAGES, PRECISION),
                )
                value, slope = _activation(z, ACTIVATION)
                tl.store(hidden_row + columns[None, :], value)
                if SLOPES:
                    tl.store(slopes_row + columns[None, :], slope)
            tl.debug_barrier()
            for i in tl.static_range(1, DEPTH):
                for n in range(0, WIDTH, WIDTH_BLOCK):
                    columns = n + tl.arange(0, WIDTH_BLOCK)
                    offset = tl.load(inner_bias + (i - 1) * WIDTH + columns)[None, :]
                    z = offset + _product(
                        hidden_row + (i - 1) * layer_size,
                        inner + (i - 1) * WIDTH * WIDTH + columns[None, :],
                        *(WIDTH, WIDTH),
                        *(ROWS, WIDTH_BLOCK, WIDTH_CHUNK, STAGES, PRECISION),
                    )
                    value, slope = _activation(z, ACTIVATION)
                    tl.store(hidden_row + i * layer_size + columns[None, :], value)
                    if SLOPES:
                        tl.store(slopes_row + i * layer_size + columns[None, :], slope)
                tl.debug_barrier()
            below = hidden_row + (DEPTH - 1) * layer_size
        valid = (real & (t < long))[:, None]
        passed = tl.zeros((ROWS, 1), tl.float32) + 1.0
        if TIMED:
            passed = tl.load(elapsed + rows.to(tl.int64) * time + t, mask=real, other=0.0)[:, None]
        for n in range(0, UNITS, UNITS_BLOCK):
            columns = n + tl.arange(0, UNITS_BLOCK)
            given = (inputs_row, heads_bias, columns, real[:, None])
            f_offset = _offset(0, *given, UNITS, REAL_UNITS, DEPTH)
            if MAPS > 1:
                g_offset = _offset(1, *given, UNITS, REAL_UNITS, DEPTH)
                a_offset = _offset(2, *given, UNITS, REAL_UNITS, DEPTH)
            if MAPS > 3:
                b_offset = _offset(3, *given, UNITS, REAL_UNITS, DEPTH)
            f, g, a, b = _products(
                *(below, heads + columns[None, :]),
                *(WIDTH if DEPTH > 0 else UNITS, MAPS, UNITS),
                *(ROWS, UNITS_BLOCK, HEADS_CHUNK, STAGES, PRECISION),
            )
            f += f_offset
            if MAPS > 1:
                g += g_offset
                a += a_offset
            if MAPS > 3:
                b += b_offset
            kept = gates + here * (SAVED * UNITS) + rows[:, None] * (SAVED * UNITS)
            kept += columns[None, :]
            if MODE == "pure":
                rate = tl.abs(tl.load(decay + columns))[None, :] + tl.abs(f)
                limit = tl.load(asymptote + columns)[None, :]
                state = limit - limit * tl.exp(-rate * passed) * f
                if KEEP:
                    tl.store(kept, f)
            else:
                f, g = _tanh(f), _tanh(g)
                gate = _sigmoid(a * passed + b) if TIMED else _sigmoid(a)
                state = f + gate * (g - f) if MODE == "default" else f + gate * g
                if KEEP:
                    tl.store(kept, f)
                    tl.store(kept + UNITS, g)
                    tl.store(kept + 2 * UNITS, gate)
            next_row = states + (here + padded_batch) * UNITS + rows[:, None] * UNITS
            tl.store(next_row + columns[None, :], tl.where(valid, state, 0.0))
        tl.debug_barrier()
        t += 1


@triton.jit(do_not_specialize=["batch", "time", "padded_batch"])
def backward(
    grad_states,  # (batch, time, REAL_UNITS)
    elapsed,  # (batch, time)
    lengths,  # (batch,)
    order,  # (B,) int32, rows by length
    hidden,  # (DEPTH, time, B, W)
    slopes,  # (DEPTH, time, B, W), of silu and gelu
    gates,  # (time, B, 3 U), or (time, B, U) of mode pure
    grads,  # (DEPTH, time + 1, B, W), behind each backbone layer, written; zero behind the last step
    grad_maps,  # (time + 1, B, M U), written; likewise
    totals,  # (time, B, U), gradients of the states, written in mode pure
    first,  # (W, U)
    inner,  # (DEPTH - 1, W, W)
    heads,  # (M U, W), without a backbone (M U, U)
    decay,  # (U,)
    asymptote,  # (U,)
    batch,
    time,
    padded_batch,
    MODE: tl.constexpr,
    ACTIVATION: tl.constexpr,
    DEPTH: tl.constexpr,
    MAPS: tl.constexpr,
    UNITS: tl.constexpr,
    WIDTH: tl.constexpr,
    REAL_UNITS: tl.constexpr,
    TIMED: tl.constexpr,
    RAGGED: tl.constexpr,
    SLOPES: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS_BLOCK: tl.constexpr,
    WIDTH_BLOCK: tl.constexpr,
    UNITS_CHUNK: tl.constexpr,
    WIDTH_CHUNK: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Gradients behind every layer for ROWS sequences."""
    rows, long, end = _rows_of_program(order, lengths, batch, time, ROWS, RAGGED)
    real = rows < batch
    SAVED: tl.constexpr = 1 if MODE == "pure" else 3
    layer_size = time.to(tl.int64) * padded_batch * WIDTH
    grads_size = layer_size + padded_batch * WIDTH
    t = end - 1
    while t >= 0:
        here = t.to(tl.int64) * padded_batch
        maps_row = grad_maps + here * (MAPS * UNITS) + rows[:, None] * (MAPS * UNITS)
        grads_row = grads + here * WIDTH + rows[:, None] * WIDTH
        valid = (real & (t < long))[:, None]
        passed = tl.zeros((ROWS, 1), tl.float32) + 1.0
        if TIMED:
            passed = tl.load(elapsed + rows.to(tl.int64) * time + t, mask=real, other=0.0)[:, None]
        for n in range(0, UNITS, UNITS_BLOCK):
            columns = n + tl.arange(0, UNITS_BLOCK)
            place = grad_states + (rows.to(tl.int64) * time + t)[:, None] * REAL_UNITS
            grad = tl.load(
                place + columns[None, :], mask=valid & (columns < REAL_UNITS)[None, :], other=0.0
            )
            kept = gates + here * (SAVED * UNITS) + rows[:, None] * (SAVED * UNITS)
            kept += columns[None, :]
            to_maps = maps_row + columns[None, :]
            f = tl.load(kept)
            if MODE != "pure":
                g = tl.load(kept + UNITS)
                gate = tl.load(kept + 2 * UNITS)
            if DEPTH > 0:
                grad += _product(
                    *(grads_row + padded_batch * WIDTH, first + columns[None, :], WIDTH, UNITS),
                    *(ROWS, UNITS_BLOCK, WIDTH_CHUNK, STAGES, PRECISION),
                )
            else:
                grad += _product(
                    *(maps_row + padded_batch * (MAPS * UNITS), heads + columns[None, :]),
                    *(MAPS * UNITS, UNITS),
                    *(ROWS, UNITS_BLOCK, UNITS_CHUNK, STAGES, PRECISION),
                )
            if MODE == "pure":
                size = tl.abs(f)
                falling = tl.exp(-(tl.abs(tl.load(decay + columns))[None, :] + size) * passed)
                limit = tl.load(asymptote + columns)[None, :]
                by_f = falling * (size * passed - 1.0) * limit
                tl.store(to_maps, tl.where(valid, grad * by_f, 0.0))
                total = totals + here * UNITS + rows[:, None] * UNITS
                tl.store(total + columns[None, :], tl.where(valid, grad, 0.0))
            else:
                by_f = (1.0 - f * f) * (1.0 - gate) if MODE == "default" else 1.0 - f * f
                by_g = (1.0 - g * g) * gate
                by_gate = (g - f if MODE == "default" else g) * gate * (1.0 - gate)
                tl.store(to_maps, tl.where(valid, grad * by_f, 0.0))
                tl.store(to_maps + UNITS, tl.where(valid, grad * by_g, 0.0))
                by_gate = tl.where(valid, grad * by_gate, 0.0)
                if TIMED:
                    tl.store(to_maps + 2 * UNITS, by_gate * passed)
                    tl.store(to_maps + 3 * UNITS, by_gate)
                else:
                    tl.store(to_maps + 2 * UNITS, by_gate)
        tl.debug_barrier()
        hidden_row = hidden + here * WIDTH + rows[:, None] * WIDTH
        slopes_row = slopes + here * WIDTH + rows[:, None] * WIDTH
        for i in tl.static_range(0, DEPTH):
            layer = DEPTH - 1 - i
            for n in range(0, WIDTH, WIDTH_BLOCK):
                columns = n + tl.arange(0, WIDTH_BLOCK)
                if SLOPES:
                    slope = tl.load(slopes_row + layer * layer_size + columns[None, :])
                else:
                    value = tl.load(hidden_row + layer * layer_size + columns[None, :])
                    slope = _slope_of_value(value, ACTIVATION)
                if i == 0:
                    grad = _product(
                        *(maps_row, heads + columns[None, :], MAPS * UNITS, WIDTH),
                        *(ROWS, WIDTH_BLOCK, UNITS_CHUNK, STAGES, PRECISION),
                    )
                else:
                    grad = _product(
                        grads_row + (layer + 1) * grads_size,
                        inner + layer * WIDTH * WIDTH + columns[None, :],
                        *(WIDTH, WIDTH),
                        *(ROWS, WIDTH_BLOCK, WIDTH_CHUNK, STAGES, PRECISION),
                    )
                grad *= slope
                tl.store(grads_row + layer * grads_size + columns[None, :], grad)
            tl.debug_barrier()
        t -= 1
