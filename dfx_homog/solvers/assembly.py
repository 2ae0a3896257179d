"""Assembly of a model's Jacobian into blocks of groups of fields, without structural zeros.

On one blocked space of five fields the element matrix of a tetrahedron has 400 entries, of which three quarters are
zero in every state: most fields do not meet in the volume, and fields of one phase do not live in the other. What may
differ from zero is found by calling the compiled kernels on random states with random constants (so that C = 0 or a
switched-off time derivative removes nothing); everything else is never stored. Should a state ever have an entry
outside of that pattern, assembly ends with an error instead of losing it.

Each group of fields is one block of a nested matrix, so that the block preconditioner takes its blocks as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from petsc4py import PETSc

from dfx_homog import _compat
from dfx_homog.errors import SolverFailure
from dfx_homog.solvers.layout import Ints, Layout, exchange

#: Random states in which the entries of an element matrix are looked at. An entry is taken as zero if it is exactly
#: zero in all of them; a function that is not piecewise defined is that with probability 0.
SAMPLES = 64


def _piecewise(form: ufl.Form) -> bool:
    """Whether a form has conditionals, of which a random state sees one branch."""
    kinds = (ufl.classes.Conditional, ufl.classes.MinValue, ufl.classes.MaxValue, ufl.classes.Abs)
    return any(
        isinstance(node, kinds)
        for integral in form.integrals()
        for node in ufl.corealg.traversal.unique_pre_traversal(integral.integrand())
    )


class BlockAssembly:
    """A bilinear form on the unknowns of a layout, as one block for each pair of groups of fields.

    groups: fields of each group; together all fields with unknowns, in the layout's order

    This rank adds its element matrices to rows of its own unknowns, which are the very arrays of the PETSc blocks, and
    to rows of other ranks' unknowns, whose values are sent to their owners.
    """

    def __init__(self, weak: ufl.Form, form: fem.Form, layout: Layout, groups: tuple[tuple[int, ...], ...]):
        self._form, self.layout, self._groups = form, layout, groups
        present = [f for f in layout.order if f in {f for g in groups for f in g}]
        if present != [f for g in groups for f in g]:
            raise ValueError(f"groups {groups} do not follow the order {layout.order} of the unknowns")
        self._loop = _compat.form_loop(form)
        self._loop.probe(len(_compat.constants(form)), SAMPLES, _piecewise(weak))
        flat = layout.numbers.ravel()
        ghosts = self._foreign(flat[flat >= 0])
        self._find(flat, ghosts, np.empty((0, 2), dtype=np.int64))
        if layout.comm.size > 1:
            # rows that other ranks add to: their entries join the pattern, with columns perhaps never seen here
            sent, owner = self._ghost_entries(ghosts)
            more, _, _ = exchange(layout.comm, owner, sent)
            ghosts = self._foreign(np.concatenate([ghosts, more[:, 1]]))
            self._find(flat, ghosts, more)
            sent, owner = self._ghost_entries(ghosts)
            more, _, self._send_order = exchange(layout.comm, owner, sent)
            self._receive = self._positions(ghosts, more)
            self._send_counts = np.bincount(owner, minlength=layout.comm.size)
            self._receive_counts = np.empty_like(self._send_counts)
            layout.comm.Alltoall(self._send_counts, self._receive_counts)
        self._ghosts = ghosts
        self._values = np.zeros(self._loop.entries)

    def _foreign(self, numbers: Ints) -> Ints:
        """Those of other ranks among global numbers, ascending, each once."""
        first, size = self.layout.offset, self.layout.local_size
        return np.unique(numbers[(numbers < first) | (numbers >= first + size)])

    def _local(self, numbers: Ints, ghosts: Ints) -> npt.NDArray[np.int32]:
        """Own unknowns from 0 on, then `ghosts`; -1 stays."""
        first, size = self.layout.offset, self.layout.local_size
        own = (numbers >= first) & (numbers < first + size)
        local = np.where(own, numbers - first, size + np.searchsorted(ghosts, numbers))
        return np.where(numbers < 0, -1, local).astype(np.int32)

    def _find(self, flat: Ints, ghosts: Ints, more: Ints) -> None:
        """Pattern of own and of other ranks' rows; more: (n, 2) global rows, which are own ones, and columns."""
        layout, groups = self.layout, self._groups
        size = layout.local_size
        group = np.repeat(np.arange(len(groups)), [int(layout.sizes[list(g)].sum()) for g in groups])
        row_group = np.concatenate([group, np.full(len(ghosts), len(groups))])
        column_group = np.concatenate([group, len(groups) + self._owner_and_group(ghosts)[1]])
        rows = self._local(more[:, 0], ghosts)
        order = np.argsort(rows, kind="stable")
        self._loop.find_pattern(
            self._local(flat, ghosts),
            row_group.astype(np.int32),
            column_group.astype(np.int32),
            2 * len(groups),
            np.searchsorted(rows[order], np.arange(size + len(ghosts) + 1)).astype(np.int64),
            self._local(more[:, 1], ghosts)[order],
        )

    @property
    def _sizes(self) -> Ints:
        """(ranks, groups) unknowns of each group."""
        mine = np.array([int(self.layout.sizes[list(g)].sum()) for g in self._groups], dtype=np.int64)
        return np.asarray(self.layout.comm.allgather(mine), dtype=np.int64)

    def _owner_and_group(self, numbers: Ints) -> tuple[Ints, Ints, Ints]:
        """Rank and group of global numbers, and their numbers in a vector of the group alone."""
        sizes = self._sizes
        ends = np.cumsum(sizes.ravel())
        slot = np.searchsorted(ends, numbers, side="right")
        rank, group = np.divmod(slot, len(self._groups))
        before = np.cumsum(sizes, axis=0) - sizes
        return rank, group, numbers - (ends - sizes.ravel())[slot] + before[rank, group]

    def _ghost_entries(self, ghosts: Ints) -> tuple[Ints, Ints]:
        """(n, 2) global row and column of every entry in other ranks' rows, in the order of storage; their owners."""
        layout, size = self.layout, self.layout.local_size
        known = np.concatenate([layout.offset + np.arange(size), ghosts])
        counts = self._loop.counts.reshape(len(known), 2 * len(self._groups))[size:].T
        rows = np.concatenate([np.repeat(ghosts, c) for c in counts] or [np.empty(0, dtype=np.int64)])
        columns = known[self._loop.columns[self._loop.entries - len(rows) :]]
        return np.column_stack([rows, columns]), self._owner_and_group(rows)[0]

    def _positions(self, ghosts: Ints, entries: Ints) -> Ints:
        """Where entries (n, 2) of own rows, global row and column, are stored."""
        return self._loop.positions(self._local(entries[:, 0], ghosts), self._local(entries[:, 1], ghosts))

    def create_matrix(self) -> PETSc.Mat:
        """Matrix of that pattern, of type nest if there are several groups, else aij; its values are this object's."""
        comm, count = self.layout.comm, len(self._groups)
        table = [[self._block(i, j) for j in range(count)] for i in range(count)]
        if count == 1:
            return table[0][0]
        nest = PETSc.Mat().createNest(table, comm=comm)
        for block in (b for row in table for b in row if b is not None):
            block.destroy()  # the nest keeps it
        return nest

    def _block(self, i: int, j: int) -> PETSc.Mat | None:
        """Rows of group i and columns of group j; None if it is empty and not on the diagonal."""
        comm, sizes = self.layout.comm, self._sizes
        own = self._rows_of(i, j)
        first = int(sizes[comm.rank, :j].sum())
        inner = (own[0], own[1] - first, own[2])
        total = len(own[1])
        csr: Any = inner
        if comm.size > 1:
            outer = self._rows_of(i, len(self._groups) + j)
            total += len(outer[1])
            numbers = self._owner_and_group(self._ghosts)[2].astype(PETSc.IntType)
            csr = (inner, (outer[0], numbers[outer[1] - self.layout.local_size], outer[2]))
        if comm.allreduce(total) == 0 and i != j:
            return None
        shape = tuple((int(sizes[comm.rank, k]), PETSc.DETERMINE) for k in (i, j))
        return PETSc.Mat().createAIJWithArrays(shape, csr, comm=comm)

    def _rows_of(self, i: int, column_group: int) -> tuple[Any, Any, Any]:
        """Compressed rows, with local column numbers, of the own rows of group i in a group of columns."""
        sizes = self._sizes[self.layout.comm.rank]
        first, count = int(sizes[:i].sum()), int(sizes[i])
        known = self.layout.local_size + len(self._ghosts)
        counts, starts = (
            a.reshape(known, 2 * len(self._groups)) for a in (self._loop.counts, self._loop.starts)
        )
        begin = np.zeros(count + 1, dtype=PETSc.IntType)
        if count == 0:
            return begin, np.empty(0, dtype=PETSc.IntType), np.empty(0)
        np.cumsum(counts[first : first + count, column_group], out=begin[1:])
        start = int(starts[first, column_group])
        entries = slice(start, start + int(begin[-1]))
        return begin, self._loop.columns[entries].astype(PETSc.IntType), self._values[entries]

    def assemble(self, matrix: PETSc.Mat) -> None:
        """Put the form at the present values of its coefficients into the matrix of `create_matrix`.

        Raises SolverFailure.
        """
        self._values[:] = 0
        lost = self._loop.add_matrix(_compat.constants(self._form), self._values)
        comm = self.layout.comm
        if comm.allreduce(lost):
            raise SolverFailure("the Jacobian has entries outside of the pattern found at the start")
        if comm.size > 1:
            foreign = self._values[len(self._values) - len(self._send_order) :]
            received = np.empty(len(self._receive))
            comm.Alltoallv([foreign[self._send_order], self._send_counts], [received, self._receive_counts])
            np.add.at(self._values, self._receive, received)
        count = len(self._groups)
        for i, j in np.ndindex(count, count):
            block = matrix if count == 1 else matrix.getNestSubMatrix(i, j)
            if block:
                block.assemble()
