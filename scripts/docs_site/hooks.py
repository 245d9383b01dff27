"""MkDocs' hooks (mkdocs.yml): adds the pages that are made of the code, and the documents at the root.

Nothing here imports TensorFlow: the site builds with the base install and the extra ``docs``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from mkdocs.structure.files import File

from scripts.docs_site import commands, documents, export_options, manifest

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

#: Page -> what writes it.
REFERENCE = {
    "reference/cli.md": commands.page,
    "reference/export-options.md": export_options.page,
    "reference/manifest.md": manifest.page,
}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the generated pages; where one exists, its place has been taken."""
    generated = documents.pages() | {page: write() for page, write in REFERENCE.items()}
    for page, content in generated.items():
        if files.get_file_from_path(page) is not None:
            raise ValueError(f"docs/{page} exists, and the site makes a page of that name")
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links out of ``docs`` to the pages of the documents there."""
    made = {*documents.PAGES.values(), "tour.md", *REFERENCE}
    source = page.file.src_uri
    return markdown if source in made else documents.linked(markdown, f"docs/{source}")
