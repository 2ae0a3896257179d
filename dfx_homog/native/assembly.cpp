// Assembly of FFCx kernels on one blocked space into a sparse matrix whose pattern holds no structural zeros.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

namespace nb = nanobind;

namespace
{
template <typename T, int dim>
using In = nb::ndarray<const T, nb::ndim<dim>, nb::c_contig, nb::device::cpu>;
template <typename T, int dim>
using Out = nb::ndarray<T, nb::ndim<dim>, nb::c_contig, nb::device::cpu>;

/// UFCx tabulate_tensor. Since FFCx 0.10 there is a seventh argument, which the older ones do not look at.
using Kernel = void (*)(double*, const double*, const double*, const double*, const int*, const std::uint8_t*, void*);

/// A finite-element function as coefficient: values, and the dofs of each cell.
struct Coefficient
{
  In<double, 1> values;
  In<std::int32_t, 2> dofs;
  std::size_t block;
  std::size_t size() const { return dofs.shape(1) * block; }
};

/// One integral: kernel and the entities it runs over; facet < 0 in volumes.
struct Part
{
  Kernel kernel;
  In<std::int32_t, 1> cells;
  In<std::int32_t, 1> facets; // of the same length, or empty
  int facet(std::size_t e) const { return facets.shape(0) ? facets.data()[e] : 0; }
};

template <typename T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> owned(std::vector<T>&& data)
{
  auto* kept = new std::vector<T>(std::move(data));
  const nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::ndarray<nb::numpy, T, nb::ndim<1>>(kept->data(), {kept->size()}, owner);
}

/// The integrals of a linear or bilinear form on one blocked space of `fields` scalar fields.
class FormLoop
{
public:
  FormLoop(const In<double, 2>& x, const In<std::int32_t, 2>& x_dofs, const In<std::int32_t, 2>& dofs, int fields)
      : _x(x), _x_dofs(x_dofs), _dofs(dofs), _fields(fields), _size(dofs.shape(1) * fields)
  {
    if (x.shape(1) != 3)
      throw std::invalid_argument("x must have the shape (nodes, 3)");
  }

  void add_coefficient(const In<double, 1>& values, const In<std::int32_t, 2>& dofs, std::size_t block)
  {
    _coefficients.push_back({values, dofs, block});
    _width += _coefficients.back().size();
  }

  void add_part(std::uintptr_t kernel, const In<std::int32_t, 1>& cells, const In<std::int32_t, 1>& facets)
  {
    if (facets.shape(0) and facets.shape(0) != cells.shape(0))
      throw std::invalid_argument("one facet a cell");
    // an address that cffi has handed to Python as a number: NOLINTNEXTLINE(performance-no-int-to-ptr)
    _parts.push_back({reinterpret_cast<Kernel>(kernel), cells, facets});
  }

  void add_vector(const In<double, 1>& constants, const Out<double, 1>& out) const
  {
    std::vector<double> b(_size);
    each(constants, b,
         [&](std::size_t, int, const std::int32_t* nodes)
         {
           for (std::size_t i = 0; i < _size; ++i)
             out.data()[std::size_t(nodes[i / _fields]) * _fields + i % _fields] += b[i];
         });
  }

  /// Find which entries of the element matrices may differ from zero, from `samples` random states.
  /// all: take every entry that couples a field that occurs as row to one that occurs as column.
  void probe(std::size_t constants, int samples, bool all)
  {
    std::mt19937 generator(1);
    _masks.assign(_parts.size(), {});
    for (std::size_t p = 0; p < _parts.size(); ++p)
    {
      const auto& facets = _parts[p].facets;
      const int* const end = facets.data() + facets.shape(0);
      const int count = facets.shape(0) ? 1 + *std::max_element(facets.data(), end) : 1;
      for (int facet = 0; facet < count; ++facet)
        _masks[p].push_back(mask(_parts[p], facet, constants, samples, all, generator));
    }
  }

