"""scikit-learn's digits: 1,797 real images of handwritten digits, 8 by 8 pixels of 0 to 16, ten classes.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
(its test part, as scikit-learn ships it).
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np


def read() -> dict[str, "np.ndarray[Any, Any]"]:
    """x, uint8 [1797, 8, 8] with values 0 to 16, and y, int64 [1797] with values 0 to 9."""
    # scikit-learn takes longer to import than the rest of the package but torch, for a file that NumPy reads as well.
    package = find_spec("sklearn")
    file = Path(package.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if package else None
    if file and file.is_file():
        table = np.loadtxt(file, delimiter=",")
        images, target = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    else:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images, target = digits.images, digits.target
    return {"x": images.astype(np.uint8), "y": target.astype(np.int64)}
