"""Chat templates: rendered as transformers renders them, and told apart by who wrote what. No TensorFlow."""

from exporter.chat.parts import ChatParts, Prompt, split_template
from exporter.chat.reading import read_chat_template
from exporter.chat.reasoning import Reasoning
from exporter.chat.template import ChatTemplate
from exporter.chat.unknown import Field, Strip

__all__ = [
    "ChatParts",
    "ChatTemplate",
    "Field",
    "Prompt",
    "Reasoning",
    "Strip",
    "read_chat_template",
    "split_template",
]
