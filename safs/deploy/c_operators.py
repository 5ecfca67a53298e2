"""Operators and layers in C."""

from functools import partial
from typing import Any

import torch.nn.functional as F

from safs.activations.module import Activation
from safs.activations.operators import SRS_LARGEST_EXPONENT, SYMEXP_LINEAR_FROM, Scaled
from safs.errors import ExportError

HEAD = """/* A sparse network, made by SAFS. Build it into a program with: cc -std=c11 -O3 -c network.c
   or as a filter of float32 images, for a test: cc -std=c11 -O3 -DSAFS_MAIN -o network network.c -lm

   safs_network takes one image of {shape} float32 values, normalised as config.json says. It is not reentrant. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define SAFS_INPUTS {inputs}
#define SAFS_OUTPUTS {outputs}

static inline float sigmoid(float x) {{ return 1.0f / (1.0f + expf(-x)); }}
static inline float softplus(float x) {{ return x > 20.0f ? x : log1pf(expf(x)); }}
static inline float clamp(float x, float low, float high) {{ return x < low ? low : x > high ? high : x; }}

static inline float symexp(float x)
{{
    const float size = fabsf(x), bounded = size > 10.0f ? 10.0f : size;
    return copysignf(expm1f(bounded) + 22026.4657948f * (size - bounded), x);
}}

/* Output rows o of a stride with 0 <= o * step + shift < size. */
static inline int first(int shift, int step) {{ return shift >= 0 ? 0 : (-shift + step - 1) / step; }}
static inline int past(int shift, int step, int size, int outputs)
{{
    const int end = size > shift ? (size - shift + step - 1) / step : 0;
    return end < outputs ? end : outputs;
}}

/* A convolution whose cost is the number of its live weights: (channel, row, column) of each is in taps. */
#define TAPS(name, tap_type) \\
static inline void name(const float *x, float *y, int height, int width, int outputs, int rows, int columns, \\
                 int down, int right, int top, int left, int spread_down, int spread_right, \\
                 const int32_t *begins, const tap_type *taps, const float *weights, const float *bias) \\
{{ \\
    for (int c = 0; c < outputs; c++) {{ \\
        float *plane = y + (long)c * rows * columns; \\
        for (int i = 0; i < rows * columns; i++) plane[i] = bias[c]; \\
        for (int j = begins[c]; j < begins[c + 1]; j++) {{ \\
            const tap_type *tap = taps + 3 * j; \\
            const int dy = tap[1] * spread_down - top, dx = tap[2] * spread_right - left; \\
            const int x0 = first(dx, right), x1 = past(dx, right, width, columns); \\
            for (int r = first(dy, down); r < past(dy, down, height, rows); r++) {{ \\
                const float *from = x + ((long)tap[0] * height + r * down + dy) * width + dx; \\
                float *to = plane + r * columns; \\
                if (right == 1) for (int i = x0; i < x1; i++) to[i] += weights[j] * from[i]; \\
                else for (int i = x0; i < x1; i++) to[i] += weights[j] * from[i * right]; \\
            }} \\
        }} \\
    }} \\
}}
TAPS(convolve, int16_t)

static inline void multiply(const float *x, float *y, int outputs, const int32_t *begins, const int32_t *taps,
                            const float *weights, const float *bias)
{{
    for (int c = 0; c < outputs; c++) {{
        float sum = bias[c];
        for (int j = begins[c]; j < begins[c + 1]; j++) sum += weights[j] * x[taps[j]];
        y[c] = sum;
    }}
}}

/* Pooling over windows of h x w; a window starts with one value and takes each of the others. */
#define POOL(name, start, take, result) \\
static inline void name(const float *x, float *y, int planes, int height, int width, int rows, int columns, \\
                        int h, int w, int down, int right, int top, int left) \\
{{ \\
    for (int p = 0; p < planes; p++, x += height * width) \\
        for (int r = 0; r < rows; r++) \\
            for (int c = 0; c < columns; c++) {{ \\
                float value = start; \\
                for (int i = r * down - top; i < r * down - top + h; i++) \\
                    for (int k = c * right - left; k < c * right - left + w; k++) \\
                        if (i >= 0 && i < height && k >= 0 && k < width) value = take(value, x[i * width + k]); \\
                *y++ = result; \\
            }} \\
}}
static inline float sum(float x, float y) {{ return x + y; }}
POOL(max_pool, -INFINITY, fmaxf, value)
POOL(mean_pool, 0.0f, sum, value / (float)(h * w))
"""


def activation_statement(activation: Any) -> str:
    """The value of an activation of ``x`` as a C expression.

    Raises:
        ExportError: the operator has no C form.
    """
    assert isinstance(activation, Activation)
    operator, scalars = activation.operator, activation.scalars()
    numbers = {name: f"({value.hex()}f)" for name, value in scalars.items()}
    if not isinstance(operator.function, Scaled):
        return _SPECIAL[operator.name].format(**numbers)
    inner = f"({numbers['beta']} * x)"
    return f"{numbers['alpha']} * ({_elementwise(operator.function.f, operator.name).replace('U', inner)})"


def _elementwise(function: Any, name: str) -> str:
    settings = function.keywords if isinstance(function, partial) else {}
    code = _SCALED.get(name.partition("(")[0])
    if code is None or (settings and function.func is not F.leaky_relu):
        raise ExportError(f"the operator {name!r} has no form in C; choose onnx, pt2 or torch")
    return code.replace("SLOPE", f"{float(settings.get('negative_slope', 0.01)).hex()}f")


_SCALED = {
    "relu": "fmaxf(U, 0.0f)",
    "relu6": "clamp(U, 0.0f, 6.0f)",
    "hardswish": "U * clamp(U + 3.0f, 0.0f, 6.0f) / 6.0f",
    "gelu": "0.5f * U * (1.0f + erff(U * 0.70710678118f))",
    "elu": "(U > 0.0f ? U : expm1f(U))",
    "tanh": "tanhf(U)",
    "softplus": "softplus(U)",
    "logsigmoid": "-softplus(-U)",
    "symlog": "copysignf(log1pf(fabsf(U)), U)",
    "symexp": "symexp(U)",
    "identity": "U",
    "sigmoid": "sigmoid(U)",
    "silu": "U * sigmoid(U)",
    "hardsigmoid": "clamp(U + 3.0f, 0.0f, 6.0f) / 6.0f",
    "leaky_relu": "(U > 0.0f ? U : SLOPE * U)",
}
_SPECIAL = {
    "swish": "{alpha} * x * sigmoid({beta} * x)",
    "tanhsoft1": "tanhf({alpha} * x) * softplus(x)",
    "srs": f"x / (x / {{alpha}} + expf(fminf(-x / {{beta}}, {SRS_LARGEST_EXPONENT}f)))",
    "acon": "({p1} - {p2}) * x * sigmoid({beta} * ({p1} - {p2}) * x) + {p2} * x",
}
assert SYMEXP_LINEAR_FROM == 10.0
