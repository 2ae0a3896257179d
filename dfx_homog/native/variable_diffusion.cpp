#include "variable_diffusion.hpp"

#include <limits>
#include <stdexcept>

namespace dfx_homog
{
namespace
{
constexpr int max_dim = 3;

Pack chosen(const Mask& mask, const Pack& yes, const Pack& no) { return mask.select(yes, no); }
Pack infinite() { return Pack::Constant(std::numeric_limits<double>::infinity()); }
} // namespace

/// State and scratch of `width` points; nodes in the pattern's numbers.
struct VariableDiffusion::Batch
{
  Batch(const VariableDiffusion& v, double step)
      : a0(step), n(v.nodes()), d(width, n), c0(width, n), c(width, n), F(width, n), dx(width, n), from(width, n),
        surface_c(width, v._surface.quadrature_points), slope(width, v._surface.quadrature_points),
        values(width, v._mass.size()), solver(v._pattern)
  {
    if (v._diffusivity.depends_on_c)
    {
      const Eigen::Index points = v._solid.weights.size();
      D.resize(width, points), D_c.resize(width, points), D_T.resize(width, points);
      gradient.resize(width, points * v._solid.dim);
    }
    else
      D.resize(width, 1), D_c.resize(width, 1), D_T.resize(width, 1);
  }