  /// The columns of each row, from the masks of `probe` and from a list of further ones in compressed rows.
  /// row_group, column_group: of each unknown; entries are stored by group of rows, then of columns, then by row.
  void find_pattern(const In<std::int32_t, 1>& unknown, const In<std::int32_t, 1>& row_group,
                    const In<std::int32_t, 1>& column_group, std::size_t column_groups,
                    const In<std::int64_t, 1>& more_begin, const In<std::int32_t, 1>& more)
  {
    _groups = column_groups;
    _unknown.assign(unknown.data(), unknown.data() + unknown.shape(0));
    _rows = row_group.shape(0);
    _group.assign(column_group.data(), column_group.data() + _rows);
    sparsity({row_group.data(), row_group.data() + _rows}, more_begin.data(), more.data());
  }

  /// Where entries of the pattern are stored.
  auto positions(const In<std::int32_t, 1>& row, const In<std::int32_t, 1>& column) const
  {
    std::vector<std::int64_t> out(row.shape(0));
    for (std::size_t k = 0; k < out.size(); ++k)
      out[k] = std::int64_t(position(row.data()[k], column.data()[k]));
    return owned(std::move(out));
  }

  std::int64_t entries() const { return std::int64_t(_columns.size()); }
  auto columns() { return owned(std::vector<std::int32_t>(_columns)); }
  auto starts() { return owned(std::vector<std::int64_t>(_start)); }
  auto counts() { return owned(std::vector<std::int32_t>(_count)); }

  /// Add all element matrices to the values of the pattern. Returns how many entries outside of it are not zero.
  std::int64_t add_matrix(const In<double, 1>& constants, const Out<double, 1>& out) const
  {
    if (std::int64_t(out.shape(0)) != entries())
      throw std::invalid_argument("one value for each entry of the pattern");
    return _short.empty() ? add_entries(_long, constants, out.data()) : add_entries(_short, constants, out.data());
  }

private:
  template <typename Offset>
  std::int64_t add_entries(const std::vector<Offset>& offsets, const In<double, 1>& constants, double* values) const
  {
    std::vector<double> A(_size * _size);
    std::vector<std::int32_t> unknown(_size), group(_size);
    std::int64_t outside = 0;
    const Offset* offset = offsets.data();
    each(constants, A,
         [&](std::size_t part, int facet, const std::int32_t* nodes)
         {
           const Mask& mask = _masks[part][facet];
           for (std::size_t i = 0; i < _size; ++i)
           {
             unknown[i] = _unknown[std::size_t(nodes[i / _fields]) * _fields + i % _fields];
             group[i] = unknown[i] < 0 ? -1 : _group[unknown[i]];
           }
           for (std::size_t i = 0; i < _size; ++i)
           {
             const std::int32_t row = unknown[i];
             if (row < 0)
               continue;
             const double* const a = A.data() + i * _size;
             const std::int64_t* const start = _start.data() + std::size_t(row) * _groups;
             for (std::size_t k = mask.begin[i]; k < mask.begin[i + 1]; ++k)
               if (const std::size_t j = mask.column[k]; group[j] >= 0)
                 values[start[group[j]] + *offset++] += a[j];
             const std::uint8_t* const in = mask.in.data() + i * _size;
             int found = 0;
             for (std::size_t j = 0; j < _size; ++j)
               found += (a[j] != 0) & !in[j];
             if (found)
               for (std::size_t j = 0; j < _size; ++j)
                 outside += a[j] != 0 and !in[j] and unknown[j] >= 0;
           }
         });
    return outside;
  }

  struct Mask
  {
    std::vector<std::uint8_t> in;     // (size, size)
    std::vector<std::size_t> begin;   // of each row in column
    std::vector<std::size_t> column;
  };

  std::size_t position(std::int32_t row, std::int32_t column) const
  {
    const std::size_t slot = std::size_t(row) * _groups + _group[column];
    const std::int32_t* const first = _columns.data() + _start[slot];
    const std::int32_t* low = first;
    for (std::int32_t n = _count[slot]; n > 1;)
    {
      const std::int32_t half = n / 2;
      low += low[half] <= column ? half : 0;
      n -= half;
    }
    return std::size_t(_start[slot] + (low - first));
  }

