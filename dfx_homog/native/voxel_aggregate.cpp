#include "voxel_aggregate.hpp"

#include <algorithm>
#include <utility>

namespace dfx_homog
{
namespace
{
using Index = std::ptrdiff_t;

double face(const VoxelShape& s, const float* k, Index i, Index j)
{
  const double a = k[i], b = k[j];
  return s.scheme == Scheme::product ? a * b : a * b > 0 ? 2 * a * b / (a + b) : 0.0;
}

/// Largest conductivity next to node i (q1), of the eight elements around it.
double around(const VoxelShape& s, const float* k, Index i)
{
  double most = 0;
  for (int corner = 0; corner < 8; ++corner)
    most = std::max<double>(most, k[i - (corner >> 2) * s.plane() - (corner >> 1 & 1) * s.row() - (corner & 1)]);
  return most;
}

/// Largest conductivity of the elements that nodes i and i + (differences `bits`) share (q1).
double shared(const VoxelShape& s, const float* k, Index i, int bits)
{
  double most = 0;
  for (int corner = 0; corner < 8; ++corner)
    if (!(corner & bits)) // along an axis in which they differ only the element between them
      most = std::max<double>(most,
                              k[i - (corner >> 2) * s.plane() - (corner >> 1 & 1) * s.row() - (corner & 1)]);
  return most;
}

/// Couplings inside one block of up to eight unknowns: local components by union of labels.
struct Block
{
  int label[8];
  void join(int a, int b)
  {
    const int from = std::max(label[a], label[b]), to = std::min(label[a], label[b]);
    for (int& l : label)
      if (l == from)
        l = to;
  }
};

bool fv_active(const VoxelShape& s, const float* k, Index i)
{
  if (!(k[i] > 0))
    return false;
  const Index step[3] = {s.plane(), s.row(), 1};
  for (int a = 0; a < 3; ++a)
    if (s.w[a] > 0 and (k[i - step[a]] > 0 or k[i + step[a]] > 0))
      return true;
  return false;
}

void connect(const VoxelShape& s, const float* k, Index origin, const bool* active, double strong, Block& block)
{
  const Index step[8] = {0,         1,             s.row(),             s.row() + 1,
                         s.plane(), s.plane() + 1, s.plane() + s.row(), s.plane() + s.row() + 1};
  const bool q1 = s.scheme == Scheme::q1;
  double scale[8];
  for (int n = 0; n < 8; ++n)
    if (active[n])
      scale[n] = q1 ? around(s, k, origin + step[n]) : double(k[origin + step[n]]);
  for (int a = 0; a < 8; ++a)
    for (int bits = 1; bits < 8; ++bits)
    {
      const int b = a | bits;
      if ((a & bits) or not active[a] or not active[b])
        continue;
      if (!q1 and bits != 1 and bits != 2 and bits != 4)
        continue;
      const double coupling = q1 ? shared(s, k, origin + step[a], bits)
                                 : std::min<double>(k[origin + step[a]], k[origin + step[b]]);
      if (coupling > 0 and coupling >= strong * std::max(scale[a], scale[b]))
        block.join(a, b);
    }
}
} // namespace

std::int32_t aggregate(const VoxelShape& s, const float* k, const float* inverse, double strong,
                       std::int32_t* aggregate)
{
  std::int32_t count = 0;
  const bool q1 = s.scheme == Scheme::q1;
  for (Index z = 0; z < s.m[0]; z += 2)
    for (Index y = 0; y < s.m[1]; y += 2)
      for (Index x = 0; x < s.m[2]; x += 2)
      {
        bool active[8], any = false;
        Index at[8];
        Block block{};
        for (int n = 0; n < 8; ++n)
        {
          const Index nz = z + (n >> 2), ny = y + (n >> 1 & 1), nx = x + (n & 1);
          const bool inside = nz < s.m[0] and ny < s.m[1] and nx < s.m[2];
          at[n] = inside ? s.at(nz, ny, nx) : -1;
          active[n] = inside and (q1 ? inverse[at[n]] > 0 : fv_active(s, k, at[n]));
          any = any or active[n];
          block.label[n] = n;
          if (inside)
            aggregate[at[n]] = -1;
        }
        if (!any)
          continue;
        connect(s, k, at[0], active, strong, block);
        std::int32_t number[8];
        std::fill(number, number + 8, -1);
        for (int n = 0; n < 8; ++n)
          if (active[n])
          {
            std::int32_t& id = number[block.label[n]];
            if (id < 0)
              id = count++;
            aggregate[at[n]] = id;
          }
      }
  return count;
}

namespace
{
/// The rows of one block, collected entry by entry.
class Rows
{
public:
  void open(std::int32_t row)
  {
    while (_count <= row - _first)
      _entries[_count++].clear();
  }
  void start(std::int32_t first) { _first = first, _count = 0; }
  void add(std::int32_t row, std::int32_t column, double value)
  {
    auto& entries = _entries[row - _first];
    for (auto& [c, v] : entries)
      if (c == column)
      {
        v += value;
        return;
      }
    entries.emplace_back(column, value);
  }
  void close(double shift, CoarseMatrix& matrix)
  {
    for (int r = 0; r < _count; ++r)
    {
      auto& entries = _entries[r];
      std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      for (const auto& [column, value] : entries)
      {
        matrix.columns.push_back(column);
        // a row without neighbours belongs to a cluster inside one block: there is nothing to correct
        const bool diagonal = column == _first + r;
        matrix.values.push_back(!diagonal ? value : entries.size() == 1 and value <= 0 ? 1.0 : value * (1 + shift));
      }
      matrix.offsets.push_back(static_cast<std::int32_t>(matrix.columns.size()));
    }
    _count = 0;
  }

private:
  std::vector<std::pair<std::int32_t, double>> _entries[8];
  std::int32_t _first = 0;
  int _count = 0;
};

void fv_entries(const VoxelShape& s, const float* k, const std::int32_t* aggregate, Index i, Rows& rows)
{
  const Index step[3] = {s.plane(), s.row(), 1};
  const std::int32_t row = aggregate[i];
  for (int a = 0; a < 3; ++a)
    for (const Index j : {i - step[a], i + step[a]})
    {
      const double t = s.w[a] * face(s, k, i, j);
      if (!(t > 0) or aggregate[j] == row)
        continue;
      rows.add(row, row, t); // a fixed face has no unknown beyond it
      if (aggregate[j] >= 0)
        rows.add(row, aggregate[j], -t);
    }
}

/// The rows of one block from the 4 x 4 x 4 nodes in and around it: sums per node first, then per aggregate.
void q1_block(const VoxelShape& s, const float* k, const std::int32_t* aggregate, const double (&K)[8],
              const Index (&at)[8], Rows& rows)
{
  const Index plane = s.plane(), line = s.row();
  double sums[8][64]; // per row, by node z, y, x = -1 .. 2 of the block
  std::int32_t ids[8];
  int count = 0;
  for (int n = 0; n < 8; ++n)
  {
    if (at[n] < 0 or aggregate[at[n]] < 0)
      continue;
    const std::int32_t row = aggregate[at[n]];
    int r = 0;
    while (r < count and ids[r] != row)
      ++r;
    if (r == count)
    {
      ids[count++] = row;
      std::fill(sums[r], sums[r] + 64, 0.0);
    }
    for (int e = 0; e < 8; ++e) // the node is corner e of the element
    {
      const Index origin = at[n] - (e >> 2) * plane - (e >> 1 & 1) * line - (e & 1);
      const double ke = k[origin];
      if (!(ke > 0))
        continue;
      const Index z = (n >> 2) - (e >> 2) + 1, y = (n >> 1 & 1) - (e >> 1 & 1) + 1, x = (n & 1) - (e & 1) + 1;
      double* sum = sums[r] + 16 * z + 4 * y + x;
      for (Index m = 0; m < 8; ++m)
        sum[(m >> 2) * 16 + (m >> 1 & 1) * 4 + (m & 1)] += ke * K[m ^ e];
    }
  }
  const Index corner = at[0] - plane - line - 1;
  for (int r = 0; r < count; ++r)
    for (int w = 0; w < 64; ++w)
      if (sums[r][w] != 0)
        if (const std::int32_t other = aggregate[corner + (w >> 4) * plane + (w >> 2 & 3) * line + (w & 3)]; other >= 0)
          rows.add(ids[r], other, sums[r][w]);
}
} // namespace

CoarseMatrix coarse_matrix(const VoxelShape& s, const float* k, const std::int32_t* aggregate,
                           std::int32_t first, std::int32_t count, double shift)
{
  CoarseMatrix matrix;
  matrix.offsets.reserve(count + 1);
  matrix.offsets.push_back(0);
  matrix.columns.reserve(std::size_t(count) * (s.scheme == Scheme::q1 ? 20 : 7));
  matrix.values.reserve(matrix.columns.capacity());
  double K[8]; // entry of K_e between two corners that differ in the axes of the bits
  for (int d = 0; d < 8; ++d)
  {
    K[d] = 0;
    for (int m = 0; m < 8; ++m)
      K[d] += (__builtin_popcount(m & d) % 2 ? -1 : 1) * s.c[m];
  }
  Rows rows;
  std::int32_t next = first;
  for (Index z = 0; z < s.m[0]; z += 2)
    for (Index y = 0; y < s.m[1]; y += 2)
      for (Index x = 0; x < s.m[2]; x += 2)
      {
        rows.start(next);
        Index at[8];
        for (int n = 0; n < 8; ++n)
        {
          const Index nz = z + (n >> 2), ny = y + (n >> 1 & 1), nx = x + (n & 1);
          at[n] = nz < s.m[0] and ny < s.m[1] and nx < s.m[2] ? s.at(nz, ny, nx) : -1;
          const std::int32_t row = at[n] < 0 ? -1 : aggregate[at[n]];
          if (row < 0)
            continue;
          rows.open(row);
          next = std::max(next, row + 1);
          rows.add(row, row, 0.0);
          if (s.scheme != Scheme::q1)
            fv_entries(s, k, aggregate, at[n], rows);
        }
        if (s.scheme == Scheme::q1)
          q1_block(s, k, aggregate, K, at, rows);
        rows.close(shift, matrix);
      }
  return matrix;
}
} // namespace dfx_homog
