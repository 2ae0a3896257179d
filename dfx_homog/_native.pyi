"""Types of the native module (dfx_homog/native). C-contiguous arrays; P meso points, nG nodes on Gamma."""

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Int32s = NDArray[np.int32]

class TraceSolution:
    """Read-only arrays; rows of failed points are zero, except x, which is the start value."""

    @property
    def x(self) -> _Floats: ...  # (P, nG) trace of c_s
    @property
    def x_p(self) -> _Floats: ...  # (P, nG, 3) its derivatives in Phi_s - Phi_e, c_e, T
    @property
    def R(self) -> _Floats: ...  # (P, nG) int_Gamma j phi_i dA
    @property
    def J(self) -> _Floats: ...  # (P,)
    @property
    def faradaic(self) -> _Floats: ...  # (P,)
    @property
    def q(self) -> _Floats: ...  # (P,)
    @property
    def dJ(self) -> _Floats: ...  # (P, 4) in Phi_s, Phi_e, c_e, T
    @property
    def dq(self) -> _Floats: ...  # (P, 4)
    @property
    def iterations(self) -> _Int32s: ...  # (P,)
    @property
    def failed(self) -> _Int32s: ...  # (P,) 0 solved, 1 not defined, 2 no descent, 3 not converged

class ParticleKernel:
    """Surface, kinetics and expressions of one electrode.

    Arguments as in dfx_homog/models/particle.py: facets (nf, npf), shape (nq, npf), weights (nf, nq), and the
    programs of `Expression.program`. Raises ValueError for arrays that do not fit together or a bad program.
    """

    def __init__(
        self,
        *,
        facets: _Int32s,
        shape: _Floats,
        weights: _Floats,
        trace_nodes: int,
        G: float,
        GC: float,
        beta: float,
        c_max: float,
        E_G: float,
        lam: float,
        gamma: float,
        ocp_ops: _Int32s,
        ocp_args: _Floats,
        Pi_ops: _Int32s,
        Pi_args: _Floats,
    ) -> None: ...
    def solve(
        self,
        *,
        start: _Floats,
        c_star: _Floats,
        stiffness: _Floats,
        p: _Floats,
        d_hist: _Floats,
        a0: float,
        tolerance: float = 1e-10,
        max_iterations: int = 60,
    ) -> TraceSolution: ...
    def evaluate(self, *, x: _Floats, p: _Floats) -> TraceSolution: ...