  template <typename Use>
  void each(const In<double, 1>& constants, std::vector<double>& element, const Use& use) const
  {
    const std::size_t nx = _x_dofs.shape(1), nodes = _dofs.shape(1);
    std::vector<double> w(_width), x(3 * nx);
    for (std::size_t p = 0; p < _parts.size(); ++p)
    {
      const Part& part = _parts[p];
      for (std::size_t e = 0; e < part.cells.shape(0); ++e)
      {
        const std::size_t cell = part.cells.data()[e];
        for (std::size_t k = 0; k < nx; ++k)
          std::copy_n(_x.data() + 3 * std::size_t(_x_dofs.data()[cell * nx + k]), 3, x.data() + 3 * k);
        double* to = w.data();
        for (const Coefficient& c : _coefficients)
          for (std::size_t k = 0; k < c.dofs.shape(1); ++k, to += c.block)
            std::copy_n(c.values.data() + c.block * std::size_t(c.dofs.data()[cell * c.dofs.shape(1) + k]), c.block,
                        to);
        std::fill(element.begin(), element.end(), 0.0);
        const int facet = part.facet(e);
        const std::uint8_t turn = 0;
        part.kernel(element.data(), w.data(), constants.data(), x.data(), &facet, &turn, nullptr);
        use(p, facet, _dofs.data() + cell * nodes);
      }
    }
  }

  Mask mask(const Part& part, int facet, std::size_t constants, int samples, bool all, std::mt19937& generator) const
  {
    std::uniform_real_distribution<double> uniform(0.1, 0.9);
    const std::size_t nx = _x_dofs.shape(1), cells = part.cells.shape(0);
    std::vector<double> A(_size * _size), w(_width), c(std::max<std::size_t>(constants, 1)), x(3 * nx);
    std::vector<std::uint8_t> finite(_size * _size, 0);
    Mask out;
    out.in.assign(_size * _size, 0);
    for (int sample = 0; sample < samples and cells; ++sample)
    {
      // coefficients well below the constants as well as above: powers of c_max - c_s need the former
      const double scale = uniform(generator);
      std::generate(w.begin(), w.end(), [&] { return scale * uniform(generator); });
      std::generate(c.begin(), c.end(), [&] { return uniform(generator); });
      // cells of the mesh, moved a little: regular shapes may have entries that vanish by symmetry
      const std::size_t cell = part.cells.data()[std::size_t(sample) * cells / samples];
      double size = 0;
      for (std::size_t k = 0; k < 3 * nx; ++k)
      {
        x[k] = _x.data()[3 * std::size_t(_x_dofs.data()[cell * nx + k / 3]) + k % 3];
        size = std::max(size, std::abs(x[k] - x[k % 3]));
      }
      for (double& value : x)
        value += 0.02 * size * (uniform(generator) - 0.5);
      std::fill(A.begin(), A.end(), 0.0);
      const std::uint8_t turn = 0;
      part.kernel(A.data(), w.data(), c.data(), x.data(), &facet, &turn, nullptr);
      for (std::size_t k = 0; k < A.size(); ++k)
        if (std::isfinite(A[k]))
        {
          out.in[k] |= A[k] != 0;
          finite[k] = 1;
        }
    }
    for (std::size_t k = 0; k < A.size(); ++k)
      out.in[k] |= !finite[k]; // never defined: nothing is known of it
    if (all)
      spread(out.in);
    for (std::size_t i = 0; i < _size; ++i)
    {
      out.begin.push_back(out.column.size());
      for (std::size_t j = 0; j < _size; ++j)
        if (out.in[i * _size + j])
          out.column.push_back(j);
    }
    out.begin.push_back(out.column.size());
    return out;
  }

