// First coarse grid of the voxel solver: a sparse matrix in single precision on one rank.
#pragma once

#include "voxel_aggregate.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace dfx_homog
{
/// Which global unknowns a rank sees: `before` and `after` are those of the neighbouring slabs.
///
/// Vectors on this level hold [before | own | after].
struct CoarseRange
{
  std::int32_t first, rows;
  std::int32_t before_first, before;
  std::int32_t after_first, after;

  std::int32_t size() const { return before + rows + after; }
  std::int32_t local(std::int32_t column) const
  {
    if (column >= first and column < first + rows)
      return column - first + before;
    if (column >= before_first and column < before_first + before)
      return column - before_first;
    return column - after_first + before + rows;
  }
};

class CoarseLevel
{
public:
  /// columns are global. Throws std::invalid_argument if one of them is not in the range.
  CoarseLevel(const CoarseRange& range, std::span<const std::int32_t> offsets, std::span<const std::int32_t> columns,
              std::span<const double> values);

  const CoarseRange& range() const { return _range; }
  /// max_i sum_j |a_ij|/a_ii: a bound of the eigenvalues of D^-1 A
  double spectrum() const;
  /// out = b D^-1 r (own unknowns)
  void jacobi(const double* r, double b, double* out) const;
  /// out = c u + a out + b D^-1 (r - A u) (own unknowns); with a = 0 `out` may hold anything
  void smooth(const double* u, const double* r, double c, double a, double b, double* out) const;
  /// coarse[aggregate[i]] += (r - A u)_i
  void restrict_residual(const double* u, const double* r, const std::int32_t* aggregate, double* coarse) const;
  /// Components of unknowns with the same `block` and couplings of `strong` times the larger diagonal or more.
  std::int32_t aggregate(const std::int32_t* block, double strong, std::int32_t* out) const;
  /// P^T A P; `aggregate` holds global numbers for [before | own | after], own ones from `first` on.
  CoarseMatrix coarse(const std::int32_t* aggregate, std::int32_t first, std::int32_t rows) const;

private:
  double residual(const double* u, double r, std::int32_t i) const
  {
    double sum = r;
    for (std::int32_t e = _offsets[i]; e < _offsets[i + 1]; ++e)
      sum -= double(_values[e]) * u[_columns[e]];
    return sum;
  }

  CoarseRange _range;
  std::vector<std::int32_t> _offsets, _columns;
  std::vector<float> _values, _inverse;
};
} // namespace dfx_homog
