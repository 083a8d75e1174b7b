"""What Lanewise changes in the process around it before torch is imported."""

import os


def before_torch() -> None:
    """Set MKL_CBWR=AUTO, unless the user set it.

    Otherwise MKL chooses how to add up a product by the address its matrices happen to have, so that the last bits of a
    lane depend on its place in the pack. It reads the variable at its first product in a process and refuses any change
    after that (`mkl_cbwr_set` returns MKL_CBWR_ERR_MODE_CHANGE_FAILURE). It costs no time.
    """
    os.environ.setdefault("MKL_CBWR", "AUTO")