  void spread(std::vector<std::uint8_t>& in) const
  {
    std::vector<std::uint8_t> row(_fields, 0), column(_fields, 0);
    for (std::size_t k = 0; k < in.size(); ++k)
      if (in[k])
        row[k / _size % _fields] = column[k % _size % _fields] = 1;
    for (std::size_t k = 0; k < in.size(); ++k)
      in[k] = row[k / _size % _fields] & column[k % _size % _fields];
  }

  void sparsity(const std::vector<std::int32_t>& row_group, const std::int64_t* more_begin, const std::int32_t* more)
  {
    const std::size_t nodes = _dofs.shape(1);
    // element rows that contribute to each row: (part, entity, position in the element)
    struct Place
    {
      std::int32_t part, entity, position;
    };
    std::vector<std::int64_t> begin(_rows + 1, 0);
    const auto places = [&](const auto& use)
    {
      for (std::size_t p = 0; p < _parts.size(); ++p)
        for (std::size_t e = 0; e < _parts[p].cells.shape(0); ++e)
        {
          const std::int32_t* const cell = _dofs.data() + nodes * std::size_t(_parts[p].cells.data()[e]);
          const Mask& mask = _masks[p][_parts[p].facet(e)];
          for (std::size_t i = 0; i < _size; ++i)
            if (const auto row = _unknown[std::size_t(cell[i / _fields]) * _fields + i % _fields];
                row >= 0 and mask.begin[i + 1] > mask.begin[i])
              use(row, Place{std::int32_t(p), std::int32_t(e), std::int32_t(i)});
        }
    };
    places([&](std::int32_t row, const Place&) { ++begin[row + 1]; });
    for (std::size_t r = 0; r < _rows; ++r)
      begin[r + 1] += begin[r];
    std::vector<Place> list(begin[_rows]);
    {
      std::vector<std::int64_t> next(begin.begin(), begin.end() - 1);
      places([&](std::int32_t row, const Place& place) { list[next[row]++] = place; });
    }
    const std::int32_t last = row_group.empty() ? -1 : *std::max_element(row_group.begin(), row_group.end());
    _start.assign(_rows * _groups, 0);
    _count.assign(_rows * _groups, 0);
    std::vector<std::int32_t> seen(_rows, -1), found;
    const auto columns_of = [&](std::int32_t row)
    {
      found.clear();
      const auto take = [&](std::int32_t column)
      {
        if (column >= 0 and seen[column] != row)
        {
          seen[column] = row;
          found.push_back(column);
        }
      };
      for (std::int64_t k = more_begin[row]; k < more_begin[row + 1]; ++k)
        take(more[k]);
      for (std::int64_t k = begin[row]; k < begin[row + 1]; ++k)
      {
        const Place& place = list[k];
        const Part& part = _parts[place.part];
        const Mask& mask = _masks[place.part][part.facet(place.entity)];
        const std::int32_t* const cell = _dofs.data() + nodes * std::size_t(part.cells.data()[place.entity]);
        for (std::size_t m = mask.begin[place.position]; m < mask.begin[place.position + 1]; ++m)
        {
          const std::size_t j = mask.column[m];
          take(_unknown[std::size_t(cell[j / _fields]) * _fields + j % _fields]);
        }
      }
    };
    for (std::size_t r = 0; r < _rows; ++r)
    {
      columns_of(std::int32_t(r));
      for (const auto column : found)
        ++_count[r * _groups + _group[column]];
    }
    std::int64_t total = 0;
    for (std::int32_t I = 0; I <= last; ++I)
      for (std::size_t J = 0; J < _groups; ++J)
        for (std::size_t r = 0; r < _rows; ++r)
          if (row_group[r] == I)
          {
            _start[r * _groups + J] = total;
            total += _count[r * _groups + J];
          }
    _columns.assign(total, 0);
    std::fill(seen.begin(), seen.end(), -1);
    std::vector<std::int64_t> next(_groups);
    for (std::size_t r = 0; r < _rows; ++r)
    {
      columns_of(std::int32_t(r));
      std::sort(found.begin(), found.end());
      for (std::size_t J = 0; J < _groups; ++J)
        next[J] = _start[r * _groups + J];
      for (const auto column : found)
        _columns[next[_group[column]]++] = column;
    }
    _short.clear();
    _long.clear();
    if (_count.empty() or *std::max_element(_count.begin(), _count.end()) <= 256)
      remember(_short);
    else
      remember(_long);
  }

