"""An OpenAI-compatible front of TensorFlow Serving: HTTP and JSON in, Predict calls out.

Holds no checkpoint, no tokenizer and no TensorFlow: prompts become ids by the version's own signatures
(``encode``, ``encode_segments``), answers come from ``generate_tokens``, in pieces from ``resume``, and the
manifest says what the version has. Stateless: any number of gateways stand beside any number of servers.
"""
