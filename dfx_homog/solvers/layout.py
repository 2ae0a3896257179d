"""Which entries of a blocked finite-element function are unknowns, and under which global number.

A model keeps all its fields in ONE blocked Lagrange space on the whole mesh. A field that lives on one phase only, a
Dirichlet value, a periodic node: each is a statement about the numbering, not about the forms:

* nodes with the same `key` are one node (periodic faces; the key defaults to the node's own global number);
* a field has an unknown at a node only if a cell of its phase touches the node;
* a fixed node (Dirichlet) has none.

Local entries that are no unknowns get the number -1, which PETSc drops when it adds element matrices, so that periodic
reduction P^T A P, restriction to a phase and elimination of Dirichlet rows all happen during assembly, with no
second matrix. Unknowns are numbered field by field on each rank, ready for a field split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from mpi4py import MPI
from petsc4py import PETSc

from dfx_homog._compat import FloatArray
from dfx_homog.errors import BadInput

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def check_index(count: int, what: str) -> None:
    """Raises BadInput if PETSc cannot number so many entries; the same on all ranks.

    Cast to PETSc's integers the numbers would wrap around without a word.
    """
    largest = int(np.iinfo(PETSc.IntType).max)
    if count > largest:
        raise BadInput(
            f"{count} {what}: PETSc here numbers up to {largest} (allowed: fewer, or PETSc configured "
            "--with-64-bit-indices)"
        )


def exchange(comm: MPI.Intracomm, destination: Ints, rows: Ints) -> tuple[Ints, Ints, Ints]:
    """Send each row to its destination rank. Returns received rows, their source ranks, and the send order."""
    order = np.argsort(destination, kind="stable")
    width = rows.shape[1]
    send_counts = np.bincount(destination, minlength=comm.size)
    recv_counts = np.empty(comm.size, dtype=np.int64)
    comm.Alltoall(send_counts.astype(np.int64), recv_counts)
    received = np.empty((int(recv_counts.sum()), width), dtype=np.int64)
    comm.Alltoallv(
        [np.ascontiguousarray(rows[order]), send_counts * width, None, MPI.INT64_T],
        [received, recv_counts * width, None, MPI.INT64_T],
    )
    return received, np.repeat(np.arange(comm.size), recv_counts), order


@dataclass
class Layout:
    """Numbering of the unknowns of `fields` scalar fields on the nodes of a mesh.

    numbers: (nodes, fields) global number of each local entry, -1 where it is no unknown
    sizes:   unknowns of each field owned by this rank
    order:   order of the fields in each rank's numbers
    """

    comm: MPI.Intracomm
    numbers: Ints
    sizes: Ints
    offset: int
    order: tuple[int, ...]

    @property
    def local_size(self) -> int:
        return int(self.sizes.sum())

    @property
    def global_size(self) -> int:
        return int(self.comm.allreduce(self.local_size))

    def field_range(self, field: int) -> Ints:
        """Global numbers of this rank's unknowns of one field."""
        before = self.order[: self.order.index(field)]
        start = self.offset + int(self.sizes[list(before)].sum())
        return np.arange(start, start + int(self.sizes[field]), dtype=np.int64)

    def present(self, groups: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """The named groups of fields that have any unknowns."""
        return {n: g for n, g in groups.items() if self.comm.allreduce(int(self.sizes[list(g)].sum())) > 0}

    def index_set(self, fields: tuple[int, ...]) -> PETSc.IS:
        """The unknowns of a group of fields, for a field split."""
        indices = np.concatenate([self.field_range(f) for f in fields]).astype(PETSc.IntType)
        return PETSc.IS().createGeneral(indices, comm=self.comm)

    def create_vector(self) -> PETSc.Vec:
        vec = PETSc.Vec().create(self.comm)
        vec.setSizes((self.local_size, PETSc.DETERMINE))
        vec.setUp()
        return vec

    def create_matrix(self) -> PETSc.Mat:
        """Empty matrix whose local-to-global map is this layout; the first assembly finds the pattern."""
        mat = PETSc.Mat().create(self.comm)
        mat.setSizes(((self.local_size, PETSc.DETERMINE), (self.local_size, PETSc.DETERMINE)))
        mat.setType(PETSc.Mat.Type.AIJ)
        lgmap = PETSc.LGMap().create(self.numbers.ravel().astype(PETSc.IntType), comm=self.comm)
        mat.setLGMap(lgmap, lgmap)
        mat.setUp()
        lgmap.destroy()
        return mat


class Transfer:
    """Moves values between a function's local array and the vector of unknowns of a `Layout`."""

    def __init__(self, layout: Layout):
        flat = layout.numbers.ravel()
        self._local = np.flatnonzero(flat >= 0)
        self._buffer = PETSc.Vec().createSeq(len(self._local))
        vec = layout.create_vector()
        to = PETSc.IS().createStride(len(self._local), 0, 1, comm=PETSc.COMM_SELF)
        source = PETSc.IS().createGeneral(flat[self._local].astype(PETSc.IntType), comm=PETSc.COMM_SELF)
        self._scatter = PETSc.Scatter().create(vec, source, self._buffer, to)
        for obj in (vec, to, source):
            obj.destroy()

    def to_function(self, vec: PETSc.Vec, array: FloatArray) -> None:
        """array[i] = vec[number of i] at the unknowns; other entries of array are kept."""
        self._scatter.scatter(vec, self._buffer, addv=PETSc.InsertMode.INSERT, mode=PETSc.ScatterMode.FORWARD)
        array[self._local] = self._buffer.array_r

    def add_to_vector(self, array: FloatArray, vec: PETSc.Vec) -> None:
        """Sum the local contributions of all ranks, and of nodes that are one node, into vec."""
        self._buffer.array_w[:] = array[self._local]
        self._scatter.scatter(self._buffer, vec, addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)

    def to_vector(self, array: FloatArray, vec: PETSc.Vec) -> None:
        """vec[number of i] = array[i]; entries that are one unknown must agree."""
        self._buffer.array_w[:] = array[self._local]
        self._scatter.scatter(self._buffer, vec, addv=PETSc.InsertMode.INSERT, mode=PETSc.ScatterMode.REVERSE)

    def destroy(self) -> None:
        self._scatter.destroy()
        self._buffer.destroy()


def build_layout(
    comm: MPI.Intracomm,
    keys: Ints,
    active: Flags,
    fixed: Flags | None = None,
    order: tuple[int, ...] | None = None,
) -> Layout:
    """Number the unknowns.

    keys:   (nodes,) global key of each local node; equal keys are one node
    active: (nodes, fields) true where a cell of the field's phase, owned by this rank, touches the node
    fixed:  (nodes, fields) true where a value is prescribed (seen by any rank)
    order:  in which a rank numbers its fields, all of them (default: as they come)

    A key's home rank collects what all ranks know of it, appoints an owner (the lowest rank with an active entry) and
    later tells everybody the owner's numbers. Work and memory are those of the rank's own nodes.
    """
    fields = active.shape[1]
    fixed = np.zeros_like(active) if fixed is None else fixed
    unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    flags = np.zeros((len(unique), 2 * fields), dtype=np.int64)
    np.maximum.at(flags, inverse, np.hstack([active, fixed]).astype(np.int64))
    top = int(comm.allreduce(int(unique[-1]) + 1 if len(unique) else 0, op=MPI.MAX))
    home = unique * comm.size // max(top, 1)

    asked, source, sent = exchange(comm, home, np.column_stack([unique, flags]))
    known, where = np.unique(asked[:, 0], return_inverse=True)
    union = np.zeros((len(known), 2 * fields), dtype=np.int64)
    np.maximum.at(union, where, asked[:, 1:])
    owner = np.full(len(known), comm.size, dtype=np.int64)
    touches = asked[:, 1 : 1 + fields].any(axis=1)
    np.minimum.at(owner, where[touches], source[touches])
    answer, _, _ = exchange(comm, source, np.column_stack([owner[where], union[where]]))
    reply = np.empty_like(answer)
    reply[sent] = answer  # answers come back sorted by home rank, as the questions went out

    mine = np.flatnonzero(reply[:, 0] == comm.rank)
    mine = mine[np.argsort(first[mine], kind="stable")]  # keep the mesh's locality
    unknown = (reply[:, 1 : 1 + fields] > 0) & (reply[:, 1 + fields :] == 0)
    sizes = unknown[mine].sum(axis=0).astype(np.int64)
    offset = int(comm.scan(int(sizes.sum()))) - int(sizes.sum())
    check_index(int(comm.allreduce(int(sizes.sum()))), "unknowns")
    numbers = np.full((len(unique), fields), -1, dtype=np.int64)
    start = offset
    order_of_fields = order or tuple(range(fields))
    for field in order_of_fields:
        rows = mine[unknown[mine, field]]
        numbers[rows, field] = start + np.arange(len(rows))
        start += len(rows)

    told, _, _ = exchange(comm, home[mine], np.column_stack([unique[mine], numbers[mine]]))
    table = np.full((len(known), fields), -1, dtype=np.int64)
    table[np.searchsorted(known, told[:, 0])] = told[:, 1:]
    answer, _, _ = exchange(comm, source, table[where])
    numbers[sent] = answer
    return Layout(comm, numbers[inverse], sizes, offset, order_of_fields)