  /// Where each entry of each element matrix goes, counted from the start of its row in its group, in the order in
  /// which `add_matrix` meets them: a byte an entry, where searching takes as long as the kernels do.
  template <typename Offset>
  void remember(std::vector<Offset>& offsets)
  {
    const auto entries = [&](const auto& use)
    {
      for (std::size_t p = 0; p < _parts.size(); ++p)
        for (std::size_t e = 0; e < _parts[p].cells.shape(0); ++e)
        {
          const std::int32_t* const cell = _dofs.data() + _dofs.shape(1) * std::size_t(_parts[p].cells.data()[e]);
          const auto unknown = [&](std::size_t i)
          { return _unknown[std::size_t(cell[i / _fields]) * _fields + i % _fields]; };
          const Mask& mask = _masks[p][_parts[p].facet(e)];
          for (std::size_t i = 0; i < _size; ++i)
            if (const auto row = unknown(i); row >= 0)
              for (std::size_t k = mask.begin[i]; k < mask.begin[i + 1]; ++k)
                if (const auto column = unknown(mask.column[k]); column >= 0)
                  use(row, column);
        }
    };
    std::size_t count = 0;
    entries([&](std::int32_t, std::int32_t) { ++count; });
    offsets.reserve(count);
    entries([&](std::int32_t row, std::int32_t column)
            { offsets.push_back(Offset(position(row, column) - _start[std::size_t(row) * _groups + _group[column]])); });
  }

  In<double, 2> _x;
  In<std::int32_t, 2> _x_dofs, _dofs;
  std::size_t _fields, _size, _width = 0, _rows = 0, _groups = 0;
  std::vector<Coefficient> _coefficients;
  std::vector<Part> _parts;
  std::vector<std::vector<Mask>> _masks; // of each part, for each local facet
  std::vector<std::int32_t> _unknown, _group, _columns, _count;
  std::vector<std::int64_t> _start;
  std::vector<std::uint8_t> _short;  // offsets of entries in their rows, if all fit
  std::vector<std::uint16_t> _long; // else
};
} // namespace

void bind_assembly(nb::module_& m)
{
  nb::class_<FormLoop>(m, "FormLoop")
      .def(nb::init<const In<double, 2>&, const In<std::int32_t, 2>&, const In<std::int32_t, 2>&, int>(),
           nb::arg("x"), nb::arg("x_dofs"), nb::arg("dofs"), nb::arg("fields"))
      .def("add_coefficient", &FormLoop::add_coefficient, nb::arg("values"), nb::arg("dofs"), nb::arg("block"))
      .def("add_part", &FormLoop::add_part, nb::arg("kernel"), nb::arg("cells"), nb::arg("facets"))
      .def("add_vector", &FormLoop::add_vector, nb::arg("constants"), nb::arg("out"))
      .def("probe", &FormLoop::probe, nb::arg("constants"), nb::arg("samples"), nb::arg("all"))
      .def("find_pattern", &FormLoop::find_pattern, nb::arg("unknown"), nb::arg("row_group"),
           nb::arg("column_group"), nb::arg("column_groups"), nb::arg("more_begin"), nb::arg("more"))
      .def("add_matrix", &FormLoop::add_matrix, nb::arg("constants"), nb::arg("out"))
      .def("positions", &FormLoop::positions, nb::arg("row"), nb::arg("column"), nb::rv_policy::move)
      .def_prop_ro("entries", &FormLoop::entries)
      .def_prop_ro("columns", &FormLoop::columns, nb::rv_policy::move)
      .def_prop_ro("starts", &FormLoop::starts, nb::rv_policy::move)
      .def_prop_ro("counts", &FormLoop::counts, nb::rv_policy::move);
}
