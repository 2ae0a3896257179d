#include "components.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <array>
#include <limits>
#include <stdexcept>
#include <utility>

namespace dfx_homog
{
namespace
{
/// Union-find over clusters under construction; the root of a tree is its lowest number.
class Forest
{
public:
  std::int32_t add()
  {
    if (_parent.size() >= std::size_t(std::numeric_limits<std::int32_t>::max()))
      throw std::length_error("more clusters in one slab than 32-bit numbers; use more ranks");
    const auto number = static_cast<std::int32_t>(_parent.size());
    _parent.push_back(number);
    return number;
  }

  std::int32_t join(std::int32_t a, std::int32_t b)
  {
    a = root(a);
    b = root(b);
    if (a < b)
      return _parent[std::size_t(b)] = a;
    return _parent[std::size_t(a)] = b;
  }

  /// Replaces every number by that of its tree, trees counted in the order of their roots; returns how many.
  std::int32_t flatten()
  {
    std::int32_t trees = 0;
    for (std::size_t i = 0; i < _parent.size(); ++i)
    {
      const auto parent = std::size_t(_parent[i]); // at most i, and final if lower
      _parent[i] = parent == i ? trees++ : _parent[parent];
    }
    return trees;
  }

  std::int32_t operator[](std::int32_t i) const { return _parent[std::size_t(i)]; }

private:
  std::int32_t root(std::int32_t i)
  {
    while (_parent[std::size_t(i)] != i)
      i = _parent[std::size_t(i)] = _parent[std::size_t(_parent[std::size_t(i)])];
    return i;
  }
  std::vector<std::int32_t> _parent;
};
} // namespace

BoxClusters label_box(std::span<const std::uint8_t> code, std::span<const std::uint8_t, 256> conducts, std::size_t n1,
                      std::size_t n2, std::size_t n3, std::int32_t* label)
{
  Forest forest;
  for (std::size_t i = 0, v = 0; i < n1; ++i)
    for (std::size_t j = 0; j < n2; ++j)
    {
      // The rows before this one in the plane before (up) and in this plane (back).
      const std::int32_t* up = i > 0 ? label + v - n2 * n3 : nullptr;
      const std::int32_t* back = j > 0 ? label + v - n3 : nullptr;
      std::int32_t* row = label + v;
      std::int32_t current = -1, was_up = -1, was_back = -1; // of the voxel before in the row
      for (std::size_t k = 0; k < n3; ++k, ++v)
      {
        const std::int32_t above = up ? up[k] : -1, behind = back ? back[k] : -1;
        if (not conducts[code[v]])
          current = -1;
        else
        {
          const bool run = current >= 0;
          // Inside a run, a neighbour whose own run goes on has been joined already.
          if (above >= 0 and not(run and was_up >= 0))
            current = current >= 0 ? forest.join(current, above) : above;
          if (behind >= 0 and not(run and was_back >= 0))
            current = current >= 0 ? forest.join(current, behind) : behind;
          if (current < 0)
            current = forest.add();
        }
        row[k] = current;
        was_up = above;
        was_back = behind;
      }
    }

  const auto count = std::size_t(forest.flatten());
  BoxClusters found{std::vector<std::int64_t>(count, 0), std::vector<std::int64_t>(count, 0)};
  for (std::size_t v = 0; v < n1 * n2 * n3; ++v)
    if (label[v] >= 0)
    {
      label[v] = forest[label[v]];
      const auto cluster = std::size_t(label[v]);
      if (found.sizes[cluster]++ == 0)
        found.first[cluster] = static_cast<std::int64_t>(v);
    }
  return found;
}

WeightedComponents weighted_components(std::size_t n, std::span<const std::int64_t> a,
                                       std::span<const std::int64_t> b, std::span<const std::int64_t> shift,
                                       std::size_t dim)
{
  std::vector<std::size_t> parent(n), path;
  std::vector<std::int64_t> offset(n * dim, 0); // from the parent
  for (std::size_t i = 0; i < n; ++i)
    parent[i] = i;

  const auto add = [&](std::size_t to, std::size_t from)
  {
    for (std::size_t d = 0; d < dim; ++d)
      offset[to * dim + d] += offset[from * dim + d];
  };
  // The root of i, to which everything on the way is attached directly.
  const auto root = [&](std::size_t i)
  {
    path.clear();
    for (; parent[i] != i; i = parent[i])
      path.push_back(i);
    // the last one of the path hangs on the root already
    for (std::size_t k = path.size(); k-- > 1;)
    {
      add(path[k - 1], path[k]);
      parent[path[k - 1]] = i;
    }
    return i;
  };

  std::vector<std::size_t> closing;
  for (std::size_t e = 0; e < a.size(); ++e)
  {
    if (a[e] < 0 or b[e] < 0 or std::size_t(a[e]) >= n or std::size_t(b[e]) >= n)
      throw std::invalid_argument("a and b must hold nodes 0 .. n-1");
    const auto tail = std::size_t(a[e]), head = std::size_t(b[e]);
    const std::size_t r = root(tail), s = root(head);
    if (r == s)
    {
      closing.push_back(e);
      continue;
    }
    const std::size_t low = r < s ? r : s, high = r < s ? s : r;
    const std::int64_t sign = high == s ? 1 : -1; // offset(s) - offset(r) = advance of the link
    for (std::size_t d = 0; d < dim; ++d)
      offset[high * dim + d] = sign * ((r == tail ? 0 : offset[tail * dim + d]) + shift[e * dim + d]
                                       - (s == head ? 0 : offset[head * dim + d]));
    parent[high] = low;
  }

  WeightedComponents found;
  found.label.resize(n);
  std::int64_t components = 0;
  for (std::size_t i = 0; i < n; ++i) // a root is the first node of its component
  {
    const std::size_t r = root(i);
    found.label[i] = r == i ? components++ : found.label[r];
  }
  for (const std::size_t e : closing)
  {
    const auto tail = std::size_t(a[e]), head = std::size_t(b[e]);
    bool zero = true;
    std::array<std::int64_t, 3> advance{};
    for (std::size_t d = 0; d < dim; ++d)
    {
      advance[d] = offset[tail * dim + d] + shift[e * dim + d] - offset[head * dim + d];
      zero = zero and advance[d] == 0;
    }
    if (zero)
      continue;
    found.winding_label.push_back(found.label[tail]);
    found.winding.insert(found.winding.end(), advance.begin(), advance.begin() + std::ptrdiff_t(dim));
  }
  found.offset = std::move(offset);
  return found;
}
} // namespace dfx_homog

