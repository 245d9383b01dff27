"""models.config: which models the server loads, which versions of each, and their labels."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.errors import OptionError, did_you_mean, raise_all
from exporter.manifest import Manifest
from serving_configs import protos
from serving_configs.serving_options import ServingOptions

# A server without a container has the export directory as its working directory (run.sh): so the file that it
# watches need name no place on this machine.
NATIVE_ROOT = "/proc/self/cwd"


def versions_by_model(manifests: Sequence[Manifest]) -> dict[str, list[int]]:
    """Model name -> its exported versions, increasing; models in the order of their first manifest."""
    versions: dict[str, list[int]] = {}
    for manifest in manifests:
        versions.setdefault(manifest.name, []).append(manifest.version)
    return {name: sorted(set(numbers)) for name, numbers in versions.items()}


def served_versions(name: str, versions: Sequence[int], options: ServingOptions) -> list[int]:
    """The versions of a model that are loaded, of those exported.

    Under "latest", a model with labels has those that are labelled, those about to be, and what each label
    named last: a server moves a label in use only to a version that it has loaded.
    """
    if options.version_policy != "latest":
        return list(versions)
    labels = options.version_labels.get(name)
    if not labels:
        return list(versions[-options.num_versions :])
    wanted = {*labels.values(), *options.loading.get(name, ())}
    if options.keep_former:
        wanted |= {former_version(name, label, versions, options) or 0 for label in labels}
    return [version for version in versions if version in wanted]


def former_version(name: str, label: str, versions: Sequence[int], options: ServingOptions) -> int | None:
    """What a label named before, as far as it still exists."""
    history = options.label_history.get(name, {}).get(label, [])
    return next((version for version in reversed(history) if version in versions), None)


def check_labels(models: dict[str, list[int]], options: ServingOptions) -> None:
    """Refuses labels of models or versions that do not exist: a server would not start."""
    problems = []
    for name, labels in options.version_labels.items():
        if name not in models:
            known = ", ".join(models)
            problems.append(
                f"version_labels: no model {name!r}{did_you_mean(name, models)}; exported: {known}"
            )
            continue
        problems += [
            f"version_labels[{name!r}][{label!r}]: there is no version {version}; exported: {models[name]}"
            for label, version in labels.items()
            if version not in models[name]
        ]
    raise_all(OptionError, "the version labels cannot be served:", problems)


def render(manifests: Sequence[Manifest], options: ServingOptions, root: str) -> str:
    """The text of a ``ModelServerConfig``; ``root`` is where the server finds the export directory."""
    models = versions_by_model(manifests)
    check_labels(models, options)
    config = protos.ModelServerConfig()
    for name, versions in models.items():
        model = config.model_config_list.config.add(
            name=name, base_path=f"{root}/{name}", model_platform="tensorflow"
        )
        labels = options.version_labels.get(name, {})
        policy = model.model_version_policy
        if options.version_policy == "all":
            policy.all.SetInParent()
        elif options.version_policy == "latest" and not labels:
            policy.latest.num_versions = options.num_versions
        else:
            policy.specific.versions.extend(served_versions(name, versions, options))
        for label, version in labels.items():
            model.version_labels[label] = version
    return protos.to_text(config)
