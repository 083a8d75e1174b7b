"""scikit-learn's digits: 1,797 real images of handwritten digits, 8 by 8 pixels of 0 to 16, ten classes.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
(its test part, as scikit-learn ships it).
"""

from typing import Any

import numpy as np


def read() -> dict[str, "np.ndarray[Any, Any]"]:
    """x, uint8 [1797, 8, 8] with values 0 to 16, and y, int64 [1797] with values 0 to 9."""
    # Imported here because scikit-learn takes longer to import than the rest of the package but torch.
    from sklearn.datasets import load_digits

    digits = load_digits()
    return {"x": digits.images.astype(np.uint8), "y": digits.target.astype(np.int64)}
