// LU factorisation of `width` matrices at once that share one symmetric sparsity pattern.
#pragma once

#include "expression.hpp"

#include <Eigen/OrderingMethods>
#include <Eigen/SparseCore>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace dfx_homog
{
/// Values of `width` independent problems (rows) at all nodes or matrix entries (columns).
using Field = Eigen::Array<double, width, Eigen::Dynamic>;

/// Compressed rows of a pattern: columns of row i are column[start[i]] .. column[start[i + 1] - 1], ascending.
struct Rows
{
  std::vector<std::size_t> start{0};
  std::vector<std::int32_t> column;

  std::size_t size() const { return start.size() - 1; }
  std::span<const std::int32_t> operator[](std::size_t i) const
  {
    return std::span(column).subspan(start[i], start[i + 1] - start[i]);
  }
  template <typename Range>
  void append(const Range& row)
  {
    column.insert(column.end(), row.begin(), row.end());
    start.push_back(column.size());
  }
  /// Where row i has column j, which it must have.
  std::int32_t position(std::int32_t i, std::int32_t j) const
  {
    const auto row = (*this)[std::size_t(i)];
    return std::int32_t(start[std::size_t(i)]) + std::int32_t(std::ranges::lower_bound(row, j) - row.begin());
  }
};

/// Which nodes of a mesh share a cell, nodes numbered for little fill, and what the factors of such matrices look like.
class Pattern
{
public:
  /// cells: (nc, k) nodes 0 .. n - 1
  template <typename Cells>
  Pattern(const Cells& cells, std::int32_t n) : number(std::size_t(n))
  {
    std::vector<Eigen::Triplet<double>> pairs;
    pairs.reserve(std::size_t(cells.size() * cells.cols()));
    for (Eigen::Index cell = 0; cell < cells.rows(); ++cell)
      for (Eigen::Index i = 0; i < cells.cols(); ++i)
        for (Eigen::Index j = 0; j < cells.cols(); ++j)
          pairs.emplace_back(cells(cell, i), cells(cell, j), 1.0);
    Eigen::SparseMatrix<double> graph(n, n);
    graph.setFromTriplets(pairs.begin(), pairs.end());
    Eigen::PermutationMatrix<Eigen::Dynamic, Eigen::Dynamic, int> order;
    Eigen::AMDOrdering<int>()(graph, order);
    for (std::int32_t k = 0; k < n; ++k)
      number[std::size_t(order.indices()[k])] = k;
    std::vector<std::int32_t> row;
    for (std::int32_t k = 0; k < n; ++k)
    {
      row.clear();
      for (Eigen::SparseMatrix<double>::InnerIterator entry(graph, order.indices()[k]); entry; ++entry)
        row.push_back(number[std::size_t(entry.row())]);
      std::ranges::sort(row);
      entries.append(row);
    }
    factorise();
  }

  std::vector<std::int32_t> number; // of every node in `entries` and in the factors
  Rows entries;                     // of the matrices
  Rows upper, lower;                // of the factors, without their diagonals

private:
  /// Columns right of the diagonal of row k: its own, and those of the rows whose first such column is k.
  void factorise()
  {
    const std::size_t n = entries.size();
    std::vector<std::vector<std::int32_t>> children(n), left(n);
    std::vector<std::int32_t> row, seen(n, -1);
    for (std::size_t k = 0; k < n; ++k)
    {
      const auto mark = std::int32_t(k);
      row.clear();
      const auto add = [&](std::int32_t j)
      {
        if (j > mark and seen[std::size_t(j)] != mark)
          seen[std::size_t(j)] = mark, row.push_back(j);
      };
      std::ranges::for_each(entries[k], add);
      for (const std::int32_t child : children[k])
        std::ranges::for_each(upper[std::size_t(child)], add);
      std::ranges::sort(row);
      upper.append(row);
      if (not row.empty())
        children[std::size_t(row[0])].push_back(mark);
      for (const std::int32_t j : row)
        left[std::size_t(j)].push_back(mark);
    }
    for (const auto& k : left)
      lower.append(k);
  }
};

/// The factors. There is no pivoting: the matrices are those of diffusion with a reaction, whose symmetric part is
/// positive definite for all but very long steps. Every solution is checked, and refined where rounding calls for it.
class BatchLU
{
public:
  explicit BatchLU(const Pattern& pattern)
      : _pattern(pattern), _lower(width, pattern.lower.column.size()), _upper(width, pattern.upper.column.size()),
        _inverse(width, pattern.entries.size()), _row(Field::Zero(width, pattern.entries.size()))
  {
  }

  /// Row by row: a row is reduced by all earlier rows that it has an entry for.
  void factorise(const Field& values)
  {
    const auto& [number, entries, upper, lower] = _pattern;
    for (std::size_t i = 0; i < entries.size(); ++i)
    {
      for (std::size_t e = entries.start[i]; e < entries.start[i + 1]; ++e)
        _row.col(entries.column[e]) = values.col(Eigen::Index(e));
      for (std::size_t e = lower.start[i]; e < lower.start[i + 1]; ++e)
      {
        const auto k = std::size_t(lower.column[e]);
        const Pack factor = _row.col(Eigen::Index(k)) * _inverse.col(Eigen::Index(k));
        _lower.col(Eigen::Index(e)) = factor;
        _row.col(Eigen::Index(k)).setZero();
        for (std::size_t u = upper.start[k]; u < upper.start[k + 1]; ++u)
          _row.col(upper.column[u]) -= factor * _upper.col(Eigen::Index(u));
      }
      _inverse.col(Eigen::Index(i)) = _row.col(Eigen::Index(i)).inverse();
      _row.col(Eigen::Index(i)).setZero();
      for (std::size_t u = upper.start[i]; u < upper.start[i + 1]; ++u)
      {
        _upper.col(Eigen::Index(u)) = _row.col(upper.column[u]);
        _row.col(upper.column[u]).setZero();
      }
    }
  }

  /// x = A^-1 b for the `values` that were factorised; NaN in problems for which the factors are of no use.
  void solve(const Field& values, const Field& b, Field& x)
  {
    constexpr int refinements = 3;
    constexpr double rounding = 1e-13, useless = 1e-6; // backward error
    x = b;
    substitute(x);
    for (int i = 0;; ++i)
    {
      const Pack error = backward_error(values, b, x);
      if (i == refinements or (error <= rounding or error.isNaN()).all())
      {
        for (int lane = 0; lane < width; ++lane)
          if (not(error[lane] <= useless))
            x.row(lane).setConstant(std::numeric_limits<double>::quiet_NaN());
        return;
      }
      substitute(_residual);
      x += _residual;
    }
  }

private:
  /// Largest residual b - A x, which is kept, over the largest sum of its terms' sizes.
  Pack backward_error(const Field& values, const Field& b, const Field& x)
  {
    _residual = b;
    Pack largest = b.abs().rowwise().maxCoeff();
    const Rows& entries = _pattern.entries;
    for (std::size_t row = 0; row < entries.size(); ++row)
    {
      Pack sum = Pack::Zero(), size = Pack::Zero();
      for (std::size_t e = entries.start[row]; e < entries.start[row + 1]; ++e)
      {
        const Pack term = values.col(Eigen::Index(e)) * x.col(entries.column[e]);
        sum += term, size += term.abs();
      }
      _residual.col(Eigen::Index(row)) -= sum;
      largest = largest.max(size);
    }
    constexpr double tiny = std::numeric_limits<double>::min(); // b = 0 has x = 0
    return _residual.abs().rowwise().maxCoeff() / (largest + tiny);
  }

  void substitute(Field& x) const
  {
    const Rows &lower = _pattern.lower, &upper = _pattern.upper;
    for (std::size_t i = 0; i < lower.size(); ++i)
      for (std::size_t e = lower.start[i]; e < lower.start[i + 1]; ++e)
        x.col(Eigen::Index(i)) -= _lower.col(Eigen::Index(e)) * x.col(lower.column[e]);
    for (std::size_t i = upper.size(); i-- > 0;)
    {
      Pack sum = x.col(Eigen::Index(i));
      for (std::size_t e = upper.start[i]; e < upper.start[i + 1]; ++e)
        sum -= _upper.col(Eigen::Index(e)) * x.col(upper.column[e]);
      x.col(Eigen::Index(i)) = sum * _inverse.col(Eigen::Index(i));
    }
  }

  const Pattern& _pattern;
  Field _lower, _upper, _inverse, _row, _residual;
};
} // namespace dfx_homog
