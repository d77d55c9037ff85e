"""How functions are compiled that only compiled code calls."""

import numba

# Without what Python would call them by, and without files of their own beside those of their callers: this spares a
# part of the time that compiling takes.
inner = numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
