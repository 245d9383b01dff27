"""The tokenizer room: a small compiler from tokenizer.json to a TensorFlow graph.

``build_tokenizer`` compiles, ``verify_tokenizer`` compares the result with the reference. Importing this
package is light: TensorFlow is loaded by the call that needs it.
"""

from __future__ import annotations