  double a0;
  Eigen::Index n;
  Field d, c0, c, F, dx, from;
  Field surface_c, slope; // at the quadrature points of Gamma: c, and weight times the flux's slope in c
  Field D, D_c, D_T;      // at those of the solid, or one for all
  Field gradient;         // there: sqrt(weight) L^T grad c
  Field values;           // of the Jacobian
  BatchSolver solver;
  MesoPoint<Pack> point{};
  std::unique_ptr<Law<Pack>> law;
  Pack norm;
  Mask current = Mask::Constant(false); // the factors belong to d, but for an update below the tolerance
  std::array<Failure, width> failed{};
  std::array<int, width> iterations{};
};

VariableDiffusion::VariableDiffusion(const ParticleKernel& kernel, Solid solid, std::span<const std::int32_t> trace,
                                     std::int32_t nodes, Diffusivity diffusivity)
    : _surface(kernel.surface()), _kinetics(kernel.kinetics()), _solid(std::move(solid)),
      _diffusivity(std::move(diffusivity)), _pattern(_solid.cells, nodes)
{
  const auto in_range = [nodes](std::int32_t i) { return i >= 0 and i < nodes; };
  if (_solid.shape.cols() != _solid.cells.cols() or _solid.weights.rows() != _solid.cells.rows()
      or _solid.weights.cols() != _solid.shape.rows() or _solid.slopes.rows() != _solid.cells.rows()
      or _solid.slopes.cols() != _solid.shape.size() * _solid.dim or _solid.dim < 1 or _solid.dim > max_dim)
    throw std::invalid_argument("cells (nc, k), shape (nq, k), weights (nc, nq), slopes (nc, nq, k, d) do not fit together");
  if (trace.size() != std::size_t(_surface.trace_nodes) or not std::ranges::all_of(trace, in_range))
    throw std::invalid_argument("trace must hold one of the solid's nodes for every node of Gamma");
  const auto number = [this](std::int32_t i) { return _pattern.number[std::size_t(i)]; };
  _solid.cells = _solid.cells.unaryExpr(number).eval();
  _facets = _surface.facets.unaryExpr([&](std::int32_t i) { return number(trace[std::size_t(i)]); });
  const auto positions = [this](const auto& cells, std::vector<std::int32_t>& out)
  {
    out.reserve(std::size_t(cells.size() * cells.cols()));
    for (Eigen::Index cell = 0; cell < cells.rows(); ++cell)
      for (Eigen::Index i = 0; i < cells.cols(); ++i)
        for (Eigen::Index j = 0; j < cells.cols(); ++j)
          out.push_back(_pattern.entries.position(cells(cell, i), cells(cell, j)));
  };
  positions(_solid.cells, _cell_position);
  positions(_facets, _facet_position);
  assemble_constant();
}

/// M and, for D = 1, K.
void VariableDiffusion::assemble_constant()
{
  const Eigen::Index k = _solid.cells.cols(), nq = _solid.shape.rows(), dim = _solid.dim;
  _mass = _stiffness = Eigen::ArrayXd::Zero(Eigen::Index(_pattern.entries.column.size()));
  _volume = Eigen::ArrayXd::Zero(nodes());
  const std::int32_t* position = _cell_position.data();
  for (Eigen::Index cell = 0; cell < _solid.cells.rows(); ++cell, position += k * k)
    for (Eigen::Index q = 0; q < nq; ++q)
    {
      const double weight = _solid.weights(cell, q);
      const Eigen::Map<const RowMatrix> slopes(_solid.slopes.row(cell).data() + q * k * dim, k, dim);
      for (Eigen::Index i = 0; i < k; ++i)
      {
        _volume[_solid.cells(cell, i)] += weight * _solid.shape(q, i);
        for (Eigen::Index j = 0; j < k; ++j)
        {
          _mass[position[i * k + j]] += weight * _solid.shape(q, i) * _solid.shape(q, j);
          _stiffness[position[i * k + j]] += slopes.row(i).dot(slopes.row(j));
        }
      }
    }
}

/// D and its derivatives in c (not c/c_max) and T.
Dual VariableDiffusion::diffusivity(const Pack& c, const Pack& T) const
{
  Dual D = _diffusivity.reference(c / _kinetics.c_max, T);
  D.dc /= _kinetics.c_max;
  if (_diffusivity.E == 0.0)
    return D;
  const Pack absolute = 1.0 + _kinetics.gamma * T;
  const Pack factor = (_diffusivity.E * _kinetics.gamma * T / absolute).exp();
  D.dT = factor * (D.dT + D.value * _diffusivity.E * _kinetics.gamma / absolute.square());
  D.value *= factor;
  D.dc *= factor;
  return D;
}

/// D and the gradient of c at the solid's quadrature points; adds int D A grad c . grad phi_i to F.
void VariableDiffusion::diffuse(Batch& b) const
{
  if (not _diffusivity.depends_on_c)
  {
    const Dual D = diffusivity(Pack::Constant(0.5 * _kinetics.c_max), b.point.T);
    b.D = D.value, b.D_c.setZero(), b.D_T = D.dT;
    const Rows& entries = _pattern.entries;
    for (std::size_t i = 0; i < entries.size(); ++i)
    {
      Pack sum = Pack::Zero();
      for (std::size_t e = entries.start[i]; e < entries.start[i + 1]; ++e)
        sum += _stiffness[Eigen::Index(e)] * b.c.col(entries.column[e]);
      b.F.col(Eigen::Index(i)) += D.value * sum;
    }
    return;
  }
  const Eigen::Index k = _solid.cells.cols(), nq = _solid.shape.rows(), dim = _solid.dim;
  Eigen::Index at = 0;
  for (Eigen::Index cell = 0; cell < _solid.cells.rows(); ++cell)
  {
    const double* slope = _solid.slopes.row(cell).data();
    for (Eigen::Index q = 0; q < nq; ++q, ++at, slope += k * dim)
    {
      Pack c = Pack::Zero();
      std::array<Pack, max_dim> s{Pack::Zero(), Pack::Zero(), Pack::Zero()};
      for (Eigen::Index j = 0; j < k; ++j)
      {
        const Pack c_j = b.c.col(_solid.cells(cell, j));
        c += _solid.shape(q, j) * c_j;
        for (Eigen::Index x = 0; x < dim; ++x)
          s[std::size_t(x)] += slope[j * dim + x] * c_j;
      }
      const Dual D = diffusivity(c, b.point.T);
      b.D.col(at) = D.value, b.D_c.col(at) = D.dc, b.D_T.col(at) = D.dT;
      for (Eigen::Index x = 0; x < dim; ++x)
        b.gradient.col(at * dim + x) = s[std::size_t(x)];
      for (Eigen::Index i = 0; i < k; ++i)
      {
        Pack sum = slope[i * dim] * s[0];
        for (Eigen::Index x = 1; x < dim; ++x)
          sum += slope[i * dim + x] * s[std::size_t(x)];
        b.F.col(_solid.cells(cell, i)) += D.value * sum;
      }
    }
  }
}

/// F at b.d, and what the Jacobian needs; true for the points where the kinetics and D are defined.
Mask VariableDiffusion::residual(Batch& b) const
{
  b.c = b.c0 + b.d;
  const Rows& entries = _pattern.entries;
  for (std::size_t i = 0; i < entries.size(); ++i)
  {
    Pack sum = Pack::Zero();
    for (std::size_t e = entries.start[i]; e < entries.start[i + 1]; ++e)
      sum += _mass[Eigen::Index(e)] * b.d.col(entries.column[e]);
    b.F.col(Eigen::Index(i)) = b.a0 * sum;
  }
  diffuse(b);
  Mask good = b.D.rowwise().minCoeff() > 0.0 and b.D.rowwise().sum().isFinite();
  Eigen::Index at = 0;
  for (Eigen::Index f = 0; f < _facets.rows(); ++f)
    for (Eigen::Index q = 0; q < _surface.shape.rows(); ++q, ++at)
    {
      Pack c = Pack::Zero();
      for (Eigen::Index k = 0; k < _facets.cols(); ++k)
        c += _surface.shape(q, k) * b.c.col(_facets(f, k));
      const Mask inside = c > 0.0 and c < _kinetics.c_max;
      good = good and inside;
      b.surface_c.col(at) = inside.select(c, 0.5 * _kinetics.c_max);
      const Flux flux = b.law->flux(b.surface_c.col(at));
      b.slope.col(at) = _surface.weights[at] * flux.j_c;
      for (Eigen::Index k = 0; k < _facets.cols(); ++k)
        b.F.col(_facets(f, k)) += (_surface.weights[at] * _surface.shape(q, k)) * flux.j;
    }
  b.norm = b.F.square().rowwise().sum();
  return good and b.norm.isFinite();
}

/// Adds int D A grad phi_j . grad phi_i + D_c phi_j A grad c . grad phi_i to the Jacobian.
void VariableDiffusion::add_cells(Batch& b) const
{
  const Eigen::Index k = _solid.cells.cols(), nq = _solid.shape.rows(), dim = _solid.dim;
  const std::int32_t* position = _cell_position.data();
  Field local(width, k * k);
  Eigen::Index at = 0;
  for (Eigen::Index cell = 0; cell < _solid.cells.rows(); ++cell, position += k * k)
  {
    const double* slope = _solid.slopes.row(cell).data();
    local.setZero();
    for (Eigen::Index q = 0; q < nq; ++q, ++at, slope += k * dim)
    {
      const Pack D = b.D.col(at), D_c = b.D_c.col(at);
      for (Eigen::Index i = 0; i < k; ++i)
      {
        Pack drift = Pack::Zero();
        for (Eigen::Index x = 0; x < dim; ++x)
          drift += slope[i * dim + x] * b.gradient.col(at * dim + x);
        drift *= D_c;
        for (Eigen::Index j = 0; j < k; ++j)
        {
          double product = 0.0;
          for (Eigen::Index x = 0; x < dim; ++x)
            product += slope[i * dim + x] * slope[j * dim + x];
          local.col(i * k + j) += product * D + _solid.shape(q, j) * drift;
        }
      }
    }
    for (Eigen::Index e = 0; e < k * k; ++e)
      b.values.col(position[e]) += local.col(e);
  }
}

/// The Jacobian where `residual` was last, factorised.
void VariableDiffusion::factorise(Batch& b) const
{
  for (Eigen::Index e = 0; e < b.values.cols(); ++e)
    b.values.col(e).setConstant(b.a0 * _mass[e]);
  if (_diffusivity.depends_on_c)
    add_cells(b);
  else
    for (Eigen::Index e = 0; e < b.values.cols(); ++e)
      b.values.col(e) += _stiffness[e] * b.D.col(0);
  const Eigen::Index k = _facets.cols();
  const std::int32_t* position = _facet_position.data();
  Eigen::Index at = 0;
  for (Eigen::Index f = 0; f < _facets.rows(); ++f, position += k * k)
    for (Eigen::Index q = 0; q < _surface.shape.rows(); ++q, ++at)
      for (Eigen::Index i = 0; i < k; ++i)
        for (Eigen::Index j = 0; j < k; ++j)
          b.values.col(position[i * k + j]) += (_surface.shape(q, i) * _surface.shape(q, j)) * b.slope.col(at);
  b.solver.set(b.values);
}

/// Newton update b.dx, and its size as in `ParticleKernel::update`, the distances to 0 and c_max being those on Gamma.
VariableDiffusion::Update VariableDiffusion::update(Batch& b) const
{
  b.solver.solve(-b.F, b.dx);
  constexpr double rounding = 4.0 * std::numeric_limits<double>::epsilon();
  Pack relative = -infinite(), outward = -infinite();
  Eigen::Index at = 0;
  for (Eigen::Index f = 0; f < _facets.rows(); ++f)
    for (Eigen::Index q = 0; q < _surface.shape.rows(); ++q, ++at)
    {
      Pack dc = Pack::Zero();
      for (Eigen::Index k = 0; k < _facets.cols(); ++k)
        dc += _surface.shape(q, k) * b.dx.col(_facets(f, k));
      const Pack c = b.surface_c.col(at), vacant = _kinetics.c_max - c;
      relative = relative.max((dc.abs() - rounding * c) / c.min(vacant));
      outward = outward.max(dc / (dc < 0.0).select(-c, vacant));
    }
  // max above lets NaN pass
  const Pack absolute = b.dx.abs().rowwise().sum().isFinite().select(
      Pack(b.dx.abs().rowwise().maxCoeff() / _kinetics.c_max), infinite());
  return {absolute, relative, (outward > 0.9).select(Pack(0.9 / outward), Pack(Pack::Ones()))};
}

/// Go along b.dx to smaller residuals, as `ParticleKernel::advance`. True where the whole update was possible, and
/// `failed` is set where none reduces the residual.
Mask VariableDiffusion::advance(Batch& b, const Mask& active, const Update& update) const
{
  constexpr int halvings = 20;
  const Pack norm = b.norm;
  b.from = b.d;
  const Mask shortened = active and update.length < 1.0;
  Mask searching = active, whole = Mask::Constant(false);
  Pack length = update.length;
  for (Eigen::Index i = 0; i < b.n; ++i)
  {
    // on the first try nodes that would leave the range go most of the way to its end, the others all of theirs
    const Pack c = b.c0.col(i) + b.from.col(i), full = c + b.dx.col(i);
    const Mask inside = c > 0.0 and c < _kinetics.c_max;
    const Pack clipped = full.max(0.1 * c).min(0.1 * c + 0.9 * _kinetics.c_max) - b.c0.col(i);
    b.d.col(i) = active.select(chosen(shortened and inside, clipped, b.from.col(i) + b.dx.col(i)), b.from.col(i));
  }
  for (int i = 0; i <= halvings; ++i)
  {
    const Mask defined = residual(b);
    const Mask better = searching and defined and b.norm < norm;
    whole = whole or (better and not shortened and Mask::Constant(i == 0));
    searching = searching and not better;
    if (not searching.any())
      return whole;
    length = (not shortened or Mask::Constant(i > 0)).select(Pack(0.5 * length), length);
    for (Eigen::Index k = 0; k < b.n; ++k)
      b.d.col(k) = chosen(searching, b.from.col(k) + length * b.dx.col(k), b.d.col(k));
  }
  for (Eigen::Index k = 0; k < b.n; ++k)
    b.d.col(k) = chosen(searching, b.from.col(k), b.d.col(k));
  residual(b);
  for (int lane = 0; lane < width; ++lane)
    if (searching[lane])
      b.failed[std::size_t(lane)] = no_descent;
  return whole;
}

/// Bring start values into the domain of the kinetics, node by node.
void VariableDiffusion::make_admissible(Batch& b, const Mask& todo) const
{
  const Mask outside = todo and not residual(b);
  if (not outside.any())
    return;
  const double margin = 1e-3 * _kinetics.c_max;
  for (Eigen::Index k = 0; k < b.n; ++k)
  {
    const Pack c = b.c.col(k).max(margin).min(_kinetics.c_max - margin) - b.c0.col(k);
    b.d.col(k) = chosen(outside, c, b.d.col(k));
  }
}

/// Damped Newton from b.d at the active points. Factors are kept while they reduce the updates of all of them a
/// hundredfold, which changes neither solutions nor derivatives.
void VariableDiffusion::newton(Batch& b, Mask active, double tolerance, int max_iterations) const
{
  constexpr double contraction = 0.01, linear = 1e-6, rounding = 1e-9; // see `ParticleKernel::newton`
  const auto leave = [&](const Mask& some, Failure reason)
  {
    for (int lane = 0; lane < width; ++lane)
      if (some[lane])
        b.failed[std::size_t(lane)] = reason;
    active = active and not some;
  };
  make_admissible(b, active);
  leave(active and not residual(b), no_descent);
  b.current = b.current and not active;
  Pack previous = Pack::Zero(); // size of the last update, if it was made in full; 0 asks for new factors
  for (int i = 0; i < max_iterations and active.any(); ++i)
  {
    Update step{};
    bool fresh = (active and not(previous > 0.0)).any();
    if (not fresh)
    {
      step = update(b);
      fresh = (active and not(step.absolute <= (contraction * previous).max(tolerance))).any();
    }
    if (fresh)
    {
      factorise(b);
      b.current.setConstant(true);
      step = update(b);
    }
    leave(active and not(step.absolute.isFinite() and step.relative.isFinite()), no_descent);
    const Mask settled = step.relative <= linear and step.absolute <= rounding and Mask::Constant(fresh);
    const Mask stagnates = settled and previous > 0.0 and step.absolute >= 0.5 * previous;
    const Mask done = active and (stagnates or (step.relative <= linear and step.absolute <= tolerance));
    for (Eigen::Index k = 0; k < b.n; ++k)
      b.d.col(k) += chosen(done, b.dx.col(k), Pack::Zero());
    for (int lane = 0; lane < width; ++lane)
      b.iterations[std::size_t(lane)] += active[lane];
    leave(done, solved);
    if (not active.any())
      return;
    b.current = b.current and not active;
    const Mask whole = advance(b, active, step);
    for (int lane = 0; lane < width; ++lane)
      active[lane] = active[lane] and b.failed[std::size_t(lane)] != no_descent;
    previous = whole.select(step.absolute, Pack(Pack::Zero()));
  }
  leave(active, not_converged);
}

/// From the given start and, should it fail, from c0 and from c_max/2, as `ParticleKernel::solve_point`.
void VariableDiffusion::solve_batch(Batch& b, const Field& start, double tolerance, int max_iterations) const
{
  Mask todo;
  for (int lane = 0; lane < width; ++lane)
    todo[lane] = b.failed[std::size_t(lane)] == solved; // not yet refused
  for (int attempt = 0; attempt < 3 and todo.any(); ++attempt)
  {
    for (Eigen::Index k = 0; k < b.n; ++k)
    {
      const Pack d = attempt == 0   ? Pack(start.col(k))
                     : attempt == 1 ? Pack(Pack::Zero())
                                    : Pack(0.5 * _kinetics.c_max - b.c0.col(k));
      b.d.col(k) = chosen(todo and d.isFinite(), d, todo.select(Pack(Pack::Zero()), Pack(b.d.col(k))));
    }
    for (int lane = 0; lane < width; ++lane)
      if (todo[lane])
        b.failed[std::size_t(lane)] = solved;
    newton(b, todo, tolerance, attempt < 2 ? max_iterations / 3 : max_iterations);
    for (int lane = 0; lane < width; ++lane)
      todo[lane] = todo[lane] and b.failed[std::size_t(lane)] != solved;
  }
}

/// J, q and derivatives at b.d: with F(c, p) = 0, F_c c_p = -F_p, dJ/dp = -a0 int c_p, dq/dp = q_p + q_c c_p. The same
/// factors give a last Newton update of d, J and q.
void VariableDiffusion::respond(Batch& b, FieldSolution& out, Eigen::Index first) const
{
  residual(b);
  if (not b.current.all())
    factorise(b);
  Field F_Phi = Field::Zero(width, b.n), F_ce = F_Phi, F_T = F_Phi, q_c = F_Phi;
  Pack faradaic = Pack::Zero(), flux = Pack::Zero(), q = Pack::Zero(), q_Phi = Pack::Zero(), q_ce = Pack::Zero(),
       q_T = Pack::Zero();
  Eigen::Index at = 0;
  for (Eigen::Index f = 0; f < _facets.rows(); ++f)
    for (Eigen::Index i = 0; i < _surface.shape.rows(); ++i, ++at)
    {
      const double weight = _surface.weights[at];
      const Response r = b.law->response(b.surface_c.col(at));
      faradaic += weight * r.faradaic, flux += weight * r.j, q += weight * r.h;
      q_Phi += weight * r.h_Phi, q_ce += weight * r.h_ce, q_T += weight * r.h_T;
      for (Eigen::Index k = 0; k < _facets.cols(); ++k)
      {
        const double shape = weight * _surface.shape(i, k);
        const Eigen::Index node = _facets(f, k);
        F_Phi.col(node) += shape * r.j_Phi, F_ce.col(node) += shape * r.j_ce, F_T.col(node) += shape * r.j_T;
        q_c.col(node) += shape * r.h_c;
      }
    }
  add_temperature(b, F_T);
  Field d_Phi, d_ce, d_T;
  b.solver.solve(-b.F, b.dx);
  b.solver.solve(-F_Phi, d_Phi);
  b.solver.solve(-F_ce, d_ce);
  b.solver.solve(-F_T, d_T);
  b.d += b.dx;
  const auto total = [&](const Field& x)
  { return Pack((x.matrix() * (-b.a0 * _volume).matrix()).array()); };
  const auto heat = [&](const Field& x) { return Pack((q_c * x).rowwise().sum()); };
  const Pack J = total(b.d), J_Phi = total(d_Phi), J_ce = total(d_ce), J_T = total(d_T);
  q += heat(b.dx), q_Phi += heat(d_Phi), q_ce += heat(d_ce), q_T += heat(d_T);
  faradaic += J - flux;
  for (Eigen::Index lane = 0; lane < width and first + lane < out.x.rows(); ++lane)
  {
    const Eigen::Index point = first + lane;
    auto& failed = b.failed[std::size_t(lane)];
    const double sum = J[lane] + J_Phi[lane] + J_ce[lane] + J_T[lane] + q[lane] + q_Phi[lane] + q_ce[lane] + q_T[lane];
    if (failed == solved and not std::isfinite(sum))
      failed = no_descent;
    out.failed[std::size_t(point)] = failed;
    out.iterations[std::size_t(point)] = b.iterations[std::size_t(lane)];
    if (failed != solved)
      continue;
    for (Eigen::Index node = 0; node < b.n; ++node)
    {
      const Eigen::Index k = _pattern.number[std::size_t(node)];
      out.x(point, node) = b.d(lane, k);
      out.x_p(point, 3 * node) = d_Phi(lane, k);
      out.x_p(point, 3 * node + 1) = d_ce(lane, k);
      out.x_p(point, 3 * node + 2) = d_T(lane, k);
    }
    out.J[point] = J[lane], out.faradaic[point] = faradaic[lane], out.q[point] = q[lane];
    out.dJ.row(point) << J_Phi[lane], -J_Phi[lane], J_ce[lane], J_T[lane];
    out.dq.row(point) << q_Phi[lane], -q_Phi[lane], q_ce[lane], q_T[lane];
  }
}

/// Adds int D_T A grad c . grad phi_i to F_T.
void VariableDiffusion::add_temperature(const Batch& b, Field& F_T) const
{
  if (not _diffusivity.depends_on_c)
  {
    const Rows& entries = _pattern.entries;
    for (std::size_t i = 0; i < entries.size(); ++i)
      for (std::size_t e = entries.start[i]; e < entries.start[i + 1]; ++e)
        F_T.col(Eigen::Index(i)) += _stiffness[Eigen::Index(e)] * b.D_T.col(0) * b.c.col(entries.column[e]);
    return;
  }
  const Eigen::Index k = _solid.cells.cols(), nq = _solid.shape.rows(), dim = _solid.dim;
  Eigen::Index at = 0;
  for (Eigen::Index cell = 0; cell < _solid.cells.rows(); ++cell)
  {
    const double* slope = _solid.slopes.row(cell).data();
    for (Eigen::Index q = 0; q < nq; ++q, ++at, slope += k * dim)
      for (Eigen::Index i = 0; i < k; ++i)
        for (Eigen::Index x = 0; x < dim; ++x)
          F_T.col(_solid.cells(cell, i)) += slope[i * dim + x] * b.D_T.col(at) * b.gradient.col(at * dim + x);
  }
}

FieldSolution VariableDiffusion::solve(const FieldStep& step, const ConstRows& p, double tolerance,
                                       int max_iterations) const
{
  FieldSolution out(p.rows(), nodes(), 0);
  out.x = step.start;
  if (p.rows() == 0)
    return out;
  Batch b(*this, step.a0);
  Field start(width, b.n);
  for (Eigen::Index first = 0; first < p.rows(); first += width)
  {
    Eigen::Array<double, width, 4> scalars;
    for (Eigen::Index lane = 0; lane < width; ++lane)
    {
      const Eigen::Index i = std::min(first + lane, p.rows() - 1); // the last point fills up the batch
      const MesoPoint<double> point{p(i, 0), p(i, 1), p(i, 2), p(i, 3),
                                    step.a0 * (p(i, 0) - p(i, 1)) + step.d_hist[i], step.a0};
      const bool valid = Law<double>(_kinetics, point).valid() and step.c0.row(i).allFinite();
      b.failed[std::size_t(lane)] = valid ? solved : not_defined;
      b.iterations[std::size_t(lane)] = 0;
      scalars.row(lane) = valid ? Eigen::Array4d(point.Phi_s - point.Phi_e, point.c_e, point.T, point.rate).transpose().eval()
                                : Eigen::Array4d(0.0, 1.0, 0.0, 0.0).transpose().eval();
      for (Eigen::Index node = 0; node < b.n; ++node)
      {
        const Eigen::Index k = _pattern.number[std::size_t(node)];
        b.c0(lane, k) = valid ? step.c0(i, node) : 0.5 * _kinetics.c_max;
        start(lane, k) = valid ? step.start(i, node) : 0.0;
      }
    }
    b.point = {scalars.col(0), Pack::Zero(), scalars.col(1), scalars.col(2), scalars.col(3), step.a0};
    b.law = std::make_unique<Law<Pack>>(_kinetics, b.point);
    b.d = start;
    b.current.setConstant(false);
    solve_batch(b, start, tolerance, max_iterations);
    respond(b, out, first);
  }
  return out;
}
} // namespace dfx_homog
