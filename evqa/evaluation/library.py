"""The PyPI library ``evaluate``, found past our own script of that name.

``python train.py`` puts the checkout first on ``sys.path``, where ``evaluate.py`` is the
evaluation script: a plain ``import evaluate`` would load that. The library is therefore loaded
from its installed distribution and registered under its name.
"""

import importlib.metadata
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from evqa.errors import UserError

NAME = "evaluate"


@lru_cache(maxsize=1)
def evaluate_library() -> ModuleType:
    """Return the library, whatever module called ``evaluate`` may be on the path.

    Raises:
        UserError: it is not installed.
    """
    try:
        files = importlib.metadata.distribution(NAME).locate_file(NAME)
    except importlib.metadata.PackageNotFoundError:
        raise UserError("the package evaluate is not installed; run make env") from None
    init = Path(str(files)) / "__init__.py"
    loaded = sys.modules.get(NAME)
    if loaded is not None and loaded.__file__ and Path(loaded.__file__).samefile(init):
        return loaded
    return _load(init)


def _load(init: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        NAME, init, submodule_search_locations=[str(init.parent)]
    )
    assert spec is not None
    assert spec.loader is not None
    shadowed = {name: sys.modules.pop(name) for name in list(sys.modules) if name == NAME}
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(NAME, None)
        sys.modules.update(shadowed)
        raise
    return module
