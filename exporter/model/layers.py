"""Position-wise parts: linear maps, norms, activations and feed-forward blocks.

Weights come as a flat mapping of a layer's own names, e.g. ``mlp.up.kernel``. Activations are in the model's
dtype; norms and activations of half-precision models are computed in float32 and rounded where the
reference rounds. XLA may leave out a rounding between operations that it fuses, but for those of ``rounded``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from statistics import NormalDist

import ml_dtypes
import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from exporter.generation.compiled import in_compiled_code
from exporter.model.xla_ops import wide_product
from exporter.spec import Activation, MlpSpec, NormKind, NormSpec
from exporter.targets import current_target

Weights = Mapping[str, tf.Tensor]


def scoped(weights: Weights, prefix: str) -> dict[str, tf.Tensor]:
    """The weights under ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def linear(x: tf.Tensor, weights: Weights, name: str, *, bias_apart: bool = False) -> tf.Tensor:
    """[..., in] -> [..., out]; adds the bias where there is one.

    Product and bias are rounded once, together, as ``torch.nn.functional.linear`` and ``torch.addmm`` round
    them; ``bias_apart``: each by itself.
    """
    kernel, scale = weights[f"{name}.kernel"], weights.get(f"{name}.kernel_scale")
    x = tf.cast(x, kernel.dtype) if scale is None else x
    # One matrix product over all positions: [..., in] -> [positions, in] -> [..., out].
    flat, step = tf.reshape(x, [-1, kernel.shape[0]]), x.shape[1] == 1
    bias = weights.get(f"{name}.bias")
    if scale is None and bias is not None and kernel.dtype != tf.float32 and not bias_apart:
        flat = tf.cast(wide_product(flat, kernel) + tf.cast(bias, tf.float32), kernel.dtype)
    else:
        flat = (
            _product(flat, kernel, step=step)
            if scale is None
            else int8_product(flat, kernel, scale, step=step)
        )
        flat = flat if bias is None else flat + bias
    return tf.reshape(flat, tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], axis=0))


#: A vector times a matrix is computed as the sum of so many parts.
_PARTS = 8


