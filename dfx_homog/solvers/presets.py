"""PETSc options by name. User options given after `--` on the command line override them.

iterative: GMRES, preconditioned by block Gauss-Seidel over groups of fields, one algebraic-multigrid V-cycle a group.
    The potentials of both phases are ONE group: merged, their linearised reaction couples them like an M-matrix and
    multigrid takes them whole; split potentials need up to 1.4 times the iterations when kinetics is fast.
direct: MUMPS on the whole Jacobian; only for small problems and for comparison.
"""

from __future__ import annotations

Options = dict[str, str | float | int | None]

NEWTON: Options = {
    "snes_type": "newtonls",
    "snes_linesearch_type": "bt",
    "snes_rtol": 0.0,
    "snes_stol": 1e-11,
    "snes_max_it": 12,
}

# Switching on: from equilibrium to potentials far from it, step by step up the exponentials of the kinetics.
START: Options = {**NEWTON, "snes_max_it": 40}

# Where a factorisation is at hand: a step is judged by the Newton correction that would follow it (natural monotonicity
# test, Deuflhard 2004, section 3.3), which knows no units and no scaling of equations. The norm of the residual is that
# of the equation with the largest coefficient, and can refuse good steps or hide what is left of the others.
ERROR_ORIENTED: Options = {**NEWTON, "snes_linesearch_type": "nleqerr"}

DIRECT: Options = {"ksp_type": "preonly", "pc_type": "lu", "pc_factor_mat_solver_type": "mumps"}

MULTIGRID: Options = {
    "pc_type": "hypre",
    "pc_hypre_type": "boomeramg",
    "pc_hypre_boomeramg_coarsen_type": "HMIS",
    "pc_hypre_boomeramg_interp_type": "ext+i",
    "pc_hypre_boomeramg_P_max": 4,
    "pc_hypre_boomeramg_strong_threshold": 0.25,
}

GMRES: Options = {
    "ksp_type": "fgmres",
    "ksp_rtol": 1e-6,
    "ksp_max_it": 300,
    "ksp_gmres_restart": 60,
    "pc_type": "fieldsplit",
    "pc_fieldsplit_type": "multiplicative",
}

# One scalar elliptic problem. The norm is that of the residual itself, so that ksp_rtol means what it says.
ELLIPTIC: Options = {
    "ksp_type": "cg",
    "ksp_norm_type": "unpreconditioned",
    "ksp_rtol": 1e-13,
    "ksp_max_it": 500,
    **MULTIGRID,
    "pc_hypre_boomeramg_agg_nl": 0,
}

# Tetrahedra: one level of aggressive coarsening keeps the coarse operators sparse. On 2e5 nodes it takes 14 instead of
# 10 iterations, and a third of the time.
ELLIPTIC_3D: Options = {**ELLIPTIC, "pc_hypre_boomeramg_agg_nl": 1}


def block_preconditioner(groups: tuple[str, ...]) -> Options:
    """GMRES options with one multigrid V-cycle for each named group of fields."""
    options = dict(GMRES)
    for group in groups:
        options[f"fieldsplit_{group}_ksp_type"] = "preonly"
        for key, value in MULTIGRID.items():
            options[f"fieldsplit_{group}_{key}"] = value
    return options


def set_options(prefix: str, options: Options, user: tuple[str, ...] = ()) -> None:
    """Put options into the PETSc database under a prefix; `user` are words of the command line, applied last."""
    from petsc4py import PETSc

    database = PETSc.Options()
    for key, value in options.items():
        database.setValue(prefix + key, value)
    if user:
        database.insertString(" ".join(user))
