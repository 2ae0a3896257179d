#include "voxel_coarse.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace dfx_homog
{
CoarseLevel::CoarseLevel(const CoarseRange& range, std::span<const std::int32_t> offsets,
                         std::span<const std::int32_t> columns, std::span<const double> values)
    : _range(range), _offsets(offsets.begin(), offsets.end()), _values(values.begin(), values.end())
{
  if (offsets.size() != std::size_t(range.rows) + 1 or columns.size() != values.size())
    throw std::invalid_argument("offsets, columns and values do not fit together");
  _columns.reserve(columns.size());
  for (const std::int32_t column : columns)
  {
    const std::int32_t local = range.local(column);
    if (local < 0 or local >= range.size())
      throw std::invalid_argument("a column is neither here nor on a neighbouring rank");
    _columns.push_back(local);
  }
  _inverse.resize(range.rows);
  for (std::int32_t i = 0; i < range.rows; ++i)
    for (std::int32_t e = _offsets[i]; e < _offsets[i + 1]; ++e)
      if (_columns[e] == range.before + i)
        _inverse[i] = 1 / _values[e];
}

double CoarseLevel::spectrum() const
{
  double most = 0;
  for (std::int32_t i = 0; i < _range.rows; ++i)
  {
    double sum = 0;
    for (std::int32_t e = _offsets[i]; e < _offsets[i + 1]; ++e)
      sum += std::abs(_values[e]);
    most = std::max(most, sum * _inverse[i]);
  }
  return most;
}

void CoarseLevel::jacobi(const double* r, double b, double* out) const
{
  for (std::int32_t i = 0; i < _range.rows; ++i)
    out[_range.before + i] = b * _inverse[i] * r[i];
}

void CoarseLevel::smooth(const double* u, const double* r, double c, double a, double b, double* out) const
{
  const double* own = u + _range.before;
  double* to = out + _range.before;
  for (std::int32_t i = 0; i < _range.rows; ++i)
  {
    const double step = c * own[i] + b * _inverse[i] * residual(u, r[i], i);
    to[i] = a == 0 ? step : step + a * to[i];
  }
}

void CoarseLevel::restrict_residual(const double* u, const double* r, const std::int32_t* aggregate,
                                    double* coarse) const
{
  for (std::int32_t i = 0; i < _range.rows; ++i)
    coarse[aggregate[i]] += residual(u, r[i], i);
}

std::int32_t CoarseLevel::aggregate(const std::int32_t* block, double strong, std::int32_t* out) const
{
  std::vector<std::int32_t> parent(_range.rows);
  std::iota(parent.begin(), parent.end(), 0);
  const auto root = [&](std::int32_t i)
  {
    while (parent[i] != i)
      i = parent[i] = parent[parent[i]];
    return i;
  };
  for (std::int32_t i = 0; i < _range.rows; ++i)
    for (std::int32_t e = _offsets[i]; e < _offsets[i + 1]; ++e)
    {
      const std::int32_t j = _columns[e] - _range.before;
      if (j < 0 or j >= i or block[j] != block[i])
        continue;
      // |a_ij| >= strong max(a_ii, a_jj); positive couplings (q1) do not connect
      if (-_values[e] * std::min(_inverse[i], _inverse[j]) < strong)
        continue;
      const std::int32_t p = root(i), q = root(j);
      parent[std::max(p, q)] = std::min(p, q);
    }
  std::int32_t count = 0;
  for (std::int32_t i = 0; i < _range.rows; ++i) // the root is the smallest of its component
    out[i] = root(i) == i ? count++ : out[root(i)];
  return count;
}

CoarseMatrix CoarseLevel::coarse(const std::int32_t* aggregate, std::int32_t first, std::int32_t rows) const
{
  const std::int32_t n = _range.rows;
  std::vector<std::int32_t> begin(rows + 1, 0), member(n);
  const std::int32_t* own = aggregate + _range.before;
  for (std::int32_t i = 0; i < n; ++i)
    ++begin[own[i] - first + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<std::int32_t> next(begin.begin(), begin.end() - 1);
  for (std::int32_t i = 0; i < n; ++i)
    member[next[own[i] - first]++] = i;

  CoarseMatrix matrix;
  matrix.offsets.reserve(rows + 1);
  matrix.offsets.push_back(0);
  std::vector<std::pair<std::int32_t, double>> entries;
  for (std::int32_t row = 0; row < rows; ++row)
  {
    entries.clear();
    for (std::int32_t m = begin[row]; m < begin[row + 1]; ++m)
      for (std::int32_t e = _offsets[member[m]]; e < _offsets[member[m] + 1]; ++e)
        entries.emplace_back(aggregate[_columns[e]], _values[e]);
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::size_t e = 0; e < entries.size(); ++e)
    {
      if (e > 0 and entries[e].first == entries[e - 1].first)
        matrix.values.back() += entries[e].second;
      else
      {
        matrix.columns.push_back(entries[e].first);
        matrix.values.push_back(entries[e].second);
      }
    }
    matrix.offsets.push_back(static_cast<std::int32_t>(matrix.columns.size()));
  }
  return matrix;
}
} // namespace dfx_homog