def _product(x: tf.Tensor, kernel: tf.Tensor, *, step: bool) -> tf.Tensor:
    """[rows, in] times [in, out]; ``step``: of one token per row.

    XLA:CPU runs a vector times a matrix on one thread, which cannot read memory as fast as all of them can; a
    batch of products is spread over threads. So on the cpu target a single row's product is cut into parts
    along ``in``. XLA knows the number of rows when it compiles, and drops the branch that is not taken.
    """
    whole = partial(tf.matmul, x, kernel)
    width = kernel.shape[0]
    if current_target() != "cpu" or not in_compiled_code():
        return whole()
    if not step or kernel.dtype != tf.float32 or width % _PARTS:
        return whole()

    def in_parts() -> tf.Tensor:
        parts = tf.transpose(tf.reshape(x, [-1, _PARTS, width // _PARTS]), [1, 0, 2])
        return tf.reduce_sum(tf.matmul(parts, tf.reshape(kernel, [_PARTS, width // _PARTS, -1])), axis=0)

    return tf.ensure_shape(tf.cond(tf.shape(x)[0] == 1, in_parts, whole), [None, kernel.shape[1]])


#: An int8 number counts in so many parts of its channel's scale, see ``exporter.families.int8``.
INT8_UNIT = 128


def int8_product(x: tf.Tensor, kernel: tf.Tensor, scale: tf.Tensor, *, step: bool) -> tf.Tensor:
    """[rows, in] times int8 [in, out] with float32 scales [out]; ``step`` as of ``_product``.

    XLA moves the conversion of a matrix out of a decoding loop, since it is the same at every step. On the
    cpu target that is welcome: a step then costs what it costs in float32. On a GPU it would take the memory
    that int8 saves, so there the matrix is tied to ``x``, and the conversion stays beside its product.
    """
    if current_target() == "gpu" and in_compiled_code():
        x, kernel = gen_xla_ops.xla_optimization_barrier([x, kernel])
    product = _product(x, tf.cast(kernel, x.dtype) / INT8_UNIT, step=step)
    return tf.cast(tf.cast(product, tf.float32) * scale, x.dtype)


def norm(x: tf.Tensor, weights: Weights, name: str, spec: NormSpec | None) -> tf.Tensor:
    """Normalises the last axis in float32; the identity where ``spec`` is None.

    Of a norm that rounds first the result has the scale's dtype: what it reads may be in float32.
    """
    if spec is None:
        return x
    dtype = weights[f"{name}.scale"].dtype if spec.round_first else x.dtype
    x = tf.cast(x, tf.float32)
    if spec.kind is NormKind.LAYER:
        x -= tf.reduce_mean(x, axis=-1, keepdims=True)
    x *= tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + spec.epsilon)
    if spec.round_first:
        x = tf.cast(tf.cast(x, dtype), tf.float32)
    if spec.scale:
        x *= tf.cast(weights[f"{name}.scale"], tf.float32) + spec.offset
    if spec.bias:
        x += tf.cast(weights[f"{name}.bias"], tf.float32)
    return tf.cast(x, dtype)


def times(x: tf.Tensor, factor: float) -> tf.Tensor:
    """``x * factor`` as the reference multiplies by a Python number: only the result is rounded."""
    return x if factor == 1.0 else tf.cast(tf.cast(x, tf.float32) * factor, x.dtype)


def rounded(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """float32, with what ``dtype`` keeps of it.

    XLA may leave out conversions there and back. It has an operation that it must obey, which however drops
    what lies below the smallest normal number; of bfloat16, with float32's range, that is nothing.
    """
    wide = tf.cast(x, tf.float32)
    if dtype == tf.float32:
        return wide
    if not in_compiled_code():
        return tf.cast(tf.cast(x, dtype), tf.float32)
    kept = ml_dtypes.finfo(dtype.as_numpy_dtype)
    normal = gen_xla_ops.xla_reduce_precision(wide, exponent_bits=kept.nexp, mantissa_bits=kept.nmant)
    if kept.nexp == np.finfo(np.float32).nexp:
        return normal
    least = float(kept.smallest_subnormal)
    return tf.where(tf.abs(wide) < float(kept.smallest_normal), tf.round(wide / least) * least, normal)


def capped(x: tf.Tensor, cap: float, dtype: tf.DType) -> tf.Tensor:
    """float32 numbers of ``dtype`` -> ``cap * tanh(x / cap)``, as the reference computes it in ``dtype``."""
    inner = rounded(tf.tanh(rounded(x / cap, dtype)), dtype)
    return rounded(cap * inner, dtype)


def _gelu(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * x * (1.0 + tf.math.erf(x * math.sqrt(0.5)))


def _gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def _xielu(learned: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """``learned``: [4], the curvatures of both sides before softplus, the slope at 0, an epsilon."""
    positive, negative, slope, epsilon = tf.unstack(tf.cast(learned, tf.float32))
    right = tf.math.softplus(positive) * x * x
    left = (tf.math.expm1(tf.minimum(x, epsilon)) - x) * (slope + tf.math.softplus(negative))
    return tf.where(x > 0, right, left) + slope * x


ACTIVATIONS: Mapping[Activation, Callable[[tf.Tensor], tf.Tensor]] = {
    Activation.GELU: _gelu,
    Activation.GELU_TANH: _gelu_tanh,
    Activation.QUICK_GELU: lambda x: x * tf.sigmoid(1.702 * x),
    Activation.RELU: tf.nn.relu,
    Activation.RELU_SQUARED: lambda x: tf.square(tf.nn.relu(x)),
    Activation.SILU: lambda x: x * tf.sigmoid(x),
    Activation.TANH: tf.tanh,
    Activation.SIGMOID: tf.sigmoid,
    Activation.LINEAR: tf.identity,
}

# GptOssExperts: alpha and limit are constants of the reference's class.
_GPT_OSS_ALPHA, _GPT_OSS_LIMIT = 1.702, 7.0


def activate(x: tf.Tensor, spec: MlpSpec) -> tf.Tensor:
    """The first projection's output -> the second's input: [..., width or 2 * width] -> [..., width]."""
    if not spec.gated:
        return plain(spec.activation, x)
    gate, up = tf.split(x, 2, axis=-1)
    if spec.activation is Activation.GPT_OSS:
        gate = tf.minimum(gate, _GPT_OSS_LIMIT)
        up = tf.clip_by_value(up, -_GPT_OSS_LIMIT, _GPT_OSS_LIMIT)
        return (up + 1.0) * (gate * in_float32(tf.sigmoid, times(gate, _GPT_OSS_ALPHA)))
    return plain(spec.activation, _cut(times(gate, spec.gate_scale), spec.sparsity)) * up


def _cut(x: tf.Tensor, sparsity: float) -> tf.Tensor:
    """What of ``x`` is beyond the quantile that a normal distribution of its mean and deviation would have.

    Source: ``_gaussian_topk`` of ``Gemma3nTextMLP``; half precision rounds where it rounds.
    """
    if sparsity == 0.0:
        return x
    mean, variance = tf.nn.moments(tf.cast(x, tf.float32), axes=[-1], keepdims=True)
    deviation = tf.cast(tf.sqrt(variance), x.dtype)
    quantile = tf.cast(NormalDist().inv_cdf(float(np.float32(sparsity))), x.dtype)
    return tf.nn.relu(x - (tf.cast(mean, x.dtype) + deviation * quantile))


def plain(activation: Activation, x: tf.Tensor) -> tf.Tensor:
    """An activation that has learned nothing, in float32."""
    return in_float32(ACTIVATIONS[activation], x)


def in_float32(function: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """``function`` of ``x`` in float32, rounded to the dtype of ``x``."""
    return tf.cast(function(tf.cast(x, tf.float32)), x.dtype)


def mlp(x: tf.Tensor, weights: Weights, spec: MlpSpec, scope: str) -> tf.Tensor:
    """A dense feed-forward block."""
    inner = linear(x, weights, f"{scope}up", bias_apart=spec.bias_apart)
    if spec.activation is Activation.XIELU:
        inner = in_float32(partial(_xielu, weights[f"{scope}xielu"]), inner)
    else:
        inner = activate(inner, spec)
    return times(linear(inner, weights, f"{scope}down", bias_apart=spec.bias_apart), spec.down_scale)
