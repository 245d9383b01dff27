"""What whoever starts a server should know of the versions that it loads: in the run scripts, from ``genserve
config`` and from ``genserve doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.choices import Device
from exporter.manifest import Manifest
from serving_configs.gpu_memory import loaded_versions
from serving_configs.serving_options import ServingOptions

#: What a version for the other device costs.
_OTHER = {
    "cpu": "it answers alike on the CPU, and more slowly than a version that is made for it",
    "gpu": "it answers alike on a GPU, with steps that wait for the host",
}
_WARM = "genserve warm OUT --device gpu, on a machine with the GPU"


@dataclass(frozen=True)
class Note:
    """Attributes:
    id: a name that does not change, for programs.
    what, meaning, mend: what was seen, what follows from it, and what would change it.
    """

    id: str
    what: str
    meaning: str
    mend: str

    def __str__(self) -> str:
        return f"{self.what}: {self.meaning} ({self.mend})"


def _devices(options: ServingOptions) -> tuple[Device, ...]:
    """What the files are for: GPUs where the options give a GPU's memory, else one as well as the other."""
    return ("gpu",) if options.gpu_memory_gib is not None else ("gpu", "cpu")


def deployment_notes(manifests: Sequence[Manifest], options: ServingOptions) -> list[Note]:
    """Of every device that the files are for."""
    return [note for device in _devices(options) for note in notes(manifests, options, device)]


def notes(manifests: Sequence[Manifest], options: ServingOptions, device: Device) -> list[Note]:
    """Of a server on ``device``."""
    loaded = loaded_versions(manifests, options)
    others = [manifest for manifest in loaded if manifest.model.target != device]
    found = []
    if others:
        found.append(
            Note(
                "other-target",
                f"run-{device}.sh serves {_named(others)} of --target {others[0].model.target}",
                _OTHER[device],
                f"genserve export ... --target {device}",
            )
        )
    if device == "gpu" and options.gpu_memory_gib is not None:
        found += _unmeasured(loaded)
    return found


def _unmeasured(loaded: Sequence[Manifest]) -> list[Note]:
    """Of versions whose plan of memory is not a GPU's own."""
    kinds = {
        "cpu": ("was measured on a CPU", "the larger of that and an estimate is planned"),
        None: ("was not measured", "an estimate is planned"),
    }
    return [
        Note("memory-not-measured", f"memory of {_named(which)} {what}", meaning, _WARM)
        for device, (what, meaning) in kinds.items()
        if (which := [manifest for manifest in loaded if _measured_on(manifest) == device])
    ]


def _measured_on(manifest: Manifest) -> Device | None:
    return manifest.warmup.device if manifest.warmup.memory else None


def _named(manifests: Sequence[Manifest]) -> str:
    return ", ".join(f"{manifest.name} version {manifest.version}" for manifest in manifests)