namespace nb = nanobind;
using namespace dfx_homog;

namespace
{
template <typename T, int dim>
using In = nb::ndarray<const T, nb::ndim<dim>, nb::c_contig, nb::device::cpu>;

/// A numpy array that takes over the values.
nb::object array(std::vector<std::int64_t> values, std::initializer_list<std::size_t> shape)
{
  auto* kept = new std::vector<std::int64_t>(std::move(values));
  const nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<std::int64_t>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, std::int64_t>(kept->data(), shape, owner));
}

nb::tuple bound_label_box(const In<std::uint8_t, 3>& codes, const In<std::uint8_t, 1>& conducts,
                          nb::ndarray<std::int32_t, nb::ndim<3>, nb::c_contig, nb::device::cpu> labels)
{
  const std::size_t n1 = codes.shape(0), n2 = codes.shape(1), n3 = codes.shape(2);
  if (conducts.size() != 256)
    throw std::invalid_argument("conducts must have 256 values");
  if (labels.shape(0) != n1 or labels.shape(1) != n2 or labels.shape(2) != n3)
    throw std::invalid_argument("labels must have the shape of codes");
  BoxClusters found;
  {
    const nb::gil_scoped_release release;
    found = label_box({codes.data(), codes.size()}, std::span<const std::uint8_t, 256>(conducts.data(), 256), n1, n2,
                      n3, labels.data());
  }
  const std::size_t count = found.sizes.size();
  return nb::make_tuple(array(std::move(found.sizes), {count}), array(std::move(found.first), {count}));
}

nb::tuple bound_weighted_components(std::size_t n, const In<std::int64_t, 1>& a, const In<std::int64_t, 1>& b,
                                    const In<std::int64_t, 2>& shift, std::size_t dim)
{
  if (dim < 1 or dim > 3)
    throw std::invalid_argument("dim must be 1, 2 or 3");
  if (a.size() != b.size() or shift.shape(0) != a.size() or shift.shape(1) != dim)
    throw std::invalid_argument("a (m,), b (m,) and shift (m, dim) do not fit together");
  WeightedComponents found;
  {
    const nb::gil_scoped_release release;
    found = weighted_components(n, {a.data(), a.size()}, {b.data(), b.size()}, {shift.data(), shift.size()}, dim);
  }
  const std::size_t windings = found.winding_label.size();
  return nb::make_tuple(array(std::move(found.label), {n}), array(std::move(found.offset), {n, dim}),
                        nb::make_tuple(array(std::move(found.winding_label), {windings}),
                                       array(std::move(found.winding), {windings, dim})));
}
} // namespace

void bind_components(nb::module_& m)
{
  m.def("label_box", &bound_label_box, nb::arg("codes"), nb::arg("conducts"), nb::arg("labels").noconvert());
  m.def("weighted_components", &bound_weighted_components, nb::arg("n"), nb::arg("a"), nb::arg("b"), nb::arg("shift"),
        nb::arg("dim"));
}
