"""models.config: which models the server loads, which versions of each, and their labels."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.errors import OptionError, did_you_mean, raise_all
from exporter.manifest import Manifest
from serving_configs import protos
from serving_configs.serving_options import ServingOptions


def versions_by_model(manifests: Sequence[Manifest]) -> dict[str, list[int]]:
    """Model name -> its exported versions, increasing; models in the order of their first manifest."""
    versions: dict[str, list[int]] = {}
    for manifest in manifests:
        versions.setdefault(manifest.name, []).append(manifest.version)
    return {name: sorted(set(numbers)) for name, numbers in versions.items()}


def served_versions(versions: Sequence[int], options: ServingOptions) -> list[int]:
    """The versions that the policy loads, of those exported."""
    return list(versions[-options.num_versions :]) if options.version_policy == "latest" else list(versions)


def check_labels(models: dict[str, list[int]], options: ServingOptions) -> None:
    """Refuses labels of models or versions that will not be loaded: a server would not start."""
    problems = []
    for name, labels in options.version_labels.items():
        if name not in models:
            known = ", ".join(models)
            problems.append(
                f"version_labels: no model {name!r}{did_you_mean(name, models)}; exported: {known}"
            )
            continue
        served = served_versions(models[name], options)
        problems += [
            f"version_labels[{name!r}][{label!r}]: version {version} is not loaded by policy "
            f"{options.version_policy!r}; loaded: {served}"
            for label, version in labels.items()
            if version not in served
        ]
    raise_all(OptionError, "the version labels cannot be served:", problems)


def render(manifests: Sequence[Manifest], options: ServingOptions) -> str:
    """The text of a ``ModelServerConfig``."""
    models = versions_by_model(manifests)
    check_labels(models, options)
    config = protos.ModelServerConfig()
    for name, versions in models.items():
        model = config.model_config_list.config.add(
            name=name, base_path=f"{options.model_root}/{name}", model_platform="tensorflow"
        )
        policy = model.model_version_policy
        if options.version_policy == "latest":
            policy.latest.num_versions = options.num_versions
        elif options.version_policy == "all":
            policy.all.SetInParent()
        else:
            policy.specific.versions.extend(versions)
        for label, version in options.version_labels.get(name, {}).items():
            model.version_labels[label] = version
    return protos.to_text(config)
