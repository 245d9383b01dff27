"""Everything a TensorFlow Serving deployment needs around an exported model, rendered from its manifest.

files = render(manifests, ServingOptions(batching=True))
write(files, out / "serving")
"""

from serving_configs.releases import RELEASES
from serving_configs.render import render, render_model_files, write
from serving_configs.serving_options import ServingOptions, SslOptions

__all__ = ["RELEASES", "ServingOptions", "SslOptions", "render", "render_model_files", "write"]
