"""Chat templates: rendered as transformers renders them, and told apart by who wrote what. No TensorFlow."""

from exporter.chat.reading import read_chat_template
from exporter.chat.template import ChatTemplate

__all__ = ["ChatTemplate", "read_chat_template"]
