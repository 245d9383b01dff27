"""What every compiled tokenizer is to the rest of the project."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import tensorflow as tf

from exporter.errors import TokenizerUnsupportedError


class TokenizerGraph(tf.Module):
    """Encodes and decodes in the graph; equals the reference tokenizer, or was refused when it was built.

    Every op is pinned to the CPU; tables live in assets and variables.

    Attributes:
      kind: the pipeline in words, as "ByteLevel BPE".
      vocab_size: one more than the largest id.
      ignored_fields: fields of the tokenizer's file that neither the reference nor the graph reads.
      bos_token_id, eos_token_id, pad_token_id: where the checkpoint tells them, else None.
    """

    kind: str
    vocab_size: int
    ignored_fields: tuple[str, ...] = ()
    bos_token_id: int | None
    eos_token_id: int | None
    pad_token_id: int | None

    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        """string [batch], valid UTF-8 -> int32 RaggedTensor [batch, (length)]."""
        raise NotImplementedError

    def encode_parts(
        self,
        texts: tf.Tensor,
        trusted: Sequence[bool],
        guarded: Collection[str] = (),
        add_special_tokens: bool = False,
    ) -> tf.RaggedTensor:
        """Parts of prompts, tokenized as one text each, where some are a template's and some are people's.

        Special tokens, and the added tokens of ``guarded``, are found in trusted parts alone; elsewhere, and
        across the border of two parts, they are plain text.

        Args:
          texts: string [batch, parts], valid UTF-8.
          trusted: of each part whether it is a template's own. No two neighbours are trusted both.
          guarded: contents of added tokens that are not special.
          add_special_tokens: whether the tokenizer's own stand around, as in ``encode``.

        Returns:
          int32 RaggedTensor [batch, (length)].

        Raises:
          TokenizerUnsupportedError: the parts of a text cannot be told apart exactly.
        """
        raise TokenizerUnsupportedError(self.kind, "tokens are not told apart by the part they stand in")

    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """int32 [rows, length], of each row its first ``lengths`` (int32 [rows]) -> string [rows]."""
        raise NotImplementedError

    def settled(self, ids: tf.Tensor, lengths: tf.Tensor, tail: tf.Tensor) -> tf.Tensor:
        """string [rows]: what ``decode`` of these ids and any further ones begins with.

        ``tail``: string [rows], bytes at each row's end that are left out too, as in ``Decoder.settled``.
        """
        raise NotImplementedError

    def token_bytes(self, size: int, *, first: bool = False) -> list[bytes]:
        """What each of the first ``size`` ids adds to decoded text, anywhere but at its beginning.

        A row decodes to these bytes side by side (ill-formed UTF-8 replaced), but for the first token,
        which may lose its leading space: ``first`` asks for what it adds there, whatever follows. Ids that
        ``decode`` leaves out add nothing.

        Raises:
          TokenizerUnsupportedError: rows are not decoded so (a clean-up, a last token treated otherwise).
        """
        raise NotImplementedError


class TokenizerAround(TokenizerGraph):
    """Encodes in a way of its own by an ``inner`` tokenizer, and decodes as that does."""

    def __init__(self, inner: TokenizerGraph, name: str) -> None:
        super().__init__(name=name)
        self.inner = inner
        self.kind = inner.kind
        self.vocab_size = inner.vocab_size
        self.bos_token_id = inner.bos_token_id
        self.eos_token_id = inner.eos_token_id
        self.pad_token_id = inner.pad_token_id

    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return self.inner.decode(ids, lengths)

    def settled(self, ids: tf.Tensor, lengths: tf.Tensor, tail: tf.Tensor) -> tf.Tensor:
        return self.inner.settled(ids, lengths, tail)

    def token_bytes(self, size: int, *, first: bool = False) -> list[bytes]:
        return self.inner.token_bytes(size, first=first)
