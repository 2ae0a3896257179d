// Linear systems with `width` matrices at once that share one symmetric sparsity pattern.
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
using Mask = Eigen::Array<bool, width, 1>;

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

  /// Mean number of entries that a step of the elimination changes in a row, its cost over the factors' size.
  double front() const
  {
    double size = 0.0, work = 0.0;
    for (std::size_t k = 0; k < upper.size(); ++k)
      size += double(upper[k].size()), work += double(upper[k].size()) * double(upper[k].size());
    return work / std::max(1.0, size);
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

inline double reciprocal(double x) { return 1.0 / x; }
inline Pack reciprocal(const Pack& x) { return x.inverse(); }
inline void set_zero(double& x) { x = 0.0; }
inline void set_zero(Pack& x) { x.setZero(); }

/// Factors of one matrix (Entry = double) or of `width` matrices (Pack). There is no pivoting: the matrices are those of
/// diffusion with a reaction, whose symmetric part is positive definite for all but very long steps.
template <typename Entry>
class Factors
{
public:
  explicit Factors(const Pattern& pattern) : _pattern(pattern) {}

  /// Row by row: a row is reduced by all earlier rows that it has an entry for. value(e): entry e of the pattern.
  template <typename Values>
  void compute(const Values& value)
  {
    const Rows &entries = _pattern.entries, &upper = _pattern.upper, &lower = _pattern.lower;
    Entry zero;
    set_zero(zero);
    _lower.resize(lower.column.size(), zero), _upper.resize(upper.column.size(), zero);
    _inverse.resize(entries.size(), zero);
    _row.assign(entries.size(), zero);
    for (std::size_t i = 0; i < entries.size(); ++i)
    {
      for (std::size_t e = entries.start[i]; e < entries.start[i + 1]; ++e)
        _row[std::size_t(entries.column[e])] = value(e);
      for (std::size_t e = lower.start[i]; e < lower.start[i + 1]; ++e)
      {
        const auto k = std::size_t(lower.column[e]);
        const Entry factor = _row[k] * _inverse[k];
        _lower[e] = factor;
        _row[k] = zero;
        for (std::size_t u = upper.start[k]; u < upper.start[k + 1]; ++u)
          _row[std::size_t(upper.column[u])] -= factor * _upper[u];
      }
      _inverse[i] = reciprocal(_row[i]);
      _row[i] = zero;
      for (std::size_t u = upper.start[i]; u < upper.start[i + 1]; ++u)
      {
        _upper[u] = _row[std::size_t(upper.column[u])];
        _row[std::size_t(upper.column[u])] = zero;
      }
    }
  }

  void solve_in_place(Field& x) const
  {
    const Rows &lower = _pattern.lower, &upper = _pattern.upper;
    for (std::size_t i = 0; i < lower.size(); ++i)
    {
      Pack sum = x.col(Eigen::Index(i));
      for (std::size_t e = lower.start[i]; e < lower.start[i + 1]; ++e)
        sum -= _lower[e] * x.col(lower.column[e]);
      x.col(Eigen::Index(i)) = sum;
    }
    for (std::size_t i = upper.size(); i-- > 0;)
    {
      Pack sum = x.col(Eigen::Index(i));
      for (std::size_t e = upper.start[i]; e < upper.start[i + 1]; ++e)
        sum -= _upper[e] * x.col(upper.column[e]);
      x.col(Eigen::Index(i)) = sum * _inverse[i];
    }
  }

  bool empty() const { return _inverse.empty(); }

private:
  const Pattern& _pattern;
  std::vector<Entry> _lower, _upper, _inverse, _row;
};

/// Solves `width` systems at once: by factors of each matrix or, where these would be dear, by GMRES with the factors
/// of the mean of the matrices, which serve as long as they are good.
class BatchSolver
{
public:
  explicit BatchSolver(const Pattern& pattern)
      : _pattern(pattern), _own(pattern), _shared(pattern), _iterative(pattern.front() > largest_front)
  {
  }

  /// The matrices from here on; `values` must stay as they are.
  void set(const Field& values)
  {
    _values = &values;
    if (not _iterative)
      _own.compute([&](std::size_t e) { return Pack(values.col(Eigen::Index(e))); });
    else if (_shared.empty() or _stale)
      share();
  }

  /// x = A^-1 b; NaN in problems that are not solved.
  void solve(const Field& b, Field& x)
  {
    if (not _iterative)
      return refine(b, x);
    for (int attempt = 0; attempt < 2; ++attempt)
    {
      const Mask left = gmres(b, x);
      if (not left.any())
        return;
      if (attempt == 0)
        share();
      else
        x = left.replicate(1, x.cols()).select(std::numeric_limits<double>::quiet_NaN(), x);
    }
  }

private:
  static constexpr double largest_front = 64.0; // GMRES pays beyond
  static constexpr int most = 60;               // iterations of GMRES
  static constexpr int many = 15;               // after which the shared factors are made anew

  void share()
  {
    // problems that have failed have no part in the mean
    const Mask good = _values->rowwise().sum().isFinite();
    const double count = std::max(1.0, double(good.count()));
    _shared.compute([&](std::size_t e)
                    { return good.select(Pack(_values->col(Eigen::Index(e))), 0.0).sum() / count; });
    _stale = false;
  }

  void refine(const Field& b, Field& x)
  {
    constexpr int refinements = 3;
    constexpr double rounding = 1e-13, useless = 1e-6; // backward error
    x = b;
    _own.solve_in_place(x);
    for (int i = 0;; ++i)
    {
      const Pack error = backward_error(b, x);
      if (i == refinements or (error <= rounding or error.isNaN()).all())
      {
        const Mask good = error <= useless;
        x = good.replicate(1, x.cols()).select(x, std::numeric_limits<double>::quiet_NaN());
        return;
      }
      _own.solve_in_place(_residual);
      x += _residual;
    }
  }

  /// Largest residual b - A x, which is kept, over the largest sum of its terms' sizes.
  Pack backward_error(const Field& b, const Field& x)
  {
    _residual = b;
    Pack largest = b.abs().rowwise().maxCoeff();
    const Rows& entries = _pattern.entries;
    for (std::size_t row = 0; row < entries.size(); ++row)
    {
      Pack sum = Pack::Zero(), size = Pack::Zero();
      for (std::size_t e = entries.start[row]; e < entries.start[row + 1]; ++e)
      {
        const Pack term = _values->col(Eigen::Index(e)) * x.col(entries.column[e]);
        sum += term, size += term.abs();
      }
      _residual.col(Eigen::Index(row)) -= sum;
      largest = largest.max(size);
    }
    constexpr double tiny = std::numeric_limits<double>::min(); // b = 0 has x = 0
    return _residual.abs().rowwise().maxCoeff() / (largest + tiny);
  }

  void multiply(const Field& x, Field& y) const
  {
    y.resize(width, x.cols());
    const Rows& entries = _pattern.entries;
    for (std::size_t row = 0; row < entries.size(); ++row)
    {
      Pack sum = Pack::Zero();
      for (std::size_t e = entries.start[row]; e < entries.start[row + 1]; ++e)
        sum += _values->col(Eigen::Index(e)) * x.col(entries.column[e]);
      y.col(Eigen::Index(row)) = sum;
    }
  }

  /// GMRES, preconditioned from the right, for all problems side by side; true for those that did not converge.
  Mask gmres(const Field& b, Field& x)
  {
    constexpr double accuracy = 1e-12;
    const auto dot = [](const Field& u, const Field& v) { return Pack((u * v).rowwise().sum()); };
    const auto over = [](const Pack& a, const Pack& d) { return Pack((d != 0.0).select(a / d, Pack(Pack::Zero()))); };
    const Mask sane = b.rowwise().sum().isFinite() and _values->rowwise().sum().isFinite();
    const Pack size = sane.select(Pack(dot(b, b).sqrt()), Pack(Pack::Zero()));
    std::vector<Field> basis{Field(width, b.cols())};
    for (Eigen::Index k = 0; k < b.cols(); ++k)
      basis[0].col(k) = sane.select(over(b.col(k), size), Pack(Pack::Zero()));
    std::vector<std::vector<Pack>> R; // columns of the triangular matrix
    std::vector<Pack> cosine, sine, g{size};
    Field w, z;
    int m = 0;
    for (; m < most and (g[std::size_t(m)].abs() > accuracy * size).any(); ++m)
    {
      z = basis[std::size_t(m)];
      _shared.solve_in_place(z);
      multiply(z, w);
      for (Eigen::Index k = 0; k < w.cols(); ++k)
        w.col(k) = sane.select(w.col(k), Pack(Pack::Zero()));
      std::vector<Pack> h;
      for (const Field& v : basis)
      {
        h.push_back(dot(v, w));
        for (Eigen::Index k = 0; k < w.cols(); ++k)
          w.col(k) -= h.back() * v.col(k);
      }
      const Pack next = dot(w, w).sqrt();
      for (std::size_t i = 0; i < std::size_t(m); ++i)
      {
        const Pack upper = cosine[i] * h[i] + sine[i] * h[i + 1];
        h[i + 1] = cosine[i] * h[i + 1] - sine[i] * h[i];
        h[i] = upper;
      }
      const Pack length = (h.back().square() + next.square()).sqrt();
      cosine.push_back(over(h.back(), length)), sine.push_back(over(next, length));
      h.back() = length;
      R.push_back(h);
      g.push_back(-sine.back() * g.back());
      g[std::size_t(m)] *= cosine.back();
      for (Eigen::Index k = 0; k < w.cols(); ++k)
        w.col(k) = over(w.col(k), next);
      basis.push_back(w);
    }
    _stale = m > many;
    std::vector<Pack> y(std::size_t(m), Pack::Zero());
    for (std::size_t i = std::size_t(m); i-- > 0;)
    {
      Pack sum = g[i];
      for (std::size_t j = i + 1; j < std::size_t(m); ++j)
        sum -= R[j][i] * y[j];
      y[i] = over(sum, R[i][i]);
    }
    x.setZero(width, b.cols());
    for (std::size_t i = 0; i < std::size_t(m); ++i)
      for (Eigen::Index k = 0; k < x.cols(); ++k)
        x.col(k) += y[i] * basis[i].col(k);
    _shared.solve_in_place(x);
    constexpr double enough = 1e-8; // rounding may keep it from `accuracy`
    return not(sane and g.back().abs() <= enough * size);
  }

  const Pattern& _pattern;
  Factors<Pack> _own;
  Factors<double> _shared;
  bool _iterative, _stale = false;
  const Field* _values = nullptr;
  Field _residual;
};
} // namespace dfx_homog
