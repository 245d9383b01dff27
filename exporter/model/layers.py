"""Position-wise parts: linear maps, norms, activations, feed-forward blocks and mixtures of experts.

Weights come as a flat mapping of a layer's own names, e.g. ``mlp.up.kernel``. Activations are in the model's
dtype; norms, routers and activations of half-precision models are computed in float32, as the reference does
where it matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import tensorflow as tf

from exporter.generation.compiled import in_compiled_code
from exporter.spec import Activation, MlpSpec, MoeSpec, NormKind, NormSpec, Routing
from exporter.targets import current_target

Weights = Mapping[str, tf.Tensor]


def scoped(weights: Weights, prefix: str) -> dict[str, tf.Tensor]:
    """The weights under ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def linear(x: tf.Tensor, weights: Weights, name: str) -> tf.Tensor:
    """[..., in] -> [..., out]; adds the bias where there is one."""
    kernel = weights[f"{name}.kernel"]
    # One matrix product over all positions: [..., in] -> [positions, in] -> [..., out].
    flat = _product(tf.reshape(x, [-1, kernel.shape[0]]), kernel, step=x.shape[1] == 1)
    if f"{name}.bias" in weights:
        flat += weights[f"{name}.bias"]
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


def norm(x: tf.Tensor, weights: Weights, name: str, spec: NormSpec | None) -> tf.Tensor:
    """Normalises the last axis in float32; the identity where ``spec`` is None."""
    if spec is None:
        return x
    dtype, x = x.dtype, tf.cast(x, tf.float32)
    if spec.kind is NormKind.LAYER:
        x -= tf.reduce_mean(x, axis=-1, keepdims=True)
    x *= tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + spec.epsilon)
    if spec.scale:
        x *= tf.cast(weights[f"{name}.scale"], tf.float32)
    if spec.bias:
        x += tf.cast(weights[f"{name}.bias"], tf.float32)
    return tf.cast(x, dtype)


def _gelu(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * x * (1.0 + tf.math.erf(x * math.sqrt(0.5)))


def _gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


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
        return ACTIVATIONS[spec.activation](x)
    gate, up = tf.split(x, 2, axis=-1)
    if spec.activation is Activation.GPT_OSS:
        gate = tf.minimum(gate, _GPT_OSS_LIMIT)
        up = tf.clip_by_value(up, -_GPT_OSS_LIMIT, _GPT_OSS_LIMIT)
        return (up + 1.0) * gate * tf.sigmoid(_GPT_OSS_ALPHA * gate)
    return ACTIVATIONS[spec.activation](gate) * up


def feed_forward(x: tf.Tensor, weights: Weights, spec: MlpSpec | MoeSpec) -> tf.Tensor:
    """[rows, k, hidden] -> [rows, k, hidden]."""
    if isinstance(spec, MoeSpec):
        return mixture(x, weights, spec)
    return mlp(x, weights, spec, "mlp.")


def mlp(x: tf.Tensor, weights: Weights, spec: MlpSpec, scope: str) -> tf.Tensor:
    """A dense feed-forward block."""
    return linear(activate(linear(x, weights, f"{scope}up"), spec), weights, f"{scope}down")


_EXPERT_WEIGHTS = frozenset(f"moe.{part}" for part in ("up.kernel", "up.bias", "down.kernel", "down.bias"))


def mixture(x: tf.Tensor, weights: Weights, spec: MoeSpec) -> tf.Tensor:
    """A mixture of experts: those that any token chose run, one after the other, over all tokens.

    So a step of few tokens reads the weights of few experts, and what a token gets does not depend on the
    others: experts that it did not choose add nothing, in the experts' order.
    """
    tokens = tf.reshape(x, [-1, x.shape[-1]])  # [rows, k, hidden] -> [tokens, hidden]
    shares = tf.cast(expert_shares(tokens, weights, spec), x.dtype)  # [tokens, experts]
    # One more row, without effect: for a single one XLA:CPU fuses the choice of a kernel into the product and
    # then reads the kernel by column, twenty times slower.
    more = [[0, 1], [0, 0]]
    tokens, shares = tf.pad(tokens, more), tf.pad(shares, more)
    chosen = tf.reduce_any(shares > 0, axis=0)
    order = tf.argsort(tf.cast(chosen, tf.int32), direction="DESCENDING", stable=True)
    experts = {name: value for name, value in weights.items() if name in _EXPERT_WEIGHTS}

    def add(index: tf.Tensor, output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        expert = order[index]
        branch = mlp(tokens, {name: value[expert] for name, value in experts.items()}, spec.expert, "moe.")
        share = tf.gather(shares, expert, axis=1)[:, tf.newaxis]
        # Not the product alone: what overflows in an expert that a token did not choose must not reach it.
        return index + 1, output + tf.where(share > 0, share * branch, 0)

    count = tf.reduce_sum(tf.cast(chosen, tf.int32))
    _, output = tf.while_loop(lambda index, _: index < count, add, (0, tf.zeros_like(tokens)))
    output = tf.reshape(output[:-1], tf.shape(x))
    if spec.shared:
        gate = tf.sigmoid(linear(x, weights, "moe.shared_gate"))
        output += gate * mlp(x, weights, spec.shared, "moe.shared.")
    return output


def expert_shares(tokens: tf.Tensor, weights: Weights, spec: MoeSpec) -> tf.Tensor:
    """float32 [tokens, experts]: the weight of each expert, zero for those outside the token's top k.

    Of equal logits the first are chosen; which ones the reference takes is not specified.
    """
    logits = tf.cast(linear(tokens, weights, "moe.router"), tf.float32)
    chosen = tf.reduce_sum(tf.one_hot(tf.math.top_k(logits, spec.top_k).indices, spec.experts), axis=1)
    shares = tf.nn.softmax(logits) * chosen
    if spec.routing is Routing.SOFTMAX_TOP_K:
        shares /= tf.reduce_sum(shares, axis=-1, keepdims=True)
    return shares
