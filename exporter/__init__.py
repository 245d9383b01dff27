"""genserve: text-generation checkpoints as self-contained SavedModels for TensorFlow Serving.

    import exporter

    with exporter.Client("http://localhost:8501", model="stories") as client:
        print(client.generate(["Once upon a time"])[0].text)

Importing this package loads neither TensorFlow nor transformers, nor anything else: each name loads what it
needs when it is first used.
"""

from typing import TYPE_CHECKING

from exporter import lazy

if TYPE_CHECKING:
    from exporter.api import export, inspect, verify
    from exporter.client.aio import AsyncClient
    from exporter.client.blocking import Client
    from exporter.generation.generation_options import GenerationOptions
    from exporter.options import ExportOptions

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Client",
    "ExportOptions",
    "GenerationOptions",
    "__version__",
    "export",
    "inspect",
    "verify",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "AsyncClient": "exporter.client.aio",
        "Client": "exporter.client.blocking",
        "ExportOptions": "exporter.options",
        "GenerationOptions": "exporter.generation.generation_options",
        "export": "exporter.api",
        "inspect": "exporter.api",
        "verify": "exporter.api",
    },
)
