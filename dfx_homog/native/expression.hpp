// Postfix programs of the run file's expressions in (c, T), evaluated with forward-mode dual numbers.
#pragma once

#include <Eigen/Core>

#include <array>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace dfx_homog
{
/// Points evaluated together: enough for vector instructions, few enough for the stack to stay in the first cache.
inline constexpr int width = 8;
using Pack = Eigen::Array<double, width, 1>;

/// A value and its partial derivatives in c and T at `width` points.
struct Dual
{
  Pack value, dc, dT;
};

/// Chain rule for a function of one variable: f(a) with derivative df.
inline Dual chain(const Dual& a, const Pack& f, const Pack& df) { return {f, df * a.dc, df * a.dT}; }

inline Dual operator+(const Dual& a, const Dual& b) { return {a.value + b.value, a.dc + b.dc, a.dT + b.dT}; }
inline Dual operator-(const Dual& a, const Dual& b) { return {a.value - b.value, a.dc - b.dc, a.dT - b.dT}; }
inline Dual operator-(const Dual& a) { return {-a.value, -a.dc, -a.dT}; }
inline Dual operator*(const Dual& a, const Dual& b)
{
  return {a.value * b.value, a.dc * b.value + a.value * b.dc, a.dT * b.value + a.value * b.dT};
}
inline Dual operator/(const Dual& a, const Dual& b)
{
  const Pack inverse = b.value.inverse();
  const Pack q = a.value * inverse;
  return {q, (a.dc - q * b.dc) * inverse, (a.dT - q * b.dT) * inverse};
}
/// a^n with a constant n: defined for negative a and integer n, where the general power is not.
inline Dual power(const Dual& a, double n)
{
  if (n == 0.0)
    return {Pack::Ones(), Pack::Zero(), Pack::Zero()};
  if (n == 2.0)
    return chain(a, a.value.square(), 2.0 * a.value);
  return chain(a, a.value.unaryExpr([n](double x) { return std::pow(x, n); }),
               a.value.unaryExpr([n](double x) { return n * std::pow(x, n - 1.0); }));
}
inline Dual power(const Dual& a, const Dual& b)
{
  const Pack logarithm = a.value.log();
  const Pack f = (b.value * logarithm).exp();
  const Pack slope = b.value / a.value;
  return {f, f * (b.dc * logarithm + slope * a.dc), f * (b.dT * logarithm + slope * a.dT)};
}

/// The operand that is taken, value and slopes: `first` says where it is a.
template <typename Choice>
inline Dual select(const Choice& first, const Dual& a, const Dual& b)
{
  return {first.select(a.value, b.value), first.select(a.dc, b.dc), first.select(a.dT, b.dT)};
}
// Equal operands: max has the slopes of the first, min those of the second, as in `Expression.ufl`.
inline Dual maximum(const Dual& a, const Dual& b) { return select(a.value >= b.value, a, b); }
inline Dual minimum(const Dual& a, const Dual& b) { return select(a.value < b.value, a, b); }

/// A checked postfix program; the codes are those of `dfx_homog.parameters.expression`.
class Program
{
public:
  Program(std::span<const std::int32_t> ops, std::span<const double> args)
  {
    if (ops.size() != args.size() or ops.empty())
      throw std::invalid_argument("an expression program needs as many arguments as operations, and at least one");
    // The check runs the program on what each stack entry is: a constant (with its value) or not.
    struct Entry
    {
      bool constant;
      double value;
    };
    std::vector<Entry> stack;
    for (std::size_t i = 0; i < ops.size(); ++i)
    {
      if (ops[i] < CONST or ops[i] > COSH)
        throw std::invalid_argument("unknown operation " + std::to_string(ops[i]) + " in an expression program");
      Code code{static_cast<Op>(ops[i]), args[i]};
      const std::size_t operands = code.op <= VAR ? 0 : (code.op <= POW or code.op == MIN or code.op == MAX ? 2 : 1);
      if (stack.size() < operands)
        throw std::invalid_argument("an expression program takes more operands than it has");
      if (code.op == VAR and args[i] != 0.0 and args[i] != 1.0)
        throw std::invalid_argument("an expression program may use the variables 0 (c) and 1 (T) only");
      if (code.op == POW and stack.back().constant)
        code = {POW_CONST, stack.back().value};
      stack.resize(stack.size() - operands);
      stack.push_back({code.op == CONST, args[i]});
      if (stack.size() > depth)
        throw std::invalid_argument("an expression is nested too deeply");
      if (code.op == POW_CONST)
        _code.pop_back(); // the exponent, now part of the power
      _code.push_back(code);
    }
    if (stack.size() != 1)
      throw std::invalid_argument("an expression program must leave one value");
  }

  Dual operator()(const Pack& c, double T) const { return (*this)(c, Pack(Pack::Constant(T))); }

  Dual operator()(const Pack& c, const Pack& T) const
  {
    std::array<Dual, depth> stack;
    Dual* top = stack.data() - 1; // the entry on top of the stack
    for (const Code& code : _code)
    {
      switch (code.op)
      {
      case CONST:
        *++top = {Pack::Constant(code.arg), Pack::Zero(), Pack::Zero()};
        break;
      case VAR:
        *++top = code.arg == 0.0 ? Dual{c, Pack::Ones(), Pack::Zero()}
                                 : Dual{T, Pack::Zero(), Pack::Ones()};
        break;
      case ADD:
        --top, *top = *top + top[1];
        break;
      case SUB:
        --top, *top = *top - top[1];
        break;
      case MUL:
        --top, *top = *top * top[1];
        break;
      case DIV:
        --top, *top = *top / top[1];
        break;
      case POW:
        --top, *top = power(*top, top[1]);
        break;
      case POW_CONST:
        *top = power(*top, code.arg);
        break;
      case NEG:
        *top = -*top;
        break;
      case SIN:
        *top = chain(*top, top->value.sin(), top->value.cos());
        break;
      case COS:
        *top = chain(*top, top->value.cos(), -top->value.sin());
        break;
      case EXP:
      {
        const Pack f = top->value.exp();
        *top = chain(*top, f, f);
        break;
      }
      case LOG:
        *top = chain(*top, top->value.log(), top->value.inverse());
        break;
      case TANH:
      {
        const Pack f = top->value.tanh();
        *top = chain(*top, f, 1.0 - f.square());
        break;
      }
      case SQRT:
      {
        const Pack f = top->value.sqrt();
        *top = chain(*top, f, 0.5 / f);
        break;
      }
      case SIGN:
        *top = {top->value.sign(), Pack::Zero(), Pack::Zero()};
        break;
      case COSH:
        *top = chain(*top, top->value.cosh(), top->value.sinh());
        break;
      case MIN:
        --top, *top = minimum(*top, top[1]);
        break;
      case MAX:
        --top, *top = maximum(*top, top[1]);
        break;
      }
    }
    return stack[0];
  }

private:
  enum Op : std::int32_t
  {
    CONST,
    VAR,
    ADD,
    SUB,
    MUL,
    DIV,
    POW,
    NEG,
    SIN,
    COS,
    EXP,
    LOG,
    TANH,
    SQRT,
    SIGN,
    MIN,
    MAX,
    COSH,
    POW_CONST
  };
  struct Code
  {
    Op op;
    double arg;
  };
  static constexpr std::size_t depth = 256; // far beyond what the run file's parser lets through
  std::vector<Code> _code;
};
} // namespace dfx_homog
