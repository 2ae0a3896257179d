// Coarse unknowns of the voxel solver: aggregation that respects connectivity, and its Galerkin matrix.
#pragma once

#include "voxel.hpp"

#include <cstdint>
#include <vector>

namespace dfx_homog
{
/// Compressed rows with global columns.
struct CoarseMatrix
{
  std::vector<std::int32_t> offsets, columns;
  std::vector<double> values;
};

/// Number the connected components of unknowns within every block of 2 x 2 x 2.
///
/// Unknowns are connected if they are coupled inside the block by a conductivity not smaller than `strong` times the
/// largest one next to either. `aggregate` (padded) gets 0, 1, … or -1 where nothing conducts; returns their number.
/// inverse: q1, inverse diagonal (0 at fixed nodes); not used by fv.
std::int32_t aggregate(const VoxelShape&, const float* k, const float* inverse, double strong, std::int32_t* aggregate);

/// P^T A P with piecewise constant P; `aggregate` holds global numbers (ghosts too, -1 for none), own ones from
/// `first` on, `rows` of them, ascending by blocks. The diagonal is multiplied by 1 + shift.
CoarseMatrix coarse_matrix(const VoxelShape&, const float* k, const std::int32_t* aggregate,
                           std::int32_t first, std::int32_t rows, double shift);
} // namespace dfx_homog
